"""Runs beside each other: who waits for whom, who is refused, and that a killed process has no lock."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmctr.common.errors import InputError
from tasks.cache.run_manifest import ManifestWriter, read_manifests, read_unfinished
from tasks.cache.workspace import Workspace

KEY = "0" * 24
HOLD = """
import sys, time
from pathlib import Path
from tasks.cache.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
with workspace.running(), workspace.locks.of_stage("train", sys.argv[2], say=print):
    print("has it", flush=True)
    time.sleep(60)
"""
FACTS = {"settings": "s", "inputs": {"train": "b"}, "vectors": "c", "ancestor": ""}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def pool():
    """Threads; each opens the files of locks itself, as a process of its own would."""
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_runs_go_on_beside_each_other_and_a_collection_beside_none(workspace):
    with (
        workspace.running(),
        Workspace(workspace.base_path).running(),
        pytest.raises(InputError, match=r"nothing is removed while a run may use it, .* process \d+ does; wait until"),
        workspace.alone(),
    ):
        pass
    with workspace.alone():
        pass


def test_a_run_waits_for_the_end_of_a_collection(workspace, pool):
    begun = threading.Event()

    def run():
        with Workspace(workspace.base_path).running():
            begun.set()

    with workspace.alone():
        waiting = pool.submit(run)
        assert not begun.wait(0.3)
    waiting.result(10)


def test_what_was_left_half_written_stays_while_another_run_may_be_writing_it(workspace):
    partial = workspace.work("train", KEY) / ".training.pt.0.partial"
    with workspace.running():
        partial.touch()
        with Workspace(workspace.base_path).running():
            assert partial.exists()
    with workspace.running():
        assert not partial.exists()


def test_one_runs_a_stage_for_a_key_and_others_wait_and_say_for_whom(workspace, pool, monkeypatch):
    monkeypatch.setattr("tasks.cache.locks.QUIET_SECONDS", 0.1)
    said, turns = [], []

    def run(key):
        with Workspace(workspace.base_path).locks.of_stage("train", key, say=said.append):
            turns.append(key)

    with workspace.locks.of_stage("train", KEY, say=said.append):
        waiting = pool.submit(run, KEY)
        pool.submit(run, "1" * 24).result(10)
        while not said:
            time.sleep(0.01)
        assert turns == ["1" * 24]
    waiting.result(10)
    assert turns == ["1" * 24, KEY]
    (line,) = said
    assert line.startswith("waiting for process ")
    assert line.endswith(", which runs train on the same inputs; its result will be used")


def test_a_killed_process_has_no_lock_and_is_named_until_then(workspace):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, workspace.base_path, KEY], stdout=subprocess.PIPE, text=True)
    with holder:
        assert holder.stdout.readline() == "has it\n"
        with pytest.raises(InputError, match=f"process {holder.pid} does"), workspace.alone():
            pass
        with workspace.locks.stage_if_free("train", KEY) as is_free:
            assert not is_free
        holder.kill()
        holder.wait(10)
    with workspace.locks.stage_if_free("train", KEY) as is_free:
        assert is_free
    with workspace.alone():
        assert not list((workspace.root / "locks/stages").iterdir())


def test_a_signal_ends_the_wait(workspace):
    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with workspace.locks.of_stage("train", KEY, say=print):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with (
                pytest.raises(KeyboardInterrupt),
                Workspace(workspace.base_path).locks.of_stage("train", KEY, say=print),
            ):
                pass
    finally:
        signal.signal(signal.SIGALRM, before)


# Manifests


def started(workspace, **facts):
    writer = ManifestWriter(workspace, **{**FACTS, **facts})
    writer.begin_stage("train", KEY, runs=True)
    return writer


def test_a_run_that_goes_on_keeps_its_manifest_whatever_others_finish(workspace):
    going_on = started(workspace, inputs={"train": "other"})
    with going_on.going_on():
        started(workspace)
        started(workspace).finish(mlflow_run="d")
        assert read_unfinished(workspace) == [going_on.manifest]
    started(workspace).finish(mlflow_run="d")
    assert read_unfinished(workspace) == [], "its process is gone"


def test_two_runs_that_finish_the_same_at_once_leave_the_later_manifest(workspace, monkeypatch):
    one, other = started(workspace), started(workspace)

    def look(found):
        monkeypatch.undo()
        other.finish(mlflow_run="d")
        return read_manifests(found)

    monkeypatch.setattr("tasks.cache.run_manifest.read_manifests", look)
    one.finish(mlflow_run="d")
    assert read_manifests(workspace) == [other.manifest]


def test_a_manifest_that_another_run_replaces_meanwhile_is_passed_over(workspace, monkeypatch):
    kept = started(workspace).finish(mlflow_run="d")
    (workspace.runs / "gone.json").symlink_to("nowhere")
    monkeypatch.setattr("pathlib.Path.is_file", lambda _: True)
    assert read_manifests(workspace) == [kept]

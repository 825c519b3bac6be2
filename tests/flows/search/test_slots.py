"""Places for trials: how many, and what becomes of one that breaks."""

import os
import sys
from pathlib import Path

import pytest

import flows.search.slots
from flows.search.slots import Here, Processes, slots_for
from flows.search.trial import Job, Surroundings
from mmctr.common.errors import InputError
from tasks.cache.workspace import PUBLIC
from tasks.settings.sections import RunConfig
from tasks.tracking.lineage import Lineage

LINEAGE = Lineage(params={}, digests={}, counts={}, pca=None, reports={})
# A process that is asked twice whether its trial goes on, and answers how often it was told to.
COUNTS = """
from multiprocessing.connection import Connection
import sys
from flows.search.slots import Heard
from flows.search.trial import Ended
pipe = Connection(int(sys.argv[-1]))
hello = pipe.recv()
while True:
    job = pipe.recv()
    pruned = []
    for validation in range(2):
        pipe.send(Heard(job.number, validation, 0.5))
        pruned.append(pipe.recv())
    pipe.send(Ended(job.number, None, f"{hello.device} {pruned}"))
"""
DIES = "import os, signal, sys; os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def surroundings(tmp_path):
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return Surroundings(tmp_path, PUBLIC, RunConfig(), store, "mmctr", (), search="s")


@pytest.fixture
def cores(monkeypatch):
    def have(number):
        monkeypatch.setattr(flows.search.slots, "usable_cores", lambda: number)

    return have


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Let a place run another program."""
    popen = flows.search.slots.subprocess.Popen

    def runs(code):
        def start(arguments, **options):
            environment = {**options.pop("env"), "PYTHONPATH": str(Path(__file__).parents[3])}
            return popen([sys.executable, "-c", code, arguments[-1]], env=environment, **options)

        monkeypatch.setattr(flows.search.slots.subprocess, "Popen", start)

    return runs


@pytest.mark.parametrize(("jobs", "number", "places"), [(1, 8, 1), ("auto", 1, 1), ("auto", 7, 1), ("auto", 9, 2)])
def test_as_many_places_as_there_is_room_for(surroundings, cores, program, tmp_path, jobs, number, places):
    cores(number)
    program("import sys; sys.stdin.read()")
    slots = slots_for(jobs, surroundings, device="cpu", folder=tmp_path)
    assert isinstance(slots, Here) if places == 1 else len(slots.places) == places
    slots.close()


@pytest.mark.parametrize("jobs", [0, -1, 65, 3])
def test_more_places_than_cores_are_refused(surroundings, cores, tmp_path, jobs):
    cores(2)
    with pytest.raises(InputError, match=r"--jobs must be .*; found -?\d+"):
        slots_for(jobs, surroundings, device="cpu", folder=tmp_path)


def test_trials_run_in_processes_and_are_told_to_end(surroundings, program, tmp_path):
    program(COUNTS)
    slots = Processes(surroundings, devices=["cpu", "cuda:1"], threads=1, folder=tmp_path)
    try:
        for number in (0, 1):
            assert slots.is_free
            slots.begin(Job(number, {}, LINEAGE))
        assert not slots.is_free
        ended, heard = [], []

        def hear(number, validation, auc):
            heard.append((number, validation, auc))
            return number == 1

        while len(ended) < 2:
            ended += slots.wait(hear)
        assert sorted((one.number, one.pruned) for one in ended) == [
            (0, "cpu [False, False]"),
            (1, "cuda:1 [True, True]"),
        ]
        assert sorted(heard) == [(number, validation, 0.5) for number in (0, 1) for validation in (0, 1)]
        assert slots.is_free
    finally:
        slots.close()
    assert all(place.process.poll() is not None for place in slots.places)


def test_a_process_that_is_killed_ends_the_search_with_what_to_do(surroundings, program, tmp_path):
    program(DIES)
    slots = Processes(surroundings, devices=["cpu"], threads=1, folder=tmp_path)
    slots.begin(Job(7, {}, LINEAGE))
    with pytest.raises(InputError, match=r"one did in trial 7 \(SIGKILL; its log is .*process-1.log\).*fewer --jobs"):
        slots.wait(lambda *_: False)
    slots.close()


def test_each_process_has_its_threads(surroundings, program, tmp_path):
    program(f"import os; open({str(tmp_path / 'threads')!r}, 'w').write(os.environ['OMP_NUM_THREADS'])")
    slots = Processes(surroundings, devices=["cpu"], threads=3, folder=tmp_path)
    slots.places[0].process.wait(60)
    assert (tmp_path / "threads").read_text() == "3"
    assert os.environ.get("OMP_NUM_THREADS") != "3"
    slots.close()

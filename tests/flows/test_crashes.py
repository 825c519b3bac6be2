"""Nothing is lost when a run is killed, stopped or short of a resource; `benchmarks/kill_test.py` does it at length."""

import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mmctr_process import MmctrRun

from mmctr.common.errors import REMEDIES, InputError, as_input_error
from mmctr.common.files import partial_path, replacing, replacing_folder
from tasks.cache.public_files import publish
from tasks.cache.workspace import PUBLIC, FileRef, Workspace
from tasks.settings.train import TrainConfig
from tasks.tracking.lineage import Lineage
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import MEMORY, TrainingRun, end_left_runs, open_run, training_name, training_run

SETTINGS = ["embed.shard_size=32", "embed.image_batch=32", "embed.workers=1", "train.batch_size=256"]
SETTINGS += ["train.epochs=6", "train.patience=10", 'model.head={kind="mlp", hidden=[512,256]}']
LARGEST_FILE = 2_000_000  # bytes: more than the database has, less than the training's state
OUTPUTS = ["predictions_task1and2/prediction.csv", "predictions_task1and2/prediction.zip"]
OUTPUTS += ["models_task1and2/task1and2_best.pt", "item_emb_task1_clip.parquet"]


def statuses(database):
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return [status for (status,) in connection.execute("select status from runs")]


def shards(base):
    return {path: path.stat().st_ino for path in base.glob(".mmctr/vectors/*/image/*/*.npz")}


def unfinished(base):
    return [*base.rglob("*.partial"), *base.glob(".mmctr/work/*/*")]


def training_state(base):
    return next(base.glob(".mmctr/work/train/*/training.pt")).read_bytes()


def assert_one_line_and_no_trace(run, message):
    assert "Traceback" not in run.output()
    assert [line for line in run.output().splitlines() if line.startswith("mmctr: ")] == [f"mmctr: {message}"]


@pytest.mark.integration
def test_a_run_that_is_stopped_in_every_way_ends_as_one_that_was_not(
    demo, tracking_uri, mlflow_original, prefect_server, tmp_path, monkeypatch
):
    database, runs = Path(tracking_uri.removeprefix("sqlite:///")), []

    def start(base=demo, **limits):
        runs.append(MmctrRun(base, *SETTINGS, log=tmp_path / f"{len(runs)}.log", **limits))
        return runs[-1]

    untouched = Path(shutil.copytree(demo, tmp_path / "untouched"))
    shutil.copy(mlflow_original, tmp_path / "untouched.db")
    with monkeypatch.context() as other:
        other.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'untouched.db'}")
        reference = start(untouched)
    with reference:
        with start() as run:  # killed between two shards
            run.wait_until(lambda: len(shards(demo)) >= 2)
            run.stop(signal.SIGKILL, group=True)
        kept = shards(demo)
        assert not list(demo.glob(".mmctr/store/embed/*/embeddings.parquet"))

        with start() as run:  # terminated in training
            run.wait_for_line("epoch 1:")
            with pytest.raises(InputError, match=f"process {run.process.pid} does"), Workspace(demo).alone():
                pass
            assert run.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert shards(demo).items() > kept.items()
        assert_one_line_and_no_trace(run, "stopped by SIGTERM; the same command goes on where this one stopped")
        assert statuses(database) == ["KILLED"]

        before = training_state(demo)
        with start(largest_file=LARGEST_FILE) as run:  # no room for the next state
            assert run.end() == 2
        state = next(demo.glob(".mmctr/work/train/*/training.pt"))
        remedy = "raise the limit on the size of files (ulimit -f), then run the same command again"
        assert_one_line_and_no_trace(run, f"cannot use {state}: File too large; {remedy}")
        assert training_state(demo) == before
        assert not list(demo.rglob("*.partial"))
        assert statuses(database) == ["FAILED"]

        with start() as run:  # Ctrl-C, which the whole group gets
            run.wait_for_line("epoch 4:")
            assert run.stop(signal.SIGINT, group=True) == 128 + signal.SIGINT
        assert_one_line_and_no_trace(run, "stopped by SIGINT; the same command goes on where this one stopped")
        assert statuses(database) == ["KILLED"]

        with start() as run:  # killed right after training, about when its record is written
            run.wait_until(lambda: statuses(database) == ["FINISHED"])
            run.stop(signal.SIGKILL, group=True)

        with start() as run:
            assert run.end() == 0, run.output()
        assert reference.end() == 0, reference.output()

    for name in OUTPUTS:
        assert (demo / name).read_bytes() == (untouched / name).read_bytes(), name
    assert unfinished(demo) == []
    lines = {line for run in runs[1:] for line in re.findall(r"epoch \d+: .*", run.output())}
    assert len(lines) == 6, lines  # an epoch that ran twice would have two speeds
    client = MlflowClient(tracking_uri)
    (record,) = client.search_runs([client.get_experiment_by_name("mmctr").experiment_id])
    assert record.info.status == "FINISHED"
    assert record.data.tags["mlflow.note.content"].startswith("[Prefect flow run ")  # and no error of an earlier try
    for name, steps in {"valid_auc": [1, 2, 3, 4, 5, 6], "train.rows": [0]}.items():
        assert [m.step for m in client.get_metric_history(record.info.run_id, name) if not m.model_id] == steps
    assert sorted(m.name for m in client.search_logged_models([record.info.experiment_id])) == ["din", "pca"]


def test_the_lock_goes_with_its_process_even_where_a_child_lives_on(tmp_path):
    program = (
        "import subprocess, sys; from pathlib import Path; from tasks.cache.workspace import Workspace\n"
        "with Workspace(Path(sys.argv[1])).running():\n"
        "    child = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True); child.wait()"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    with holder:
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(InputError, match=f"process {holder.pid} does"), Workspace(tmp_path).alone():
                pass
            holder.kill()
            holder.wait(10)
            os.kill(child, 0)  # is there
            with Workspace(tmp_path).alone():
                assert (tmp_path / ".mmctr/lock").read_text() == f"{os.getpid()}\n"
        finally:
            os.kill(child, signal.SIGKILL)


def test_what_a_killed_run_left_half_written_goes_when_the_next_one_begins(tmp_path):
    root = tmp_path / ".mmctr"
    whole = [root / "digests.json", root / "store/embed/k/embeddings.parquet", root / "vectors/v/text/s/000000.npz"]
    partial = [partial_path(path) for path in [*whole[1:], root / "work/train/k/training.pt"]]
    for path in [*whole, *partial]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    images = partial_path(root / "store/extract/k/images")
    images.mkdir(parents=True)
    (images / "1.jpg").touch()
    with Workspace(tmp_path).running():
        assert unfinished(tmp_path) == [root / "work/train/k"]
        assert all(path.exists() for path in whole)


def test_publishing_removes_what_a_killed_run_left_of_another_content(tmp_path):
    workspace = Workspace(tmp_path)
    (tmp_path / "made").write_bytes(b"made")
    files = dict.fromkeys(PUBLIC, workspace.file_ref(tmp_path / "made"))
    places = publish(workspace, files, model="any", run_id="run").values()
    for place in places:
        partial_path(place).write_bytes(b"ot")
    publish(workspace, files, model="any", run_id="run")
    assert {place.read_bytes() for place in places} == {b"made"}
    assert not list(tmp_path.rglob(".*.partial"))


@pytest.mark.parametrize("number", REMEDIES)
def test_what_the_user_can_fix_is_said_with_file_reason_and_remedy(number):
    error = OSError(number, "whatever", "/data/file")
    told = str(as_input_error(error))
    assert told.startswith(f"cannot use /data/file: {os.strerror(number)}; {REMEDIES[number]}")
    wrapped = RuntimeError("a library's own")
    wrapped.__cause__ = error
    assert str(as_input_error(wrapped)) == told


def test_a_full_database_is_the_users_to_fix_and_a_fault_is_not():
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("pragma max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            database.execute("create table t (x)")
    assert "No space left on device; free some space" in str(as_input_error(full.value))
    mistake = InputError("a mistake")
    assert as_input_error(mistake) is mistake
    assert as_input_error(ValueError("a fault")) is None
    assert as_input_error(FileNotFoundError(errno.ENOENT, "No such file", "/data/file")) is None


def test_a_write_to_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path):
    kept = tmp_path / "kept"
    kept.write_bytes(b"before")

    def write():
        with replacing(kept) as partial:
            partial.unlink()
            partial.symlink_to("/dev/full")
            partial.write_bytes(b"after")

    with pytest.raises(OSError, match="No space left") as full:
        write()
    assert full.value.filename == str(kept)
    assert os.listdir(tmp_path) == ["kept"]  # noqa: PTH208
    assert kept.read_bytes() == b"before"


def test_a_folder_that_cannot_be_filled_is_named_and_removed(tmp_path):
    def fill():
        with replacing_folder(tmp_path / "images") as folder:
            (folder / "1.jpg").touch()
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as full:
        fill()
    assert full.value.filename == str(tmp_path / "images")
    assert list(tmp_path.iterdir()) == []


def test_an_mlflow_database_is_whole_or_absent(tmp_path, monkeypatch):
    folder = tmp_path / "mlruns"
    uri = f"sqlite:///{folder / 'mlflow.db'}"

    def killed(engine):
        Path(f"{engine.url.database}-journal").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as early:
        early.setattr("tasks.tracking.mlflow_database._initialize_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            Tracker(uri, "mmctr")
    assert not (folder / "mlflow.db").exists()
    partial_path(folder / "mlflow.db").write_bytes(b"half")  # SIGKILL leaves it
    assert Tracker(uri, "mmctr").experiment_id() == "1"
    assert [path.name for path in folder.iterdir()] == ["mlflow.db"]
    Tracker(uri, "mmctr").experiment_id()


LINEAGE = Lineage(params={}, digests={}, counts={"c": 1.0}, pca=FileRef(path="p", sha256="0"), reports={})


def test_a_training_finds_its_run_whenever_the_process_before_it_died(tracking_uri, tmp_path, monkeypatch):
    tracker, memory = Tracker(tracking_uri, "mmctr"), tmp_path / "memory"

    def enter():
        return training_run(tracker, memory, settings={"train": TrainConfig()}, lineage=LINEAGE, rows=7)

    def interrupted(self, **_):
        raise KeyboardInterrupt

    with monkeypatch.context() as early:
        early.setattr(TrainingRun, "log_start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            enter().__enter__()
    (first,) = tracker.client.search_runs([tracker.experiment_id()])
    assert (first.info.status, first.data.tags["mlflow.note.content"]) == ("KILLED", "KeyboardInterrupt: ")

    with enter() as run:  # a process that dies right here leaves this run behind, running
        assert run.run_id == first.info.run_id
        assert tracker.client.get_run(run.run_id).info.status == "RUNNING"
        assert open_run(tracker, memory.read_text()) == run.run_id
    (last,) = tracker.client.search_runs([tracker.experiment_id()])
    assert last.info.status == "FINISHED"
    assert "mlflow.note.content" not in last.data.tags
    assert [metric.value for metric in tracker.client.get_metric_history(run.run_id, "train.rows")] == [7]

    memory.unlink()
    with enter() as another:
        assert another.run_id != run.run_id


def test_a_run_that_a_killed_process_left_running_is_ended_by_the_next_one(tracking_uri, tmp_path):
    tracker, workspace = Tracker(tracking_uri, "mmctr"), Workspace(tmp_path)

    def opened(name):
        return open_run(tracker, training_name(workspace.work("train", name) / MEMORY))

    left, others = opened("left"), open_run(tracker, "of another folder")
    (workspace.work("train", "garbage") / MEMORY).write_text("no name")
    workspace.work("train", "killed at once")
    going_on = opened("going on")
    with workspace.locks.of_stage("train", "going on", say=print):
        end_left_runs(tracker, workspace)
    assert tracker.client.get_run(going_on).info.status == "RUNNING"
    assert tracker.client.get_run(left).info.status == "KILLED"
    assert tracker.client.get_run(others).info.status == "RUNNING"
    assert opened("left") == left
    assert tracker.client.get_run(left).info.status == "RUNNING"

    searches = [open_run(tracker, training_name(workspace.searches / name / MEMORY)) for name in ("left", "going on")]
    with workspace.locks.of_search("going on"):
        end_left_runs(tracker, workspace)
    assert [tracker.client.get_run(run).info.status for run in searches] == ["KILLED", "RUNNING"]


def test_an_error_of_the_store_does_not_hide_why_the_training_ended(tracking_uri, tmp_path, monkeypatch):
    tracker = Tracker(tracking_uri, "mmctr")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def train():
        with training_run(tracker, tmp_path / "memory", settings={"train": TrainConfig()}, lineage=LINEAGE, rows=7):
            monkeypatch.setattr(tracker.client, "set_terminated", full)
            raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        train()


def test_a_model_that_was_logged_by_half_is_logged_anew_and_a_whole_one_is_not(tracking_uri, tmp_path, monkeypatch):
    tracker = Tracker(tracking_uri, "mmctr")
    logged = []

    def log(name):
        def logs(uri, run_id, **_):
            from tasks.tracking.model_logging import _logged_model

            logged.append(name)
            with _logged_model(uri, run_id, name):
                if len(logged) == 2:
                    raise KeyboardInterrupt

        monkeypatch.setattr(f"tasks.tracking.model_logging.log_{name}_model", logs)

    log("pca")
    log("din")
    run_id = open_run(tracker, "training")
    run = TrainingRun(tracker, run_id)
    with pytest.raises(KeyboardInterrupt):
        run.log_models(checkpoint=tmp_path, pca=tmp_path)
    run.log_models(checkpoint=tmp_path, pca=tmp_path)
    run.log_models(checkpoint=tmp_path, pca=tmp_path)
    assert logged == ["pca", "din", "din"]
    models = tracker.client.search_logged_models([tracker.experiment_id()])
    outputs = tracker.client.get_run(run_id).outputs.model_outputs
    assert sorted(model.name for model in models) == ["din", "pca"]
    assert {model.model_id for model in models} == {output.model_id for output in outputs}

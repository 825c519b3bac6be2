"""What a user operates, for real: a server, a worker, deployments, a training that new data starts, an alert."""

import os
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from mlflow import MlflowClient
from operation import Operation, wait_for
from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, FlowRunFilterId, TaskRunFilter

from tasks.settings.load import load_config

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def stages(operation, run_id):
    """The state in which each task of a flow run ended."""
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    tasks = operation.client.read_task_runs(flow_run_filter=only, task_run_filter=TaskRunFilter())
    return {task.name: task.state.name for task in tasks}


def ended(run):
    """What a run of `retrain` found: its state is Prefect's own."""
    assert run.state.name == "Completed", run.state.message
    return run.state.message.partition(":")[0]


def artifacts(operation, run_id):
    only = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    return operation.client.read_artifacts(flow_run_filter=only, artifact_filter=ArtifactFilter())


def test_from_a_worker_to_a_training_that_new_data_starts(demo, tracking_uri, prefect_database, tmp_path):
    mlflow = MlflowClient(tracking_uri)
    config = {"base_path": str(demo)}  # the CLIP and the batch size are those of the folder's mmctr.toml
    short = {"config": config | {"train": {"epochs": 2}}}
    watch = short | {"settle_seconds": 0.5}
    with Operation(tmp_path, base_path=demo, tracking_uri=tracking_uri, database=prefect_database) as operation:
        assert operation.schedules == {
            "pipeline/train": {"nightly": False},
            "retrain/retrain": {"every-15-minutes": True},
        }
        first = operation.run("pipeline/train", short)
        assert first.state.name == "Completed", first.state.message
        assert first.parameters["config"] == load_config(demo, overrides=["train.epochs=2"]).model_dump(mode="json")
        assert Counter(stages(operation, first.id).values()) == {"Completed": 7}
        assert (demo / "predictions_task1and2/prediction.zip").is_file()
        kinds = Counter(artifact.type for artifact in artifacts(operation, first.id))
        assert kinds == {"markdown": 2, "table": 1, "image": 1, "progress": 2}  # a link is Markdown
        (training,) = mlflow.search_runs(["1"])
        assert str(first.id) in training.data.tags["prefect.flow_run_url"]
        assert training.data.tags["mmctr.reason"] == "by hand"
        champion = mlflow.get_model_version_by_alias("mmctr-din", "champion")
        assert champion.run_id == training.info.run_id

        train = demo / "MicroLens_1M_x1/train.parquet"
        rows = pl.read_parquet(train)
        pl.concat([rows, rows.sample(300, seed=0)]).write_parquet(train)
        os.utime(train)
        assert ended(operation.run("retrain/retrain", watch)) == "Started"
        (started,) = (run for run in operation.runs_of("pipeline") if run.id != first.id)
        second = operation.end(started.id)
        assert second.state.name == "Completed", second.state.message
        assert second.parameters["reason"] == "train changed"
        cached = {"extract", "embed", "reduce", "build_weights"}
        states = stages(operation, second.id)
        assert {name for name, state in states.items() if state == "Cached"} == cached, states
        newest, _ = mlflow.search_runs(["1"], order_by=["attributes.start_time DESC"])
        assert newest.data.tags["mmctr.reason"] == "train changed"
        (version,) = mlflow.search_model_versions(f"run_id='{newest.info.run_id}'")
        better = float(version.tags["decision.auc"]) > float(version.tags["decision.champion_auc"])
        expected = newest if better else training
        assert mlflow.get_model_version_by_alias("mmctr-din", "champion").run_id == expected.info.run_id
        assert version.tags["decision"] == ("champion" if better else "challenger")

        assert len(operation.runs_of("pipeline")) == 2

        look_id = operation.start("retrain/retrain", watch)  # looks at the data beside the next training
        long = {"config": config | {"train": {"batch_size": 64, "epochs": 1000, "patience": 1000}}}
        run_id = operation.start("pipeline/train", long)
        cancelled = wait_for("training", lambda: next(iter(mlflow.search_runs(["1"], "status = 'RUNNING'")), None))
        operation.cancel(run_id)
        assert operation.end(run_id).state.name == "Cancelled"
        assert ended(operation.end(look_id)) == "Unchanged"
        wait_for("KILLED", lambda: mlflow.get_run(cancelled.info.run_id).info.status == "KILLED" or None, seconds=30)

        heard = operation.alert()
        wrong = {"config": config | {"embed": {"max_failure_share": 0.0}}}
        refused = operation.run("pipeline/train", wrong).state
        assert (refused.name, refused.message[:9]) == ("Failed", "Refused: ")
        wait_for("alert", lambda: heard or None, seconds=60)
        assert heard == [f"Failed: {refused.message}"]
        wait_for("its last line", lambda: "in state Failed('Refused: " in operation.log("worker") or None, seconds=10)
        log = operation.log("worker")
        assert log.count("At most 0% of the images may be unreadable") == 1, log
        assert "Traceback" not in log.split("Cancel")[-1]
    assert all(process.poll() is not None for process in operation.processes)
    assert not groups(operation)


def groups(operation):
    """Processes that are left of those that were started."""
    leaders = {process.pid for process in operation.processes}
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) in leaders and fields[0] != "Z":
            found.append((entry.parent.name, fields))
    return found

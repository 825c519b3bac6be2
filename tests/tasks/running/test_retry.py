"""A second try where it can help, none where it cannot, and one MLflow run in either case."""

import errno
import sqlite3
import time

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mmctr.common.errors import InputError
from tasks.running.transient import is_transient
from tasks.settings.load import load_config

SHORT = ["train.epochs=2", "train.batch_size=256", "run.retry_delay=0"]


def chained(outer, inner):
    outer.__cause__ = inner
    return outer


def sqlite_error(code):
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (ConnectionResetError(errno.ECONNRESET, "reset"), True),
        (chained(MlflowException("no answer"), ConnectionRefusedError(errno.ECONNREFUSED, "refused")), True),
        (sqlite_error(sqlite3.SQLITE_BUSY), True),
        (sqlite_error(sqlite3.SQLITE_BUSY | (2 << 8)), True),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), False),
        (MlflowException("no such run", error_code=5), False),
        (FileNotFoundError(errno.ENOENT, "absent"), False),
        (InputError("the rule, the value, the remedy"), False),
        (ValueError("a fault of ours"), False),
        (MemoryError(), False),
    ],
)
def test_which_errors_are_transient(error, transient):
    assert is_transient(error) is transient


@pytest.fixture
def flaky(monkeypatch):
    """Makes the call of a library function fail at first, `errors` in turn."""
    calls = []

    def fail_first(target, errors):
        module, _, name = target.rpartition(".")
        original = getattr(__import__(module, fromlist=[name]), name)

        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) <= len(errors):
                raise errors[len(calls) - 1]
            return original(*args, **kwargs)

        monkeypatch.setattr(target, call)
        return calls

    return fail_first


@pytest.mark.integration
def test_an_error_that_passes_is_tried_again_in_the_same_mlflow_run(prefect_server, demo, tracking_uri, flaky):
    from flows.pipeline import pipeline

    calls = flaky("mmctr.models.checkpoint.save_checkpoint", [OSError(errno.EIO, "Input/output error")] * 2)
    summary = pipeline(load_config(demo, overrides=SHORT))
    assert len(calls) == 3
    client = MlflowClient(tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("mmctr").experiment_id])
    assert (run.info.run_id, run.info.status) == (summary.mlflow_run, "FINISHED")
    assert [m.step for m in client.get_metric_history(summary.mlflow_run, "train_loss") if not m.model_id] == [1, 2]


@pytest.mark.integration
def test_what_does_not_pass_is_tried_once_and_the_run_says_why(prefect_server, demo, tracking_uri, flaky):
    from flows.pipeline import pipeline

    calls = flaky("mmctr.models.checkpoint.save_checkpoint", [ValueError("a fault of ours")])
    with pytest.raises(ValueError, match="a fault of ours"):
        pipeline(load_config(demo, overrides=SHORT))
    assert len(calls) == 1
    client = MlflowClient(tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("mmctr").experiment_id])
    assert run.info.status == "FAILED"
    assert run.data.tags["mlflow.note.content"] == "ValueError: a fault of ours"


@pytest.mark.integration
def test_a_stage_ends_in_the_time_it_is_given(prefect_server, demo, tracking_uri, monkeypatch):
    from flows.pipeline import pipeline

    def endless(*_):
        for _ in range(1200):  # in steps, as the thread that pytest's own time limit makes Prefect use ends no sleep
            time.sleep(0.05)

    monkeypatch.setattr("mmctr.models.checkpoint.save_checkpoint", endless)
    state = pipeline(load_config(demo, overrides=[*SHORT, "run.timeout={train = 5}"]), return_state=True)
    assert (state.name, state.message[:9]) == ("Failed", "Refused: ")
    assert "train must end in the time that run.timeout allows" in state.message
    client = MlflowClient(tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("mmctr").experiment_id])
    assert (run.info.status, run.data.tags["mlflow.note.content"]) == ("FAILED", "run.timeout was over")


@pytest.mark.integration
def test_a_process_that_died_leaves_no_run_running(prefect_server, tracking_uri):
    """What a worker calls for a flow run whose process is gone."""
    from prefect.client.schemas.objects import FlowRun
    from prefect.states import Crashed

    from flows.pipeline import pipeline
    from flows.run.hooks import end_mlflow_runs
    from tasks.tracking.store import FLOW_RUN_TAG, Tracker

    tracker = Tracker(tracking_uri, "mmctr")
    flow_run = FlowRun(flow_id="00000000-0000-0000-0000-000000000001", parameters={"config": {"base_path": "/data"}})
    ours, other = (
        tracker.client.create_run(tracker.experiment_id(), tags={FLOW_RUN_TAG: tag}).info.run_id
        for tag in (str(flow_run.id), "another")
    )
    end_mlflow_runs(pipeline, flow_run, Crashed(message="the process is gone"))
    assert tracker.client.get_run(ours).info.status == "KILLED"
    assert "the process is gone" in tracker.client.get_run(ours).data.tags["mlflow.note.content"]
    assert tracker.client.get_run(other).info.status == "RUNNING"

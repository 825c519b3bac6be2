"""What the flow `retrain` finds and starts; in test_operation.py a worker runs the training that it starts."""

import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running, Scheduled

from flows.retrain import retrain
from flows.run.starts import address, attempts_at, start, why_not_again
from mmctr.common.errors import InputError
from tasks.cache.run_manifest import ManifestWriter
from tasks.cache.workspace import Workspace
from tasks.running.refusal import refused
from tasks.settings.load import completed
from tasks.settings.sections import PipelineConfig
from tasks.tracking.registry import Registry, Version

DAY = 86_400


class Server:
    """Stands in for the runs that Prefect's server keeps."""

    def __init__(self):
        self.runs: list[tuple[str, dict, FlowRun]] = []

    def attempts_at(self, subject):
        return [run for known, _, run in reversed(self.runs) if known == subject]

    def start(self, deployment, *, subject, parameters, earlier):
        assert deployment == "pipeline/train"
        run = flow_run(Scheduled(), number=len(earlier) + 1)
        self.runs.append((subject, json.loads(json.dumps(parameters)), run))
        return run

    @property
    def reasons(self):
        return [parameters["reason"] for _, parameters, _ in self.runs]


def flow_run(state: State, *, number: int = 1, ago: timedelta = timedelta()) -> FlowRun:
    state.timestamp = datetime.now(UTC) - ago
    id_ = "00000000-0000-0000-0000-000000000001"
    return FlowRun(flow_id=id_, name=f"attempt-{number}", state=state, idempotency_key=f"subject-{number}")


@pytest.fixture
def server(monkeypatch):
    found = Server()
    monkeypatch.setattr("flows.retrain.attempts_at", found.attempts_at)
    monkeypatch.setattr("flows.retrain.start", found.start)
    return found


@pytest.fixture
def look(demo, tracking_uri, server):
    for path in demo.rglob("*"):
        os.utime(path)

    def look(**settings):
        state = retrain.fn(PipelineConfig(base_path=demo), **{"settle_seconds": 0.0, **settings})
        assert state.name in ("Completed", "Failed"), "names that Prefect's pages and filters know"
        found, _, message = state.message.partition(": ")
        return found, message

    return look


@pytest.fixture
def digests(demo):
    from flows.run.inputs import name_inputs

    def digests():
        config = completed(PipelineConfig(base_path=demo))
        return name_inputs(config, Workspace(demo)).digests()

    return digests


def champion_of(monkeypatch, digests):
    tags = {f"digest.{name}": digest for name, digest in digests.items()}
    monkeypatch.setattr(Registry, "version_at", lambda *_: Version("1", "run", ("champion",), tags))


def change(demo, name="train"):
    path = demo / f"MicroLens_1M_x1/{name}.parquet"
    rows = pl.read_parquet(path)
    rows.head(len(rows) - 1).write_parquet(path)


def test_without_a_champion_the_first_training_is_started(look, server, demo):
    found, message = look()
    assert (found, message) == (
        "Started",
        f"there is no champion yet; {address(server.runs[0][2])} of pipeline/train trains on it",
    )
    ((_, parameters, _),) = server.runs
    assert parameters == {"config": {"base_path": str(demo)}, "reason": "there is no champion yet"}


def test_the_settings_of_the_folder_decide_what_has_changed(look, server, demo, digests, monkeypatch):
    """The demo's mmctr.toml names a CLIP of its own; a deployment gives the folder alone."""
    assert "tiny_clip.pt" in (demo / "mmctr.toml").read_text()
    champion_of(monkeypatch, digests())
    assert look() == ("Unchanged", "the champion was trained on this data")
    assert server.runs == []


def test_a_change_starts_one_training(look, server, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo)
    assert look()[0] == "Started"
    for _ in range(2):
        found, message = look()
        assert found == "Waiting"
        assert message.startswith(f"train changed; {address(server.runs[0][2])} waits for a worker")
    change(demo)
    assert look()[0] == "Started"
    assert server.reasons == ["train changed"] * 2
    assert server.runs[0][0] != server.runs[1][0]


def test_a_refused_training_is_started_again_when_the_settings_change(look, server, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo)
    look()
    server.runs[0][2].state = refused(InputError("the rule, the value, the remedy"))
    found, message = look(again_after_hours=1e-9)
    assert (found, len(server.runs)) == ("Waiting", 1)
    assert f"{address(server.runs[0][2])} was refused" in message
    assert "(the rule, the value, the remedy)" in message
    (demo / "mmctr.toml").write_text((demo / "mmctr.toml").read_text() + "patience = 5\n")
    assert look()[0] == "Started"


@pytest.mark.parametrize(
    ("state", "number", "ago", "answer"),
    [
        (Scheduled(), 1, timedelta(days=9), "waits for a worker"),
        (Pending(), 1, timedelta(days=9), "waits for a worker"),
        (Running(), 1, timedelta(hours=23), "runs since"),
        (Running(), 1, timedelta(hours=25), None),
        (Completed(), 1, timedelta(days=9), "ended well"),
        (Cancelled(), 1, timedelta(days=9), "was cancelled"),
        (refused(InputError("a mistake")), 1, timedelta(days=9), "was refused"),
        (Crashed(), 1, timedelta(minutes=59), "ended badly"),
        (Crashed(), 1, timedelta(minutes=61), None),
        (Failed(message="Flow run encountered an exception: OSError"), 2, timedelta(minutes=119), "ended badly"),
        (Failed(message="Flow run encountered an exception: OSError"), 2, timedelta(minutes=121), None),
        (Crashed(), 50, timedelta(hours=23), "ended badly"),
        (Crashed(), 50, timedelta(hours=25), None),
    ],
    ids=lambda value: value.name if isinstance(value, State) else str(value),
)
def test_when_a_training_is_started_again(state, number, ago, answer):
    runs = [flow_run(state, number=number, ago=ago), flow_run(Crashed(), ago=timedelta(days=10))]
    found = why_not_again(runs, again_after=timedelta(hours=24))
    assert (found is None) if answer is None else (answer in found), found


def test_a_change_that_a_run_has_dealt_with_is_none(look, server, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo, "test")
    written = ManifestWriter(Workspace(demo), settings="", inputs=digests(), vectors="v", ancestor="")
    assert look()[0] == "Started", "the run has not finished"
    written.finish(mlflow_run="r")
    assert look() == ("Unchanged", "a finished run has dealt with the change of test")
    assert len(server.runs) == 1


def test_a_young_file_is_looked_at_later(look, server, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo)
    found, message = look(settle_seconds=3600.0)
    assert found == "Unsettled"
    assert message.startswith("train changed ")
    assert server.runs == []


def test_a_time_in_the_future_is_said_and_settles(look, server, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo)
    time.sleep(0.3)
    path = demo / "MicroLens_1M_x1/train.parquet"
    os.utime(path, (time.time() + 2 * DAY,) * 2)
    assert look(settle_seconds=60.0)[0] == "Unsettled", "its change time is that of a moment ago"
    time.sleep(0.3)
    found, message = look(settle_seconds=0.2)
    assert found == "Started"
    assert message.endswith("; the time of train is in the future, and does not count")


@pytest.mark.parametrize("stays", [True, False])
def test_files_of_which_no_time_has_come_are_watched(look, server, demo, digests, monkeypatch, stays):
    """As after the clock was set back: nobody knows how old they are."""
    champion_of(monkeypatch, digests())
    change(demo)
    now = time.time_ns
    monkeypatch.setattr("flows.retrain.time.time_ns", lambda: now() - 2 * DAY * 10**9)
    watched = []

    def watch(seconds):
        if seconds != 30.0:  # a thread of Prefect's, which sleeps by the same function
            return
        watched.append(seconds)
        if not stays:
            change(demo)

    monkeypatch.setattr("flows.retrain.time.sleep", watch)
    found, message = look(settle_seconds=30.0)
    assert (found, watched) == ("Started" if stays else "Unsettled", [30.0])
    assert "the time of images, items, test, train, valid is in the future" in message


def test_a_file_that_changes_while_it_is_read_is_looked_at_later(look, server, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo)
    original = Workspace.file_ref

    def appended(self, path):
        ref = original(self, path)
        if path.name == "train.parquet":
            with path.open("ab") as stream:
                stream.write(b"more")
        return ref

    monkeypatch.setattr(Workspace, "file_ref", appended)
    assert look() == ("Unsettled", "the data changed while it was read; looked at later")
    assert server.runs == []


def test_absent_data_is_refused(look, server, demo):
    (demo / "MicroLens_1M_x1/valid.parquet").unlink()
    found, message = look()
    assert found == "Refused"
    assert "valid.parquet is missing" in message


def test_looks_and_runs_in_one_folder_do_not_disturb_each_other(demo):
    """A run takes the lock and clears up; looks beside it write down digests. Each file is new to both each time."""
    problems, over = [], threading.Event()
    files = [demo / f"MicroLens_1M_x1/{name}.parquet" for name in ("train", "valid", "test")]
    for path in files:
        os.utime(path, (time.time() - DAY,) * 2)
    time.sleep(2.1)  # digests of files whose change is younger are not remembered

    def work(step):
        while not over.is_set():
            try:
                step()
            except Exception as problem:
                problems.append(problem)

    def run():
        with Workspace(demo).running():
            look_at_all()

    def look_at_all():
        workspace = Workspace(demo)
        (workspace.root / "digests.json").unlink(missing_ok=True)
        for path in files:
            workspace.file_ref(path)

    threads = [threading.Thread(target=work, args=(step,)) for step in (run, look_at_all, look_at_all)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    over.set()
    for thread in threads:
        thread.join()
    assert problems == []
    with Workspace(demo).alone():
        assert not list((demo / ".mmctr").glob(".*.partial"))


@pytest.mark.integration
def test_prefects_server_keeps_what_was_started(prefect_server):
    from flows.pipeline import pipeline

    with pytest.raises(InputError, match=r"deployment pipeline/nowhere, which .* does not have; run `prefect deploy"):
        start("pipeline/nowhere", subject="mmctr-data-a", parameters={}, earlier=[])
    given = {"parameters": {"reason": "train changed"}}
    with get_client(sync_client=True) as client:
        client.create_deployment(flow_id=client.create_flow(pipeline), name="kept")
        first = start("pipeline/kept", subject="mmctr-data-a", earlier=[], **given)
        at_the_same_time = start("pipeline/kept", subject="mmctr-data-a", earlier=[], **given)
        assert first.id == at_the_same_time.id
        assert [run.id for run in attempts_at("mmctr-data-a")] == [first.id]
        assert attempts_at("mmctr-data-b") == []
        client.set_flow_run_state(first.id, Crashed(message="the machine is gone"), force=True)
        second = start("pipeline/kept", subject="mmctr-data-a", earlier=attempts_at("mmctr-data-a"), **given)
        client.delete_flow_run(first.id)
        client.set_flow_run_state(second.id, refused(InputError("a mistake")), force=True)
        kept = attempts_at("mmctr-data-a")
        assert [run.id for run in kept] == [second.id]
        assert "(a mistake)" in why_not_again(kept, again_after=timedelta(hours=1))
        third = start("pipeline/kept", subject="mmctr-data-a", earlier=kept, **given)
        assert len({first.id, second.id, third.id}) == 3
        assert third.parameters == {"reason": "train changed"}

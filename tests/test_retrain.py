"""What the flow `retrain` finds, without a server; tests/test_operation.py has the event start a training."""

import json
import os
from datetime import UTC, datetime

import polars as pl
import pytest

from flows.retrain import dataset_id, retrain
from tasks.config import PipelineConfig
from tasks.references import Workspace
from tasks.registry import Registry, Version
from tasks.run_manifest import write_manifest


@pytest.fixture
def events(monkeypatch):
    emitted = []
    monkeypatch.setattr("flows.retrain.emit_event", lambda event, **content: emitted.append((event, content)))
    return emitted


@pytest.fixture
def look(demo, tracking_uri, events):
    config = PipelineConfig(base_path=demo, embed={"model": str(demo / "tiny_clip.pt")}, train={"epochs": 3})
    for path in demo.rglob("*"):
        os.utime(path)

    def look(**settings):
        state = retrain.fn(config, **{"settle_seconds": 0.0, **settings})
        return state.name, state.message

    return look


@pytest.fixture
def digests(demo):
    from flows.inputs import name_inputs

    return lambda: name_inputs(
        PipelineConfig(base_path=demo, embed={"model": str(demo / "tiny_clip.pt")}), Workspace(demo)
    ).digests()


def champion_of(monkeypatch, digests):
    tags = {f"digest.{name}": digest for name, digest in digests.items()}
    monkeypatch.setattr(Registry, "at", lambda *_: Version("1", "run", ("champion",), tags))


def change(demo, name="train"):
    path = demo / f"MicroLens_1M_x1/{name}.parquet"
    rows = pl.read_parquet(path)
    rows.head(len(rows) - 1).write_parquet(path)


def test_without_a_champion_the_first_training_is_announced_with_its_config(look, events, demo):
    assert look() == ("Announced", "there is no champion yet: dataset.changed emitted")
    ((event, content),) = events
    assert event == "dataset.changed"
    assert content["resource"]["prefect.resource.id"] == dataset_id(demo)
    payload = json.loads(json.dumps(content["payload"]))
    assert PipelineConfig.model_validate(payload["config"]).train.epochs == 3
    assert set(payload["changed"]) == {"items", "archive", "train", "valid", "test", "clip_model"}


def test_a_change_is_announced_once_and_again_after_a_while(look, events, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    assert look() == ("Unchanged", "the champion was trained on this data")
    change(demo)
    assert look() == ("Announced", "train changed: dataset.changed emitted")
    assert look()[0] == "Underway"
    assert look()[0] == "Underway"
    assert len(events) == 1
    assert look(again_after_hours=1e-9)[0] == "Announced"
    assert len(events) == 2
    assert events[0][1]["payload"]["digest"] == events[1][1]["payload"]["digest"]
    change(demo)
    assert look()[0] == "Announced"
    assert events[2][1]["payload"]["digest"] != events[1][1]["payload"]["digest"]


def test_a_change_that_a_run_has_dealt_with_is_none(look, events, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo, "test")
    write_manifest(Workspace(demo), stages={}, inputs=digests(), vectors="v", mlflow_run="r", ancestor="")
    assert look() == ("Unchanged", "a finished run has dealt with the change of test")
    assert events == []


def test_a_young_file_is_looked_at_later(look, events, demo, digests, monkeypatch):
    champion_of(monkeypatch, digests())
    change(demo)
    name, message = look(settle_seconds=3600.0)
    assert name == "Unsettled"
    assert message.startswith("train changed ")
    assert events == []


def test_a_file_that_changes_while_it_is_read_is_looked_at_later(look, events, demo, digests, monkeypatch):
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
    assert events == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"[1]", b'{"a": 3}', b'{"a": "yesterday"}'])
def test_a_damaged_memory_only_costs_an_announcement(look, events, demo, content):
    look()
    (demo / ".mmctr/announced.json").write_bytes(content)
    assert look()[0] == "Announced"
    announced = json.loads((demo / ".mmctr/announced.json").read_bytes())
    assert all(datetime.fromisoformat(at) <= datetime.now(UTC) for at in announced.values())


def test_absent_data_is_refused(look, events, demo):
    (demo / "MicroLens_1M_x1/valid.parquet").unlink()
    name, message = look()
    assert name == "Refused"
    assert "valid.parquet is missing" in message

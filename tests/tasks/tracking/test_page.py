"""What a flow run's page in Prefect shows of a training, and when."""

from unittest.mock import Mock
from uuid import uuid4

import pytest
from mlflow import MlflowClient

import mmctr.training.epoch
import mmctr.training.loop
import tasks.tracking.page
from flows.pipeline import pipeline
from flows.run.summary import Summary
from tasks.settings.load import load_config
from tasks.tracking.page import EpochTable, show_auc_plot, show_link

EPOCHS = [{"epoch": 1, "valid_auc": 0.5}, {"epoch": 2, "valid_auc": 0.6}]


class Tracker:
    def run_address(self, run_id):
        return f"http://mlflow/{run_id}"


@pytest.fixture
def made(monkeypatch):
    """The kinds of what is shown, in order, as on a page that a flow run has."""
    shown = []
    for kind in ("link", "table", "image"):
        name = f"create_{kind}_artifact"
        monkeypatch.setattr(tasks.tracking.page, name, lambda *_, kind=kind, **__: shown.append(kind) or uuid4())
    monkeypatch.setattr(tasks.tracking.page, "get_client", lambda **_: Mock())  # an update of what is there already
    return shown


@pytest.fixture
def on_a_page(monkeypatch):
    monkeypatch.setattr(tasks.tracking.page.FlowRunContext, "get", lambda: object())


def test_one_that_cannot_be_shown_does_not_lose_the_others(made, on_a_page, monkeypatch, caplog):
    def failing(*_, **__):
        raise ConnectionError("the server is away")

    monkeypatch.setattr(tasks.tracking.page, "create_link_artifact", failing)
    show_link(Tracker(), "r")
    EpochTable()(EPOCHS, last=True)
    show_auc_plot(Tracker(), "r")  # this tracker has no client to fetch a plot with
    assert made == ["table"]
    assert "lacks the link to MLflow: the server is away" in caplog.text
    assert "lacks the plot of the AUC" in caplog.text


def test_without_a_flow_run_nothing_is_shown_and_nothing_is_said(made, caplog):
    show_link(Tracker(), "r")
    EpochTable()(EPOCHS, last=True)
    assert made == []
    assert caplog.text == ""


def test_the_summary_says_when_training_stopped_early():
    facts = {"stages": [], "seconds": 1.0, "items": dict.fromkeys(NAMES, 0), "explained_variance": 1.0, "outputs": {}}
    facts |= {"test_auc": None, "test_logloss": None, "part_variances": {"text": 0.25, "image": 0.5}}
    facts |= {"n_components": 8, "best_epoch": 3, "valid_auc": 0.7, "valid_logloss": 0.5, "rows": 5, "reason": "x"}
    facts |= {"mlflow_run": "r", "mlflow_address": "http://m", "decision": Decision, "owner": "the champion"}
    facts |= {"preset": "mission", "rules": "free"}
    assert (
        "keep 100.00% of the variance (25.00% of text's, 50.00% of image's)"
        in Summary(**facts, epochs=6, most_epochs=6).text()
    )
    assert "stopped" not in Summary(**facts, epochs=6, most_epochs=6).text()
    assert "logloss 0.5000; stopped early after epoch 6 of 20" in Summary(**facts, epochs=6, most_epochs=20).text()
    assert not {"preset", "rules"} & set(Summary(**facts, epochs=6, most_epochs=6).text().split())
    asked = Summary(**{**facts, "preset": "./mine.toml", "rules": "task1"}, epochs=6, most_epochs=6).text()
    assert "\npreset        ./mine.toml\nrules         task1 of the challenge, kept\n" in asked


NAMES = ("items", "missing_images", "unreadable_images", "missing_titles", "neither", "unknown_images")


class Decision:
    version, reason = "1", "champion"


@pytest.mark.integration
@pytest.mark.usefixtures("prefect_server")
def test_a_training_shows_itself_from_its_start_cached_or_not_and_a_diverged_one_says_why(
    demo, tracking_uri, made, monkeypatch
):
    config = load_config(demo, overrides=["train.epochs=2", "train.batch_size=128", "train.patience=1"], device="cpu")
    train, step, taken = mmctr.training.loop.train_model, mmctr.training.epoch.train_step, []

    def spoiled(model, *rest, **settings):
        loss = step(model, *rest, **settings)
        taken.append(loss)
        return loss * float("nan") if len(taken) == 3 else loss

    monkeypatch.setattr(mmctr.training.epoch, "train_step", spoiled)
    state = pipeline(config, return_state=True)
    assert state.is_failed()
    assert (
        "diverged in epoch 1: the loss of the step after 256 rows is nan; lower train.learning_rate (" in state.message
    )
    (run,) = MlflowClient(tracking_uri).search_runs(["1"])
    assert run.info.status == "FAILED"
    assert "lower train.learning_rate (" in run.data.tags["mlflow.note.content"]
    assert made == ["link"]

    def noted(*splits, **settings):
        made.append("training begins")
        return train(*splits, **settings)

    monkeypatch.setattr(mmctr.training.epoch, "train_step", step)
    monkeypatch.setattr(mmctr.training.loop, "train_model", noted)
    for expected in (["link", "training begins", "table", "image"], ["link", "table", "image"]):
        made.clear()
        pipeline(config)
        assert [kind for at, kind in enumerate(made) if kind not in made[:at]] == expected

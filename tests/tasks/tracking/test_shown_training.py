"""What is shown of a training that validates within its epochs, with every switch of the recipe on."""

import json
import logging

import pytest
from mlflow import MlflowClient

import tasks.tracking.page
import tasks.tracking.shown_training
from flows.pipeline import pipeline
from mmctr.training.state import Epoch
from tasks.settings.load import load_config
from tasks.tracking.plots import auc_plot
from tasks.tracking.shown_training import ShownTraining
from tasks.tracking.trial import Trial

SWITCHES = [
    *("train.validate_steps=3", "train.pairwise_weight=0.5", "train.net_l2=0.001", "train.embedding_l2=0.001"),
    *("train.ema_decay=0.9", "train.reset_embeddings=true", "train.schedule=cosine", "train.warmup_steps=2"),
    *("train.epochs=2", "train.batch_size=256", "embed.source=none", "promote.publish=latest"),
]
FIGURES = {
    *("epoch", "step", "train_loss", "l2_loss", "learning_rate"),
    *("valid_auc", "valid_gauc", "valid_logloss", "valid_normalised_entropy"),
}


@pytest.mark.integration
@pytest.mark.usefixtures("prefect_server")
def test_validations_within_epochs_are_shown_by_their_steps(demo, tracking_uri, monkeypatch, caplog):
    shown = []
    monkeypatch.setattr(tasks.tracking.page.EpochTable, "_show", lambda _, epochs: shown.append(epochs))
    with caplog.at_level(logging.INFO):
        summary = pipeline(load_config(demo, overrides=SWITCHES, device="cpu"))
    (history,) = (demo / ".mmctr/store/train").glob("*/epochs.json")
    epochs = json.loads(history.read_bytes())
    assert all(epoch.keys() == FIGURES for epoch in epochs)
    assert shown[-1] == epochs
    ends = [[epoch["step"] for epoch in epochs if epoch["epoch"] == number] for number in (1, 2)]
    for begin, steps in zip((0, ends[0][-1]), ends, strict=True):
        assert steps[:-1] == list(range(begin + 3, steps[-1], 3))
        assert len(steps) > 2
    client = MlflowClient(tracking_uri)
    for name in FIGURES - {"step"}:
        logged = client.get_metric_history(summary.mlflow_run, name)
        assert [(one.step, one.value) for one in logged] == [(epoch["step"], epoch[name]) for epoch in epochs], name
    best = max(epochs, key=lambda epoch: epoch["valid_auc"])
    metrics = client.get_run(summary.mlflow_run).data.metrics
    assert (metrics["best_step"], metrics["best_valid_gauc"]) == (best["step"], best["valid_gauc"])
    assert (summary.epochs, summary.best_epoch, summary.valid_auc) == (2, best["epoch"], best["valid_auc"])
    assert f"epoch 1, step 3: train loss {epochs[0]['train_loss']:.4f}, L2 " in caplog.text


class Run:
    """An MLflow run that keeps what it is given."""

    tracker, run_id = None, "r"

    def __init__(self):
        self.epochs = []

    def log_epoch(self, epoch):
        self.epochs.append(epoch)


def test_the_log_tells_the_figures_that_there_are(caplog, monkeypatch):
    monkeypatch.setattr(tasks.tracking.shown_training, "logger", lambda: logging.getLogger("mmctr"))
    shown = ShownTraining(Run(), Trial())
    with caplog.at_level(logging.INFO):
        shown.add_epoch(Epoch(2, 0.25, 0.75, 0.5, 0.001, 1234.4, 0.9, 0.625))
        shown.add_epoch(Epoch(2, 0.25, 0.75, 0.5, 0.001, 1234.4, 0.9, None, 0.125, 1700))
    assert [record.getMessage() for record in caplog.records] == [
        "epoch 2: train loss 0.2500, valid AUC 0.7500, valid gAUC 0.6250, valid logloss 0.5000, normalised entropy "
        "0.9000, learning rate 0.001, 1234 rows/s",
        "epoch 2, step 1,700: train loss 0.2500, L2 0.1250, valid AUC 0.7500, valid logloss 0.5000, normalised entropy "
        "0.9000, learning rate 0.001, 1234 rows/s",
    ]
    assert shown.epochs[0].keys() == FIGURES - {"l2_loss", "step"}


def test_the_plot_is_drawn_over_steps_with_gauc_and_over_epochs_without():
    within = [Epoch(1, 0.3, 0.7, 0.5, 0.1, 9.0, 0.9, 0.6, None, step) for step in (3, 6)]
    plain = [Epoch(epoch, 0.3, 0.7, 0.5, 0.1, 9.0) for epoch in (1, 2)]
    assert len({auc_plot(within), auc_plot(plain)}) == 2

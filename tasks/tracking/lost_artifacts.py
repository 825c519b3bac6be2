"""Artifacts of a finished training that were deleted from MLflow's store: they are logged again from the cache."""

import json
import logging
from pathlib import Path

from tasks.cache.results import Trained
from tasks.cache.workspace import Workspace
from tasks.tracking.lineage import Lineage
from tasks.tracking.store import Tracker
from tasks.tracking.store_calls import call
from tasks.tracking.training_run import AUC_PLOT, CHECKPOINT, PCA, TrainingRun

MODEL_FILE = "MLmodel"  # of each model that MLflow can load

logger = logging.getLogger(__name__)


def log_lost_artifacts(tracker: Tracker, trained: Trained, *, lineage: Lineage, workspace: Workspace) -> list[str]:
    """Log again what a training's run lacks of its files and models; returns what that was."""
    names = [CHECKPOINT] if lineage.pca is None else [CHECKPOINT, PCA]
    lost = [name for name in names if not _is_there(tracker, trained.run_id, name)]
    checkpoint = workspace.path(trained.checkpoint)
    pca = None if lineage.pca is None else workspace.path(lineage.pca)
    if lost:
        epochs = workspace.path(trained.history)
        run = TrainingRun(tracker, trained.run_id)
        run.log_files(workspace, lineage=lineage, checkpoint=checkpoint, epochs=epochs)
        run.log_plot(lambda: _auc_plot(epochs), AUC_PLOT)
    for model_id, name in _lost_models(tracker, trained.run_id):
        lost.append(f"the model {name}")
        _log_model(tracker, trained.run_id, name, model_id, checkpoint=checkpoint, pca=pca)
    if lost:
        logger.warning("MLflow run %s had lost %s; logged again", trained.run_id, ", ".join(lost))
    return lost


def _is_there(tracker: Tracker, run_id: str, name: str) -> bool:
    return any(found.path == name for found in tracker.client.list_artifacts(run_id, str(Path(name).parent)))


def _lost_models(tracker: Tracker, run_id: str) -> list[tuple[str, str]]:
    """Id and name of each model of a run whose files are gone."""
    run = tracker.client.get_run(run_id)
    models = tracker.client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
    return [
        (model.model_id, model.name)
        for model in models
        if model.name in ("din", "pca")
        and not any(file.path == MODEL_FILE for file in tracker.client.list_logged_model_artifacts(model.model_id))
    ]


def _log_model(tracker: Tracker, run_id: str, name: str, model_id: str, *, checkpoint: Path, pca: Path | None) -> None:
    from tasks.tracking.model_logging import log_din_model, log_pca_model

    def log() -> None:
        if name == "din":
            log_din_model(tracker.uri, run_id, checkpoint=checkpoint, model_id=model_id)
        elif pca is not None:
            log_pca_model(tracker.uri, run_id, pca=pca, model_id=model_id)

    call(log, uri=tracker.uri, pauses=tracker.pauses)


def _auc_plot(epochs: Path) -> bytes:
    from mmctr.training.state import Epoch
    from tasks.tracking.plots import auc_plot

    return auc_plot([Epoch(**row, rows_per_second=float("nan")) for row in json.loads(epochs.read_bytes())])

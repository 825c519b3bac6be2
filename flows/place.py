"""Where a configuration's runs work: the folder, the device, the MLflow store and its registry."""

from pathlib import Path

from tasks.config import PipelineConfig
from tasks.registry import Registry
from tasks.stage import Place
from tasks.tracking import Tracker, default_tracking_uri

PROJECT = Path(__file__).resolve().parents[1]


def tracking_uri() -> str:
    """Address of the MLflow store: `MLFLOW_TRACKING_URI`, or the project's own."""
    return default_tracking_uri(PROJECT)


def place_of(config: PipelineConfig) -> Place:
    """What stages are told of where they work."""
    return Place(
        base_path=config.base_path, device=config.device, tracking_uri=tracking_uri(), experiment=config.experiment
    )


def registry_of(config: PipelineConfig) -> Registry:
    """The registered model of a configuration; its `tracker` is the experiment that its runs are in."""
    return Registry(Tracker(tracking_uri(), config.experiment), config.promote.registered_model)

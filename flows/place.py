"""Where a configuration's runs work: the folder, the device, the MLflow store and its registry."""

from tasks.config import PipelineConfig
from tasks.passing import pauses
from tasks.registry import Registry
from tasks.stage import Place
from tasks.store_address import tracking_uri
from tasks.tracking import Tracker


def place_of(config: PipelineConfig) -> Place:
    """What stages are told of where they work."""
    return Place(
        base_path=config.base_path,
        device=config.device,
        tracking_uri=tracking_uri(),
        experiment=config.experiment,
        pauses=pauses(config.run),
    )


def registry_of(config: PipelineConfig) -> Registry:
    """The registered model of a configuration; its `tracker` is the experiment that its runs are in."""
    tracker = Tracker(tracking_uri(), config.experiment, pauses=pauses(config.run))
    return Registry(tracker, config.promote.registered_model)

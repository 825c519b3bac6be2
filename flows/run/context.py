"""Where a configuration's runs work: the folder, the device, the MLflow store and its registry."""

from tasks.cache.stage import RunContext
from tasks.running.transient import pauses
from tasks.settings.sections import PipelineConfig
from tasks.tracking.registry import Registry
from tasks.tracking.store import Tracker
from tasks.tracking.store_address import tracking_uri


def run_context(config: PipelineConfig) -> RunContext:
    """What stages are told of where they work."""
    return RunContext(
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

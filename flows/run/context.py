"""What a run needs around its stages, of its settings: one workspace, the device, the MLflow store and its registry."""

from flows.run.outputs import workspace_of
from tasks.cache.stage import RunContext
from tasks.running.transient import pauses
from tasks.settings.sections import PipelineConfig
from tasks.tracking.registry import Registry
from tasks.tracking.store import Tracker
from tasks.tracking.store_address import tracking_uri


def run_context(config: PipelineConfig) -> RunContext:
    """A run's surroundings; made once for a run, with its one workspace."""
    return RunContext(workspace=workspace_of(config), device=config.device, run=config.run)


def registry_of(config: PipelineConfig) -> Registry:
    """The registered model of a configuration; its `tracker` is the experiment that its runs are in."""
    tracker = Tracker(tracking_uri(), config.experiment, pauses=pauses(config.run))
    return Registry(tracker, config.promote.registered_model)

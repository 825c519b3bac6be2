"""One trial: the stage `train` with the settings at its point, so that equal settings are trained once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tasks.cache.results import Trained
from tasks.cache.stage import RunContext, StageRunner, stage_key
from tasks.cache.workspace import Workspace
from tasks.running.pruned import PrunedError
from tasks.running.refusal import TimedOutError
from tasks.settings.sections import RunConfig
from tasks.tracking.lineage import Lineage
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import is_kept
from tasks.tracking.trial import Trial
from tasks.train import train

Hear = Callable[[int, int, float], bool]  # trial, validation from 0, its AUC: whether the trial is pruned


@dataclass(frozen=True)
class Surroundings:
    """What all trials of a search have in common, as another process can be told it."""

    base_path: Path
    public: dict[str, str]
    run: RunConfig
    store: str  # address of MLflow's
    experiment: str
    pauses: Sequence[float]
    search: str  # MLflow run

    def tracker(self) -> Tracker:
        """The store of their MLflow runs."""
        return Tracker(self.store, self.experiment, pauses=self.pauses)

    def context(self, device: str) -> RunContext:
        """What a stage is called in."""
        return RunContext(Workspace(self.base_path, public=self.public), device, self.run)


@dataclass(frozen=True)
class Job:
    """A trial that is to be run: what the stage is called with."""

    number: int
    inputs: dict[str, Any]
    lineage: Lineage

    @property
    def key(self) -> str:
        """Cache key of its training."""
        return stage_key(train, self.inputs)


@dataclass(frozen=True)
class Ended:
    """A trial that has ended: with a model, or pruned, in words."""

    number: int
    trained: Trained | None
    pruned: str = ""


def run_trial(job: Job, surroundings: Surroundings, *, device: str, hear: Hear) -> Ended:
    """Train at a trial's point, or take the model that is there.

    Raises:
        InputError: something that further trials would meet too, such as a full disk.
    """
    tracker, context = surroundings.tracker(), surroundings.context(device)
    validations = count()

    def report(auc: float) -> None:
        validation = next(validations)
        if hear(job.number, validation, auc):
            raise PrunedError(f"AUC {auc:.4f} at validation {validation + 1} is below that of others")

    runner = StageRunner(context, intact=lambda result: is_kept(result, tracker=tracker))
    trial = Trial(surroundings.search, job.number, report)
    try:
        return Ended(job.number, runner(train, **job.inputs, trial=trial, tracker=tracker, lineage=job.lineage))
    except (PrunedError, TimedOutError) as reason:
        context.workspace.clear_work(train.name, job.key)  # gigabytes, after some hundred trials
        return Ended(job.number, None, str(reason))

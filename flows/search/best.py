"""What is kept of a search: its best trial's model as a version without an alias, and its settings as TOML."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from flows.search.items import Items
from flows.search.judge import Figure, Judge, Verdict
from flows.search.report import records_json
from flows.search.study import PRESENT, Study
from flows.search.trial import Surroundings, run_trial
from mmctr.common.errors import InputError
from mmctr.common.files import write_bytes
from mmctr.common.text import shown
from tasks.cache.results import Trained
from tasks.settings.load import preset_config
from tasks.settings.presets import MISSION, NOT_OF_A_PRESET
from tasks.settings.sections import PipelineConfig
from tasks.settings.toml import as_toml, changed
from tasks.tracking.fetching import keep_files
from tasks.tracking.registry import Registry
from tasks.tracking.search_run import SEARCH_TAG, log_file
from tasks.tracking.training_run import TrainingRun
from tasks.train import log_model

SETTINGS, TRIALS = "best.toml", "trials.json"  # in the search's folder


@dataclass(frozen=True)
class Kept:
    """The best trial, its figures, and what there is of it."""

    best: FrozenTrial
    verdict: Verdict
    settings: Path
    version: str
    trained: Trained


@dataclass(frozen=True)
class Keeper:
    """Keeps the best trial of a search.

    Attributes:
        study: its trials.
        items: what they train on.
        surroundings: what they run in.
        judge: the validation clicks.
        registry: in which the model becomes a version.
        run: the MLflow run of the search.
    """

    study: Study
    items: Items
    surroundings: Surroundings
    judge: Judge
    registry: Registry
    run: TrainingRun

    def keep(self) -> Kept:
        """Judge the best trial, log and register its model, and write its settings.

        Raises:
            InputError: no trial has ended with a model.
        """
        best = self.study.best()
        if best is None:
            raise InputError(_why_none(self.study.trials()))
        trained = self._trained(best)
        whole = [trial for trial in self.study.trials() if trial.state == TrialState.COMPLETE]
        present = next((trial for trial in whole if trial.user_attrs.get(PRESENT)), None)
        beside = None if present is None or present.number == best.number else self._trained(present).checkpoint
        verdict = self.judge.verdict(trained.checkpoint, beside=beside)
        config = self.study.space.config_at(best.params)
        settings = self.study.folder / SETTINGS
        write_bytes(settings, _settings_text(config, best, name=self.study.folder.name, path=settings).encode())
        version = self._register(best, trained, verdict, config)
        self._log(best, verdict, settings)
        return Kept(best, verdict, settings, version, trained)

    def _trained(self, trial: FrozenTrial) -> Trained:
        """The model of a trial that has ended with one; it is trained again where its files are gone."""
        job = self.items.job_of(trial.number, self.study.space.config_at(trial.params))
        ended = run_trial(job, self.surroundings, device=self.judge.device, hear=lambda *_: False)
        if ended.trained is None:
            raise InputError(
                f"trial {trial.number} must train again, as its files are gone, and does not: {ended.pruned}"
            )
        return ended.trained

    def _register(self, best: FrozenTrial, trained: Trained, verdict: Verdict, config: PipelineConfig) -> str:
        """Log the model and make it a version; returns its number."""
        workspace, found, tracker = self.judge.workspace, self.items.of(config), self.registry.tracker
        log_model(TrainingRun(tracker, trained.run_id), trained, lineage=found.lineage, workspace=workspace)
        reduced = found.items.reduced
        embeddings = None if reduced is None else reduced.item_embeddings
        checkpoint = trained.checkpoint
        keep_files(tracker, trained.run_id, checkpoint=checkpoint, item_embeddings=embeddings, workspace=workspace)
        tags = {f"digest.{name}": digest for name, digest in found.inputs.digests().items()}
        tags |= {"valid_auc": repr(trained.valid_auc), "valid_logloss": repr(trained.valid_logloss)}
        tags |= {"base_path": str(workspace.base_path), SEARCH_TAG: self.study.folder.name}
        tags |= {"search.trial": str(best.number), **{name: str(value) for name, value in _figures(verdict).items()}}
        return self.registry.register(trained.run_id, tags=tags).number

    def _log(self, best: FrozenTrial, verdict: Verdict, settings: Path) -> None:
        """Log the outcome to the run of the search."""
        trials = self.study.folder / TRIALS
        write_bytes(trials, records_json(self.study.trials()))
        for path in (settings, trials):
            log_file(self.run, path)
        figures: Mapping[str, Any] = {"search.trial": best.number, "search.trials": len(self.study.trials())}
        self.run.log_metrics({**figures, **_figures(verdict)}, step=len(self.study.trials()))


def _figures(verdict: Verdict) -> dict[str, float]:
    """Those of both halves, by the names that MLflow has them under."""
    halves: dict[str, Figure] = {"choosing": verdict.choosing, "judging": verdict.judging}
    values = {f"search.{half}_auc": figure.auc for half, figure in halves.items()}
    return values | {f"search.{half}_auc_error": figure.error for half, figure in halves.items()}


def _settings_text(config: PipelineConfig, best: FrozenTrial, *, name: str, path: Path) -> str:
    """The file of the best trial's settings."""
    settings = config.model_dump(mode="json", exclude=set(NOT_OF_A_PRESET))
    base = preset_config(config.preset, base_path=config.base_path).model_dump(mode="json")
    what = f"Trial {best.number} of the search {name}: what differs from the preset {config.preset}."
    head = "".join(f"# {shown(line, limit=1000)}\n" for line in (what, command_of(config, path)))
    return f"{head}\n{as_toml(changed(settings, base))}"


def command_of(config: PipelineConfig, settings: Path) -> str:
    """The command that runs the pipeline with the best trial's settings."""
    preset = "" if config.preset == MISSION else f" --preset {quote(config.preset)}"
    return f"mmctr run {quote(str(config.base_path))}{preset} --config {quote(str(settings))}"


def _why_none(trials: list[FrozenTrial]) -> str:
    """Why there is no best trial."""
    reasons = [str(trial.user_attrs["why"]) for trial in trials if "why" in trial.user_attrs]
    if not reasons:
        return "a search needs time for one trial at least, and none has ended; raise --timeout, and run it again"
    return (
        f"a search needs a trial that ends with a model, and none of {len(trials)} did; the last one: {reasons[-1]}; "
        "narrow the space, or raise --trials"
    )

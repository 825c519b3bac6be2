"""What each run uses, written down in `.mmctr/runs`: which cache keys, which inputs, which MLflow run.

A run writes its manifest when it starts and again before each stage that runs, so that its unfinished work is known.
When it ends, the manifest becomes that of a finished run and says what the cache needs for that run to be all cached
again; manifests of unfinished runs of the same settings go. Two finished runs that used the same are one manifest with
the later time, so a schedule that finds nothing new leaves no thousand files.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mmctr.common.files import write_bytes
from tasks.cache.workspace import Workspace
from tasks.settings.base import Section
from tasks.settings.sections import PipelineConfig

ID_DIGITS = 8
DECIDES = {("embed", "model"), ("reduce", "pca"), ("train", "warm_start")}  # settings that count by what they lead to


class RunManifest(BaseModel):
    """One run, finished or not. Fields that a later version adds are ignored."""

    model_config = ConfigDict(frozen=True)
    started: AwareDatetime | None = None  # UTC; unknown of runs of earlier versions
    finished: AwareDatetime | None = None  # UTC, of the last run that used all this; None: not finished
    settings: str = ""  # `settings_digest` of the run
    stages: dict[str, str]  # cache key of each stage; of an unfinished run, of those that were called
    inputs: dict[str, str]  # digest of each input, by its role
    vectors: str  # folder below .mmctr/vectors that the embedding's code takes vectors from
    ancestor: str = Field("", pattern=r"^\w*$")  # id of the MLflow run that it started from, where it did
    mlflow_run: str = Field("", pattern=r"^\w*$")  # id, once the run is finished

    def used(self) -> dict[str, object]:
        """All but the times."""
        return self.model_dump(mode="json", exclude={"started", "finished"})

    @property
    def time(self) -> datetime:
        """When the run ended, or started where it has not ended."""
        found = self.finished or self.started
        assert found is not None
        return found

    @property
    def file_name(self) -> str:
        """`<UTC time>-<short id>.json`; runs sort by time, and an unfinished one keeps its name."""
        facts = self.used() if self.finished else {"settings": self.settings}
        short = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:ID_DIGITS]
        return f"{self.time:%Y%m%dT%H%M%S.%fZ}-{short}{'' if self.finished else '-unfinished'}.json"


class ManifestWriter:
    """The manifest of a run from its start to its end."""

    def __init__(
        self, workspace: Workspace, *, settings: str, inputs: dict[str, str], vectors: str, ancestor: str
    ) -> None:
        """Write that the run has started."""
        self.workspace = workspace
        self.manifest = RunManifest(
            started=datetime.now(UTC), settings=settings, stages={}, inputs=inputs, vectors=vectors, ancestor=ancestor
        )
        self._write(self.manifest)

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Let other runs see for a block that this one goes on, so that they leave its manifest alone."""
        with self.workspace.locks.of_run(self.manifest.file_name):
            yield

    def begin_stage(self, stage: str, key: str, runs: bool) -> None:
        """Note the cache key of a stage; where the stage runs, before it leaves any work."""
        self.manifest = self.manifest.model_copy(update={"stages": {**self.manifest.stages, stage: key}})
        if runs:
            self._write(self.manifest)

    def finish(self, *, mlflow_run: str, stages: Mapping[str, str] | None = None) -> RunManifest:
        """Write that the run has finished; it replaces what it finished and earlier runs of the same facts.

        With `stages`, these are all that it still needs.
        """
        facts = {"finished": datetime.now(UTC), "mlflow_run": mlflow_run}
        kept = self.manifest.stages if stages is None else dict(stages)
        self.manifest = self.manifest.model_copy(update={**facts, "stages": kept})
        self._write(self.manifest)
        return self.manifest

    def _write(self, manifest: RunManifest) -> None:
        write_bytes(self.workspace.runs / manifest.file_name, manifest.model_dump_json(indent=1).encode())
        for known in [*read_manifests(self.workspace), *read_unfinished(self.workspace)]:
            if known.file_name != manifest.file_name and _replaces(manifest, known) and not self._goes_on(known):
                (self.workspace.runs / known.file_name).unlink(missing_ok=True)

    def _goes_on(self, known: RunManifest) -> bool:
        """Whether another process still needs a manifest: what it leaves unfinished is known by nothing else."""
        is_own = known.started == self.manifest.started
        return not known.finished and not is_own and self.workspace.locks.run_goes_on(known.file_name)


def _replaces(new: RunManifest, known: RunManifest) -> bool:
    """Whether nothing is known by `known` that `new` does not know."""
    if known.finished:
        return bool(new.finished) and known.used() == new.used() and known.time < new.time
    if known.settings != new.settings:
        return False
    return bool(new.finished) or known.stages.items() <= new.stages.items()


def settings_digest(config: PipelineConfig) -> str:
    """SHA-256 of the settings that decide a run's results, wherever and on whatever data it runs."""
    sections = {name: value for name, value in config if isinstance(value, Section)}
    keyed = {name: section.keyed() for name, section in sections.items()}
    chosen = {f"{section}.{field}": getattr(sections[section], field) for section, field in sorted(DECIDES)}
    return hashlib.sha256(json.dumps([keyed, chosen], sort_keys=True).encode()).hexdigest()


def read_manifests(workspace: Workspace) -> list[RunManifest]:
    """Manifests of finished runs, the newest first; files that are no manifests are passed over."""
    return [manifest for manifest in _read(workspace) if manifest.finished]


def read_unfinished(workspace: Workspace) -> list[RunManifest]:
    """Manifests of runs that have not finished, the newest first."""
    return [manifest for manifest in _read(workspace) if not manifest.finished]


def _read(workspace: Workspace) -> list[RunManifest]:
    found = []
    for path in workspace.runs.glob("*.json"):
        if path.is_file():
            try:
                manifest = RunManifest.model_validate_json(path.read_bytes())
            except (FileNotFoundError, ValidationError):  # the first where another run has just replaced it
                continue
            if manifest.finished or manifest.started:
                found.append(manifest)
    return sorted(found, key=lambda manifest: (manifest.time, manifest.file_name), reverse=True)

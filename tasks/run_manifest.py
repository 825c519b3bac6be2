"""What each finished run used, written down in `.mmctr/runs`: which cache keys, which inputs, which MLflow run.

A manifest says what the cache needs for that run to be all cached again. Two runs that used the same are one manifest
with the later time, so a schedule that finds nothing new leaves no thousand files.
"""

import hashlib
import json
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from mmctr.files import write_bytes
from tasks.references import Workspace

ID_DIGITS = 8


class RunManifest(BaseModel):
    """One finished run. Fields that a later version adds are ignored."""

    model_config = ConfigDict(frozen=True)
    finished: AwareDatetime  # UTC, of the last run that used all this
    stages: dict[str, str]  # cache key of each stage
    inputs: dict[str, str]  # digest of each input, by its role
    vectors: str  # folder below .mmctr/vectors that the embedding's code takes vectors from
    ancestor: str = Field("", pattern=r"^\w*$")  # id of the MLflow run that it started from, where it did
    mlflow_run: str = Field(pattern=r"^\w+$")  # id

    def used(self) -> dict[str, object]:
        """All but the time."""
        return self.model_dump(mode="json", exclude={"finished"})

    @property
    def file_name(self) -> str:
        """`<UTC time>-<short id>.json`; names of runs sort by time."""
        used = json.dumps(self.used(), sort_keys=True).encode()
        return f"{self.finished:%Y%m%dT%H%M%S.%fZ}-{hashlib.sha256(used).hexdigest()[:ID_DIGITS]}.json"


def write_manifest(
    workspace: Workspace,
    *,
    stages: dict[str, str],
    inputs: dict[str, str],
    vectors: str,
    ancestor: str,
    mlflow_run: str,
) -> RunManifest:
    """Write down a run that has just finished; an earlier manifest of the same facts gives way to it."""
    manifest = RunManifest(
        finished=datetime.now(UTC),
        stages=stages,
        inputs=inputs,
        vectors=vectors,
        ancestor=ancestor,
        mlflow_run=mlflow_run,
    )
    earlier = [known for known in read_manifests(workspace) if known.used() == manifest.used()]
    write_bytes(workspace.runs / manifest.file_name, manifest.model_dump_json(indent=1).encode())
    for known in earlier:
        if known.file_name != manifest.file_name:
            (workspace.runs / known.file_name).unlink(missing_ok=True)
    return manifest


def read_manifests(workspace: Workspace) -> list[RunManifest]:
    """All manifests, the newest first; files that are none are passed over."""
    found = []
    for path in workspace.runs.glob("*.json"):
        if path.is_file():
            try:
                found.append(RunManifest.model_validate_json(path.read_bytes()))
            except ValidationError:
                continue
    return sorted(found, key=lambda manifest: (manifest.finished, manifest.file_name), reverse=True)

"""Retraining when the data has changed: a look at BASE_PATH, and an event when a training is due.

The look is cheap: a file whose size, inode and times are as before is not read. The event `dataset.changed` starts the
deployment `pipeline/train` through the trigger in prefect.yaml, so whoever else wants to know can listen as well.
"""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.states import Completed
from pydantic import Field

from flows.inputs import look_before, name_inputs
from flows.place import registry_of
from mmctr.errors import InputError
from mmctr.files import write_bytes
from mmctr.rar_volumes import archive_parts
from mmctr.schema import find_inputs
from tasks.config import PipelineConfig
from tasks.references import Workspace
from tasks.refusal import refusing
from tasks.registry import CHAMPION
from tasks.run_manifest import read_manifests

EVENT = "dataset.changed"
ANNOUNCEMENTS_KEPT = 100


@flow(
    name="retrain",
    flow_run_name="retrain-{config.base_path.name}",
    version=version("mmctr"),
    validate_parameters=True,
)
@refusing
def retrain(
    config: PipelineConfig,
    settle_seconds: Annotated[float, Field(ge=0, le=86_400)] = 60.0,
    again_after_hours: Annotated[float, Field(gt=0)] = 24.0,
) -> Any:
    """Announce a change of the data in `config.base_path`, once for each change.

    Args:
        config: the data folder and all settings, which are handed to the training.
        settle_seconds: a file that is younger may still be written; the change is looked at again in the next run.
        again_after_hours: a change is announced again where no training of it has ended well in this time.
    """
    workspace = Workspace(config.base_path)
    look_before(config)
    paths, _ = find_inputs(config.base_path)
    paths |= {part.name: part for part in archive_parts(paths["archive"])[1:]}
    before = _stamps(paths)
    youngest = min(before, key=lambda role: _age_seconds(before[role]))
    if _age_seconds(before[youngest]) < settle_seconds:
        return _ended("Unsettled", f"{youngest} changed {_age_seconds(before[youngest]):.0f} s ago; looked at later")
    digests = name_inputs(config, workspace).digests()
    if _stamps(paths) != before:
        return _ended("Unsettled", "the data changed while it was read; looked at later")

    known = _champions_digests(config)
    changed = sorted(role for role, digest in digests.items() if known.get(role) != digest)
    if not changed:
        return _ended("Unchanged", "the champion was trained on this data")
    if any(manifest.inputs == digests for manifest in read_manifests(workspace)):
        return _ended("Unchanged", f"a finished run has dealt with the change of {', '.join(changed)}")
    digest = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    announced = _announcements(workspace)
    said = announced.get(digest)
    if said is not None and datetime.now(UTC) - said < timedelta(hours=again_after_hours):
        return _ended("Underway", f"the change of {', '.join(changed)} was announced at {said:%Y-%m-%d %H:%M} UTC")

    reason = f"{', '.join(changed)} changed" if known else "there is no champion yet"
    emit_event(
        EVENT,
        resource={"prefect.resource.id": dataset_id(config.base_path), "prefect.resource.name": str(config.base_path)},
        payload={"digest": digest, "changed": changed, "reason": reason, "config": config.model_dump(mode="json")},
    )
    _remember(workspace, {**announced, digest: datetime.now(UTC)})
    return _ended("Announced", f"{reason}: {EVENT} emitted")


def dataset_id(base_path: Path) -> str:
    """The data folder as Prefect's events name it."""
    return f"mmctr.dataset.{hashlib.sha256(str(base_path).encode()).hexdigest()[:16]}"


def _ended(name: str, message: str) -> State[Any]:
    """The flow run's final state, which Prefect shows and logs with its message."""
    return Completed(name=name, message=message)


def _stamps(paths: dict[str, Path]) -> dict[str, tuple[int, int, int]]:
    """Size and both times of each file, in bytes and nanoseconds."""
    try:
        return {
            role: (s.st_size, s.st_mtime_ns, s.st_ctime_ns) for role, s in ((r, p.stat()) for r, p in paths.items())
        }
    except FileNotFoundError as error:
        raise InputError(f"inputs must stay while they are looked at; {error.filename} is gone; run again") from None


def _age_seconds(stamp: tuple[int, int, int]) -> float:
    return (time.time_ns() - max(stamp[1:])) / 1e9


def _champions_digests(config: PipelineConfig) -> dict[str, str]:
    """Digests of the inputs that the champion was trained on; none where there is no champion."""
    champion = registry_of(config).at(CHAMPION)
    tags = {} if champion is None else champion.tags
    return {name.removeprefix("digest."): value for name, value in tags.items() if name.startswith("digest.")}


def _announcements(workspace: Workspace) -> dict[str, datetime]:
    """When each change was announced, by its digest; nothing where the file is absent or garbage."""
    try:
        known = json.loads((workspace.root / "announced.json").read_bytes())
        return {str(digest): datetime.fromisoformat(at) for digest, at in known.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _remember(workspace: Workspace, announced: dict[str, datetime]) -> None:
    latest = sorted(announced.items(), key=lambda item: item[1])[-ANNOUNCEMENTS_KEPT:]
    content = {digest: at.isoformat() for digest, at in latest}
    write_bytes(workspace.root / "announced.json", json.dumps(content, indent=1).encode())

"""Retraining when the data has changed: a look at BASE_PATH, and a run of `pipeline/train` when a training is due.

The look is cheap: a file whose size, inode and times are as before is not read. It needs no lock, so it also looks
while a training works in the folder. What was started is known by Prefect's server (`flows.run.starts`).
"""

import flows.process.environment  # noqa: F401  before Prefect is imported

import hashlib
import json
import time
from collections.abc import Sequence
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from flows.run.context import registry_of
from flows.run.inputs import find_files, look_before, name_inputs
from flows.run.outputs import workspace_of
from flows.run.settings import whole_settings
from flows.run.starts import address, attempts_at, start, why_not_again
from mmctr.common.errors import InputError
from tasks.cache.run_manifest import read_manifests
from tasks.running.refusal import refusing
from tasks.settings.sections import PipelineConfig
from tasks.tracking.registry import CHAMPION, Registry

Stamps = dict[str, tuple[int, int, int]]  # by role of the file: size in bytes, modification and change time in ns
NS = 1_000_000_000


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
    again_after_hours: Annotated[float, Field(gt=0, le=87_600)] = 24.0,
    training: Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")] = "pipeline/train",
) -> Any:
    """Start a training of the data in `config.base_path` when it has changed, once for each change.

    Args:
        config: the data folder, and settings that go over those of its mmctr.toml; the training gets the same.
        settle_seconds: a file that is younger may still be written; the change is looked at again in the next run.
        again_after_hours: longest wait before a training that ended with a fault or a crash is started again.
        training: the deployment that trains.
    """
    whole = whole_settings(config)
    workspace = workspace_of(whole)
    look_before(whole)
    paths = {
        role if len(files) == 1 else f"{role} {workspace.relative(file)}": file
        for role, files in find_files(whole).all().items()
        for file in files
    }
    before = _stamps(paths)
    odd = _in_the_future(before)
    unsettled = _wait_or_say(paths, before, seconds=settle_seconds)
    if unsettled is not None:
        return _ended("Unsettled", unsettled, odd)
    digests = name_inputs(whole, workspace).digests()
    if _stamps(paths) != before:
        return _ended("Unsettled", "the data changed while it was read; looked at later", odd)

    known = _champions_digests(registry_of(whole))
    changed = sorted(role for role, digest in digests.items() if known.get(role) != digest)
    if not changed:
        return _ended("Unchanged", "the champion was trained on this data", odd)
    if any(manifest.inputs == digests for manifest in read_manifests(workspace)):
        return _ended("Unchanged", f"a finished run has dealt with the change of {', '.join(changed)}", odd)

    subject = _subject(whole, digests, training=training)
    earlier = attempts_at(subject)
    reason = f"{', '.join(changed)} changed" if known else "there is no champion yet"
    waiting = why_not_again(earlier, again_after=timedelta(hours=again_after_hours))
    if waiting is not None:
        return _ended("Waiting", f"{reason}; {waiting}", odd)
    parameters = {"config": config.model_dump(mode="json", exclude_unset=True), "reason": reason}
    run = start(training, subject=subject, parameters=parameters, earlier=earlier)
    return _ended("Started", f"{reason}; {address(run)} of {training} trains on it", odd)


def _ended(what: str, message: str, odd: Sequence[str]) -> State[Any]:
    """The flow run's final state, Prefect's own `Completed`, with a message that says what was found."""
    note = f"; the time of {', '.join(odd)} is in the future, and does not count" if odd else ""
    return Completed(message=f"{what}: {message}{note}")


def _stamps(paths: dict[str, Path]) -> Stamps:
    try:
        return {
            role: (s.st_size, s.st_mtime_ns, s.st_ctime_ns) for role, s in ((r, p.stat()) for r, p in paths.items())
        }
    except FileNotFoundError as error:
        raise InputError(f"inputs must stay while they are looked at; {error.filename} is gone; run again") from None


def _in_the_future(stamps: Stamps) -> list[str]:
    """Roles of the files with a time that has not come yet, on which no age can be measured."""
    now = time.time_ns()
    return sorted(role for role, (_, *times) in stamps.items() if max(times) > now)


def _wait_or_say(paths: dict[str, Path], before: Stamps, *, seconds: float) -> str | None:
    """Why a file may still be written; None where all have been as they are for `seconds`.

    A file's age is that of the later of its times, of those that have come. Where neither has come, as after the clock
    was set back, the files are watched for so long instead.
    """
    now = time.time_ns()
    ages = {role: [(now - at) / NS for at in times if at <= now] for role, (_, *times) in before.items()}
    young = {role: min(known) for role, known in ages.items() if known and min(known) < seconds}
    if young:
        role = min(young, key=lambda role: young[role])
        return f"{role} changed {young[role]:.0f} s ago; looked at later"
    if not all(ages.values()):
        time.sleep(seconds)
        if _stamps(paths) != before:
            return "the data changed while it was watched; looked at later"
    return None


def _champions_digests(registry: Registry) -> dict[str, str]:
    """Digests of the inputs that the champion was trained on; none where there is no champion."""
    champion = registry.version_at(CHAMPION)
    tags = {} if champion is None else champion.tags
    return {name.removeprefix("digest."): value for name, value in tags.items() if name.startswith("digest.")}


def _subject(config: PipelineConfig, digests: dict[str, str], *, training: str) -> str:
    """What a training is started for, as a tag: this data with these settings in this folder."""
    content = [training, config.model_dump(mode="json"), digests]
    return f"mmctr-data-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"

"""The public files under BASE_PATH: always those of one model, with a note in `.mmctr` of whose they are.

All new files are written beside their places before the first of them is moved in. A process that is killed between two
moves leaves a note that does not fit the files, and the next run publishes a whole set again.
"""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from mmctr.common.files import partials_of, replacing, write_bytes
from tasks.cache.workspace import FileRef, Workspace


class Published(BaseModel):
    """Whose the public files are. Fields that a later version adds are ignored."""

    model_config = ConfigDict(frozen=True)
    model: str  # as messages name it
    run_id: str  # MLflow run; empty where the model is a file
    at: AwareDatetime
    files: dict[str, str]  # SHA-256 of each public file, by its role


def publish(workspace: Workspace, files: Mapping[str, FileRef], *, model: str, run_id: str) -> dict[str, Path]:
    """Put copies of one model's files at their public places; returns the places.

    A role of `workspace.public` that `files` lacks is not known of this model, so what another left there is removed.
    The caller has the lock `publishing`, as two at once would mix their files.
    """
    public = workspace.public
    targets = {role: workspace.base_path / public[role] for role in public if role in files}
    note = Published(
        model=model,
        run_id=run_id,
        at=datetime.now(UTC),
        files={role: files[role].sha256 for role in targets},
    )
    known = read_note(workspace)
    with ExitStack() as moves:  # all are moved in when it ends, or none where one cannot be written
        for role, target in targets.items():
            if not workspace.holds(FileRef(path=public[role], sha256=files[role].sha256)):
                shutil.copyfile(workspace.path(files[role]), moves.enter_context(replacing(target)))
        if known is None or known.model_copy(update={"at": note.at}) != note:
            write_bytes(_place(workspace), note.model_dump_json(indent=1).encode())
    for place in public.values():
        for leftover in partials_of(workspace.base_path / place):  # of a run that was killed while it published
            leftover.unlink()
    for role in public.keys() - targets:
        (workspace.base_path / public[role]).unlink(missing_ok=True)
    return targets


def published(workspace: Workspace) -> Published | None:
    """Whose the public files are; None where they are not what the note says."""
    note = read_note(workspace)
    if note is None or not note.files.keys() <= workspace.public.keys():
        return None
    refs = [FileRef(path=workspace.public[role], sha256=digest) for role, digest in note.files.items()]
    return note if all(map(workspace.holds, refs)) else None


def read_note(workspace: Workspace) -> Published | None:
    """The note as it is; None where there is none, or it is garbage."""
    try:
        return Published.model_validate_json(_place(workspace).read_bytes())
    except (OSError, ValidationError):
        return None


def _place(workspace: Workspace) -> Path:
    return workspace.root / "published.json"

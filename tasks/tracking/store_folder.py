"""Where an experiment keeps its artifacts, and whether they can be written."""

import os
from pathlib import Path

from mmctr.common.errors import InputError
from tasks.tracking.store_move import local_path

ANOTHER = "set MLFLOW_TRACKING_URI to another store, or unset it for the project's own"


def local_folder(location: str) -> Path | None:
    """The folder of a location on this machine, None for one in a cloud or behind a server."""
    return local_path(location) if location.startswith(("file:", "/")) else None


def check_artifacts(folder: Path, experiment: str) -> None:
    """Refuse an experiment whose artifacts could not be written, hours before they are."""
    for known in (folder, *folder.parents):
        if known.exists() or known.is_symlink():
            break
    if not known.is_dir() or not os.access(known, os.W_OK | os.X_OK):
        what = "cannot be written" if known.is_dir() else "is no folder"
        raise InputError(
            f"MLflow's experiment {experiment} has its artifacts in {folder}, and {known} {what}; "
            "fix that, choose another experiment (--set experiment=NAME), or set MLFLOW_TRACKING_URI to another store"
        )

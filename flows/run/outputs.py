"""The files that a run leaves in BASE_PATH, and whether their places are free: seen before any work."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from mmctr.common.errors import InputError
from tasks.cache.workspace import Workspace, public_places
from tasks.settings.sections import PipelineConfig

FILES = ("lock", "digests.json", "checked.json", "published.json")  # of .mmctr
FOLDERS = ("store", "work", "records", "vectors", "models", "runs", "tune", "locks")
LONG_NAME = "0" * 120  # as long as the longest path in .mmctr


def workspace_of(config: PipelineConfig) -> Workspace:
    """The files of a configuration's BASE_PATH."""
    return Workspace(config.base_path, public=public_places(config.data.layout))


def check_places(workspace: Workspace, *, writes: bool = True) -> None:
    """Refuse a BASE_PATH in which something else has a name that a run needs, or in which it may not write.

    Args:
        workspace: that of the data folder.
        writes: whether files are to be made now, so that a missing permission counts as well.

    Raises:
        InputError: with all such names.
    """
    base_path, root = workspace.base_path, workspace.root
    files = [base_path / place for place in workspace.public.values()] + [root / name for name in FILES]
    folders = [
        root,
        *(root / name for name in ("store", "work", "records", "vectors", "models", "runs", "tune", "locks")),
    ]
    folders += [path.parent for path in files if path.parent != base_path]
    for stages in (root / "store", root / "work"):
        folders += sorted(stages.iterdir()) if stages.is_dir() and os.access(stages, os.R_OK | os.X_OK) else []
    taken = list(dict.fromkeys([*_no_folders(folders), *_no_files(files)]))
    if taken:
        lines = "\n".join(f"  {problem}" for problem in taken)
        raise InputError(f"the places of a run's files must be free in {base_path}; move away what has them:\n{lines}")
    if writes:
        for folder in dict.fromkeys([*folders, *(path.parent for path in files)]):
            _check_writable(folder)
        (root / LONG_NAME).exists()  # raises where paths below BASE_PATH would be longer than the system allows


def _no_folders(folders: list[Path]) -> Iterator[str]:
    for folder in folders:
        if folder.is_symlink() and not folder.exists():
            yield f"{folder} must be a folder; it is a link to {folder.readlink()}, which is not there"
        elif folder.exists() and not folder.is_dir():
            yield f"{folder} must be a folder; it is none"


def _no_files(files: list[Path]) -> Iterator[str]:
    for file in files:
        if file.is_dir():
            yield f"{file} must be a file; it is a folder"
        elif file.exists() and not file.is_file():
            yield f"{file} must be a file; it is a device, a pipe or a socket"


def _check_writable(folder: Path) -> None:
    """Raise the system's own error where files cannot be made in a folder, or the folder itself cannot."""
    there = next(known for known in (folder, *folder.parents) if known.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, os.strerror(number), str(folder))

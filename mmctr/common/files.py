"""Files that are either whole or absent, and the digests of their content.

A file is written beside its place under the name `.<name>.<random>.partial`, flushed to the disk, then moved in with
one rename. Nobody can foresee the name, so no link can wait there and two processes never write to one partial file.
What a killed process leaves is found by its ending (`partials_of`).
"""

import errno
import glob
import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmctr.common.errors import causes

logger = logging.getLogger(__name__)

SETTLED_NS = 2_000_000_000  # a file younger than this may change again without a newer time stamp
PARTIAL = ".partial"  # ending of files and folders that are not whole yet
# What a file system answers to a call that it lacks.
UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF}


def is_file(path: Path) -> bool:
    """Whether there is a file at `path`; what cannot be a path, such as a name that is too long, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder at `path`; what cannot be a path is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def partial_path(path: Path) -> Path:
    """A new name, beside `path`, under which `path` is written until it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")


def partials_of(path: Path) -> list[Path]:
    """What writers of `path` that were killed left beside it, and what their writers left beside that."""
    return list(path.parent.glob(f".{glob.escape(path.name)}.*{PARTIAL}*"))


def sync_file(path: Path) -> None:
    """Flush the content of a file to the disk, as far as its file system can."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Flush the entries of `folder`, so that a rename in it survives a power cut; some file systems cannot do that."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def replacing(path: Path, *, only_new: bool = False) -> Iterator[Path]:
    """Yield a path to write to; on success the file there replaces `path`, on an error it is removed.

    The folder of `path` is created where it is missing. The file to write to is there already, new and empty. With
    `only_new` a FileExistsError is raised where something has the name by then; a file system without hard links
    cannot tell, and replaces it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield partial
        sync_file(partial)
        if only_new:
            _move_to_new(partial, path)
        else:
            partial.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        _name(error, path)
        raise


def _move_to_new(partial: Path, path: Path) -> None:
    try:
        path.hardlink_to(partial)
    except OSError as error:
        if error.errno not in UNSUPPORTED | {errno.EPERM}:
            raise
        partial.replace(path)
    else:
        partial.unlink()


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; on success it replaces `folder`, on an error it is removed.

    The file system is flushed once, as thousands of single flushes would be minutes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(folder)
    partial.mkdir()
    try:
        yield partial
        os.sync()
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
        sync_folder(folder.parent)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        _name(error, folder)
        raise


def _name(error: BaseException, path: Path) -> None:
    """Say which file an error is about where the system does not: a write that fails knows no name.

    A library that writes may have made another error of it.
    """
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.filename is None:
            cause.filename = str(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as partial:
        partial.write_bytes(content)


def read_json(path: Path) -> object:
    """What a JSON file holds; None where there is none, or where it is garbage of any kind."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError):
        return None


def remember_json(path: Path, value: object) -> None:
    """Write what only saves time.

    Where a folder is in the way, or somebody cleared the partial file away, nothing is; the log says so.
    """
    try:
        write_bytes(path, json.dumps(value, indent=0).encode())
    except (IsADirectoryError, NotADirectoryError, FileNotFoundError) as error:
        logger.warning("%s cannot be written, so it is not remembered: %s", path, error.strerror)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""References to files by content, and the folder below BASE_PATH that holds what the stages made.

BASE_PATH/.mmctr/
    store/<stage>/<cache key>/   results, each in the folder of the key that it was made for
    work/<stage>/<cache key>/    unfinished work that a later run goes on with
    vectors/                     CLIP vectors by content
    models/<MLflow run>/         checkpoints and PCA models of earlier runs that later ones start from
    records/                     Prefect's records of finished tasks
    runs/                        what each finished run used (tasks/run_manifest.py)
    digests.json                 remembered SHA-256 of files that have not changed since
    lock                         held by the run that works here
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mmctr.errors import InputError
from mmctr.files import SETTLED_NS, file_sha256, is_file, partial_path, replacing, write_bytes


class FileRef(BaseModel):
    """A file and the SHA-256 of its bytes; `path` is relative to BASE_PATH where the file lies below it."""

    model_config = ConfigDict(frozen=True)
    path: str
    sha256: str


class PartsRef(FileRef):
    """A file that may come in parts, the first of which is at `path`.

    `sha256` is that of the only file; where there are several, `parts` holds all of them, and it is that of their
    digests in order.
    """

    parts: tuple[FileRef, ...] = ()


class FolderRef(BaseModel):
    """A folder of images and the digest of its manifest (`mmctr.image_manifest.manifest_digest`)."""

    model_config = ConfigDict(frozen=True)
    path: str
    digest: str


class Workspace:
    """The files of one BASE_PATH."""

    def __init__(self, base_path: Path) -> None:
        self.base_path = base_path.absolute()
        self.root = self.base_path / ".mmctr"
        self.records = self.root / "records"
        self.vectors = self.root / "vectors"
        self.models = self.root / "models"
        self.runs = self.root / "runs"

    def store(self, stage: str, key: str) -> Path:
        """Folder for the results that `stage` makes for `key`."""
        return self.root / "store" / stage / key

    def work(self, stage: str, key: str) -> Path:
        """Folder for the unfinished work of `stage` for `key`; created where it is missing."""
        folder = self.root / "work" / stage / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_work(self, stage: str, key: str) -> None:
        """Remove the unfinished work of a stage that has finished."""
        shutil.rmtree(self.root / "work" / stage / key, ignore_errors=True)

    def path(self, ref: FileRef | FolderRef) -> Path:
        """Where the file or folder lies."""
        return self.base_path / ref.path

    def relative(self, path: Path) -> str:
        """`path` as references hold it."""
        path = path.absolute()
        return str(path.relative_to(self.base_path) if path.is_relative_to(self.base_path) else path)

    def file_ref(self, path: Path) -> FileRef:
        """Reference to a file as it is now."""
        return FileRef(path=self.relative(path), sha256=self._sha256(path))

    def parts_ref(self, paths: Sequence[Path]) -> PartsRef:
        """Reference to a file in one or more parts as they are now, the first one first."""
        first, *later = refs = [self.file_ref(path) for path in paths]
        if not later:
            return PartsRef(path=first.path, sha256=first.sha256)
        together = hashlib.sha256("\n".join(ref.sha256 for ref in refs).encode()).hexdigest()
        return PartsRef(path=first.path, sha256=together, parts=tuple(refs))

    def holds(self, ref: FileRef) -> bool:
        """Whether the file, in all its parts, is there with the very bytes that the reference names."""
        if isinstance(ref, PartsRef) and ref.parts:
            return all(self.holds(part) for part in ref.parts)
        path = self.path(ref)
        return path.is_file() and self._sha256(path) == ref.sha256

    def publish(self, ref: FileRef, place: str) -> Path:
        """Put a copy of the file at `place` below BASE_PATH, unless the same bytes are there already."""
        target = self.base_path / place
        if not self.holds(FileRef(path=place, sha256=ref.sha256)):
            with replacing(target) as partial:
                shutil.copyfile(self.path(ref), partial)
        partial_path(target).unlink(missing_ok=True)  # of a run that was killed while it published another content
        return target

    def _sha256(self, path: Path) -> str:
        """SHA-256 of a file, remembered by size, inode and both times; the change time is not a program's to set."""
        status = path.stat()
        stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        name = self.relative(path)
        known = self._digests.get(name)
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        digest = file_sha256(path)
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > SETTLED_NS:
            self._digests = {**self._stored_digests(), name: [*stamp, digest]}  # others may have added to it
            self.root.mkdir(parents=True, exist_ok=True)
            write_bytes(self.root / "digests.json", json.dumps(self._digests, indent=0).encode())
        return digest

    def gone_digests(self, *, besides: Sequence[Path]) -> list[str]:
        """Names of remembered digests whose file is gone, or is one of `besides` or lies below it."""
        files = {name: self.base_path / name for name in self._stored_digests()}
        return [
            name
            for name, path in files.items()
            if not is_file(path) or any(path.is_relative_to(place) for place in besides)
        ]

    def forget_digests(self, names: Sequence[str]) -> None:
        """Remember these digests no longer."""
        if names:
            self._digests = {name: entry for name, entry in self._stored_digests().items() if name not in names}
            write_bytes(self.root / "digests.json", json.dumps(self._digests, indent=0).encode())

    @cached_property
    def _digests(self) -> dict[str, list[int | str]]:
        return self._stored_digests()

    def _stored_digests(self) -> dict[str, list[int | str]]:
        try:
            memory = json.loads((self.root / "digests.json").read_bytes())
            return {name: entry for name, entry in memory.items() if isinstance(entry, list) and len(entry) == 5}
        except (OSError, ValueError, AttributeError):
            return {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of this BASE_PATH; the kernel lets go when the process ends, however it ends.

        Raises:
            InputError: there is no such folder, or another run works here; the message names its process.
        """
        if not self.base_path.is_dir():
            raise InputError(f"BASE_PATH must be a folder; {self.base_path} is none")
        self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 32).decode(errors="replace").strip()
                raise InputError(
                    f"one run at a time may work in {self.base_path}, process {holder} does; "
                    "wait until it ends, or stop it"
                ) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            self._remove_partials()
            yield
        finally:
            os.close(descriptor)

    def _remove_partials(self) -> None:
        """Remove what killed runs left half written; only the holder of the lock may, as nobody else writes then."""
        name = partial_path(Path("*")).name
        for level in ("", "runs/", "store/*/*/", "work/*/*/", "vectors/*/*/*/", "models/*/"):
            for partial in self.root.glob(level + name):
                if partial.is_dir():
                    shutil.rmtree(partial)
                else:
                    partial.unlink()

"""References to files by content, and the folder below BASE_PATH that holds what the stages made.

BASE_PATH/.mmctr/
    store/<stage>/<cache key>/   results, each in the folder of the key that it was made for
    work/<stage>/<cache key>/    unfinished work that a later run resumes
    vectors/                     CLIP vectors by content
    models/<MLflow run>/         checkpoints and PCA models of earlier runs that later ones start from
    records/                     Prefect's records of finished tasks
    runs/                        what each finished run used (tasks/cache/run_manifest.py)
    tune/<search>/               what a search knows of its trials, and the settings of its best one
    digests.json                 remembered SHA-256 of files that have not changed since
    images.parquet               the same of the images in a folder that they are read from in place
    published.json               whose files the public ones are (tasks/cache/public_files.py)
    lock, locks/                 who works here (tasks/cache/locks.py)
"""

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mmctr.common.errors import InputError
from mmctr.common.files import PARTIAL, SETTLED_NS, file_sha256, is_file, read_json, remember_json
from mmctr.inputs.layout import MICROLENS_1M, Layout
from tasks.cache.locks import Locks

SETTLED, FIRST_LOOK = 5, 6  # lengths of the two kinds of entries in digests.json


def public_places(layout: Layout) -> dict[str, str]:
    """Names below BASE_PATH of the files that a run publishes, by their role."""
    return {
        "item_embeddings": layout.item_embeddings,
        "checkpoint": layout.checkpoint,
        "csv": layout.prediction,
        "archive": layout.archive,
    }


PUBLIC = public_places(MICROLENS_1M)  # those that the challenge and its users know
STORED = {role: Path(name).name for role, name in PUBLIC.items()}  # in a stage's folder and in MLflow, of any data


class FileRef(BaseModel):
    """A file and the SHA-256 of its bytes; `path` is relative to BASE_PATH where the file is below it."""

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
    """A folder of images and the digest of what is in it (`mmctr.images.in_place.FolderIndex`)."""

    model_config = ConfigDict(frozen=True)
    path: str
    digest: str


class ImagesRef(FolderRef):
    """Images that a manifest lists, and the digest of that listing (`mmctr.images.manifest.listing_digest`).

    `path` is the folder that the manifest's file names are in. Where that is a folder of the user's, which has other
    files too, the images are `in_place`.
    """

    manifest: str
    in_place: bool = False


class Workspace:
    """The files of one BASE_PATH; `public` are the names of those that a run publishes, by their role."""

    def __init__(self, base_path: Path, *, public: Mapping[str, str] = PUBLIC) -> None:
        self.base_path, self.public = base_path.absolute(), dict(public)
        self.root = self.base_path / ".mmctr"
        self.records = self.root / "records"
        self.vectors = self.root / "vectors"
        self.models = self.root / "models"
        self.runs = self.root / "runs"
        self.searches = self.root / "tune"
        self.image_memory = self.root / "images.parquet"
        self.locks = Locks(self.root)

    def store(self, stage: str, key: str) -> Path:
        """Folder for the results that `stage` makes for `key`."""
        return self.root / "store" / stage / key

    def work(self, stage: str, key: str) -> Path:
        """Folder for the unfinished work of `stage` for `key`; created where it is missing."""
        folder = self.root / "work" / stage / key
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def has_work(self, stage: str, key: str) -> bool:
        """Whether there is unfinished work of `stage` for `key`."""
        return (self.root / "work" / stage / key).is_dir()

    def clear_work(self, stage: str, key: str) -> None:
        """Remove the unfinished work of a stage that has finished."""
        shutil.rmtree(self.root / "work" / stage / key, ignore_errors=True)

    def path(self, ref: FileRef | FolderRef) -> Path:
        """Where the file or folder is."""
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

    @contextmanager
    def reading(self, ref: FileRef) -> Iterator[Path]:
        """Path of the file for a block that reads it, in which it must stay the file that `ref` names.

        Comparing its content afterwards would not do: another file may have been in its place meanwhile.

        Raises:
            InputError: the file has another content, or it was written, moved or replaced while it was read.
        """
        with self.reading_table(ref) as files:
            yield files[0]

    @contextmanager
    def reading_table(self, ref: FileRef) -> Iterator[list[Path]]:
        """The same for a block that reads all parts of the file: their paths, in order."""
        parts = (ref.parts if isinstance(ref, PartsRef) else ()) or (ref,)
        files = [self.path(part) for part in parts]
        before = [_times(file) for file in files]
        if None in before or not self.holds(ref):
            raise _changed(ref)
        try:
            yield files
        except Exception as error:
            if [_times(file) for file in files] != before:  # what it met may be half of each file
                raise _changed(ref) from error
            raise
        if [_times(file) for file in files] != before:
            raise _changed(ref)

    def _sha256(self, path: Path) -> str:
        """SHA-256 of a file, remembered by size, inode and both times; the change time is not a program's to set.

        A file that has just changed may change again without a new time, so its digest is not remembered yet. Where
        the change time is in the future, as after a clock was set back, nobody knows how long ago that was: there
        the digest counts once the file was found unchanged later than `SETTLED_NS` after a first look.
        """
        status = path.stat()
        stamp = [status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns]
        name, now = self.relative(path), time.time_ns()
        known = self._digests.get(name, [])
        if known[:4] == stamp and len(known) == SETTLED:
            return str(known[4])
        digest = file_sha256(path)
        if now - status.st_ctime_ns > SETTLED_NS:
            self._remember(name, [*stamp, digest])
        elif status.st_ctime_ns > now:
            first_look = known[5] if known[:4] == stamp and known[4] == digest else now
            settled = abs(now - int(first_look)) > SETTLED_NS
            self._remember(name, [*stamp, digest] if settled else [*stamp, digest, first_look])
        return digest

    def _remember(self, name: str, entry: list[int | str]) -> None:
        self._digests = {**self._stored_digests(), name: entry}  # others may have added to it
        self.root.mkdir(parents=True, exist_ok=True)
        remember_json(self.root / "digests.json", self._digests)

    def gone_digests(self, *, besides: Sequence[Path]) -> list[str]:
        """Names of remembered digests whose file is gone, or is one of `besides` or is below it."""
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
            remember_json(self.root / "digests.json", self._digests)

    @cached_property
    def _digests(self) -> dict[str, list[int | str]]:
        return self._stored_digests()

    def _stored_digests(self) -> dict[str, list[int | str]]:
        memory = read_json(self.root / "digests.json")
        entries = memory.items() if isinstance(memory, dict) else ()
        return {name: entry for name, entry in entries if _is_entry(entry)}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Work here beside other runs (tasks/cache/locks.py).

        Raises:
            InputError: there is no such folder, or its file system knows no locks.
        """
        self._check_folder()
        with self.locks.running(tidy=self._remove_partials):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep all runs out.

        Raises:
            InputError: there is no such folder, or runs go on in it; the message names their processes.
        """
        self._check_folder()
        with self.locks.alone(tidy=self._remove_partials):
            yield

    def _check_folder(self) -> None:
        if not self.base_path.is_dir():
            raise InputError(f"BASE_PATH must be a folder; {self.base_path} is none")

    def _remove_partials(self) -> None:
        """Remove what killed runs left half written; the caller is alone, so that nobody else writes.

        But `retrain` may just be remembering digests, and then remembers none (`remember_json`).
        """
        for level in ("", "runs/", "store/*/*/", "work/*/*/", "vectors/*/*/*/", "models/*/"):
            for partial in self.root.glob(f"{level}.*{PARTIAL}"):
                with suppress(FileNotFoundError):
                    if partial.is_dir() and not partial.is_symlink():
                        shutil.rmtree(partial)
                    else:
                        partial.unlink()


def _is_entry(entry: object) -> bool:
    """Whether this is an entry of digests.json: size, inode, two times, the digest, and in some the first look."""
    if not isinstance(entry, list) or len(entry) not in (SETTLED, FIRST_LOOK):
        return False
    *numbers, digest = [*entry[:4], *entry[5:], entry[4]]
    return isinstance(digest, str) and all(type(number) is int for number in numbers)


def _times(path: Path) -> tuple[int, int, int] | None:
    """Size and both times of a file; None where there is none. Some network file systems change the inode's number."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _changed(ref: FileRef) -> InputError:
    return InputError(
        f"inputs must stay as they are while a run reads them; {ref.path} changed meanwhile, nothing was made of it; "
        "run again"
    )

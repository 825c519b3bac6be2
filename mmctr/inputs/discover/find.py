"""What a folder holds by the names in it: tables, in one file or in parts, and archives and folders of images.

No file is opened. Links to folders are not followed, and what begins with `_` or `.` does not count.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmctr.inputs.files import EXTENSIONS

MOST_ENTRIES = 300_000  # names that are looked at
MOST_LEVELS = 8  # folders within folders
MOST_NAMES = 4096  # of the images of a folder that are kept
ARCHIVES = (".rar", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.zst")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")
_PART = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+", re.IGNORECASE)  # a UUID, or a number
_PARTITION = re.compile(r"[^=]+=[^=]*")  # a folder as Hive and Spark name them, such as `day=2024-01-01`
_LATER_PART = re.compile(r"\.part0*([2-9]|[1-9]\d+)\.rar$", re.IGNORECASE)
_NO_NAME = re.compile(r"[*?\[\]\ud800-\udfff]")  # a pattern's letters, and what stands for bytes that are no UTF-8


@dataclass(frozen=True)
class TableFiles:
    """A table: its name as a layout has it, a file, a folder or a glob, and its files in their order."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Pictures:
    """An archive or a folder of images.

    Attributes:
        name: as a layout has it.
        names: of the images, from that folder on; some of them, and none of an archive.
        count: of the images in a folder.
    """

    name: str
    names: tuple[str, ...] = ()
    count: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of images."""
        return self.count > 0


@dataclass
class Holds:
    """What a folder holds; `all` is False where there was more than is looked at."""

    tables: list[TableFiles] = field(default_factory=list)
    pictures: list[Pictures] = field(default_factory=list)
    all: bool = True


@dataclass
class _Folder:
    """One folder on the way."""

    tables: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    image_count: int = 0


def find(folder: Path, *, without: Sequence[str] = ()) -> Holds:
    """The tables and images of `folder`.

    Args:
        folder: where to look, at all levels below it too.
        without: paths below it that are passed over, such as those of what a run has written.
    """
    folders, whole = _walk(folder, without=set(without))
    holds = Holds(all=whole)
    holds.tables = _tables(folder, {path: found.tables for path, found in folders.items() if found.tables})
    holds.pictures = [Pictures(_name(path, folder)) for found in folders.values() for path in found.archives]
    holds.pictures += _image_folders(folder, folders)
    return holds


def _walk(base: Path, *, without: set[str]) -> tuple[dict[Path, _Folder], bool]:
    """The folders below `base` with what counts in each, and whether that is all."""
    found: dict[Path, _Folder] = {}
    waiting, seen, whole = [(base, 0)], 0, True
    while waiting:
        path, level = waiting.pop()
        this = found.setdefault(path, _Folder())
        for entry in _entries(path):
            seen += 1
            if seen > MOST_ENTRIES:
                return found, False
            if entry.name[0] in "._" or entry.path.removeprefix(f"{base}/") in without or _NO_NAME.search(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                whole = whole and level < MOST_LEVELS
                if level < MOST_LEVELS:
                    waiting.append((path / entry.name, level + 1))
            elif entry.is_file():
                _sort_in(this, path / entry.name)
    return found, whole


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError:  # a folder that this user may not read
        return


def _sort_in(folder: _Folder, path: Path) -> None:
    name = path.name.lower()
    if name.endswith(EXTENSIONS):
        folder.tables.append(path)
    elif name.endswith(ARCHIVES) and not _LATER_PART.search(name):
        folder.archives.append(path)
    elif name.endswith(IMAGE_ENDINGS):
        folder.image_count += 1
        if len(folder.images) < MOST_NAMES:
            folder.images.append(path.name)


def _name(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()


def _tables(base: Path, by_folder: dict[Path, list[Path]]) -> list[TableFiles]:
    """Each table once: parts whose names differ in numbers alone are one, as are folders such as `day=1`."""
    gathered: dict[Path, list[Path]] = {}
    for folder, paths in by_folder.items():
        root = folder
        while root != base and _PARTITION.fullmatch(root.name):
            root = root.parent
        gathered.setdefault(root, []).extend(paths)
    tables = []
    for folder, paths in sorted(gathered.items()):
        groups: dict[str, list[Path]] = {}
        for path in sorted(paths):
            groups.setdefault(_PART.sub("*", path.name), []).append(path)
        partitioned = any(path.parent != folder for path in paths)
        is_one = folder != base and len(groups) == 1 and (len(paths) > 1 or _is_part(paths[0]))
        if folder != base and (partitioned or is_one):
            tables.append(TableFiles(_name(folder, base), tuple(sorted(paths))))
            continue
        for pattern, group in groups.items():
            same = len(group) > 1 and sorted(folder.glob(pattern)) == group
            names = [_name(folder / pattern, base)] if same else [_name(path, base) for path in group]
            parts = [tuple(group)] if same else [(path,) for path in group]
            tables += [TableFiles(*table) for table in zip(names, parts, strict=True)]
    return tables


def _is_part(path: Path) -> bool:
    return path.name.lower().startswith("part")


def _image_folders(base: Path, folders: dict[Path, _Folder]) -> list[Pictures]:
    """The outermost folders with images in them or below them, but for `base` itself."""
    gathered: dict[Path, list[tuple[Path, _Folder]]] = {}
    for path, found in folders.items():
        if found.image_count and path != base:
            gathered.setdefault(base / path.relative_to(base).parts[0], []).append((path, found))
    pictures = []
    for top, inner in sorted(gathered.items()):
        shared = Path(os.path.commonpath([path for path, _ in inner])) if len(inner) > 1 else inner[0][0]
        names = [str((path / name).relative_to(shared)) for path, found in inner for name in found.images]
        count = sum(found.image_count for _, found in inner)
        pictures.append(Pictures(_name(shared if shared != base else top, base), tuple(names[:MOST_NAMES]), count))
    return pictures


def extensions(pictures: Pictures) -> str:
    """The endings of a folder's images, the most frequent first."""
    return ", ".join(ending for ending, _ in Counter(Path(name).suffix for name in pictures.names).most_common(3))

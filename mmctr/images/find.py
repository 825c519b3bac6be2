"""Which file or folder of a data folder the images are in, and which files belong to it."""

import re
from collections.abc import Sequence
from pathlib import Path

from mmctr.common.files import is_file, is_folder
from mmctr.images.in_place import image_files
from mmctr.images.rar.volumes import archive_parts
from mmctr.images.source import kind_of, open_source

RAR = ".rar"


def find_images(base_path: Path, names: Sequence[str]) -> tuple[Path | None, str | None]:
    """The first of `names` that is in `base_path`, or a sentence on why there is no saying which that is.

    A name is that of a folder or an archive; a RAR may come in parts, of which the first is returned. A data set
    without images has no names: then there is neither a path nor a sentence.
    """
    for name in names:
        path = base_path / name
        if name.lower().endswith(RAR):
            found, problem = find_first_part(path.parent, path.name[: -len(RAR)], ending=path.name[-len(RAR) :])
            if found or problem:
                return found, problem
        elif is_folder(path) or is_file(path):
            return path, None
    if not names:
        return None, None
    parts = next((f"{name[: -len(RAR)]}.part1.rar" for name in names if name.lower().endswith(RAR)), None)
    others = ", ".join(f"or {name}" for name in [*names[1:], *([parts] if parts else [])])
    return None, f"{names[0]} ({others}) is missing" if others else f"{names[0]} is missing"


def files_of(source: Path) -> list[Path]:
    """All files that belong to a source: the parts of a RAR as far as they are there, the image files of a folder.

    Raises:
        InputError: it is no kind of source, or a folder without bounds.
    """
    kind = kind_of(source)
    if kind == "rar":
        return archive_parts(source)
    if kind == "folder":
        members = open_source("folder").list_members(source, password=None, progress=None)
        return [source / member.name for member in image_files(members or [])]
    return [source]


def find_first_part(folder: Path, stem: str, *, ending: str = RAR) -> tuple[Path | None, str | None]:
    """The RAR `stem` in `folder` by its first part, or a sentence on why there is no saying which file that is.

    It is `<stem>.rar`, or `<stem>.part1.rar` with any number of zeros before the 1. There must be one of these alone.
    Neither a path nor a sentence is returned where nothing of that name is there.
    """
    numbered = re.compile(rf"{re.escape(stem)}\.part0*1\.rar")
    entries = sorted(folder.iterdir()) if is_folder(folder) else []
    alone, beside = folder / f"{stem}{ending}", [path for path in entries if path.name.startswith(f"{stem}.")]
    found = [path for path in [alone, *filter(lambda path: numbered.fullmatch(path.name), beside)] if is_file(path)]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        return None, f"there must be one image archive {stem}, found {names}; move all but one to another folder"
    if found:
        return found[0], None
    later = re.compile(rf"{re.escape(stem)}\.(part\d+\.rar|r\d\d)")
    others = [path.name for path in beside if later.fullmatch(path.name)]
    if others:
        first = f"{stem}.rar" if others[0].endswith(tuple("0123456789")) else _first_name(others[0])
        return None, f"{first} is missing, the first part of the image archive; {others[0]} is a later one"
    return None, None


def _first_name(later: str) -> str:
    """`a.part1.rar` for `a.part2.rar`, with as many digits."""
    stem, number = re.fullmatch(r"(.*\.part)(\d+)\.rar", later).groups()  # type: ignore[union-attr]
    return f"{stem}{'1'.zfill(len(number))}.rar"

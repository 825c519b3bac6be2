"""Which files a layout's paths name: a file, a folder of part files, or a glob becomes a list of files."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmctr.common.files import is_file
from mmctr.inputs.layout import SPLITS, Layout

Files = Path | Sequence[Path]  # a table in one file, or in several, one after another
EXTENSIONS = (".parquet", ".csv")
_PATTERN = re.compile(r"[*?\[]")


def listed(files: Files) -> list[Path]:
    """The files of a table in their order."""
    return [files] if isinstance(files, Path) else list(files)


def find_table(base_path: Path, name: str) -> tuple[list[Path], str | None]:
    """The files that `name` means in `base_path`, in the order of their names, or a sentence on why there are none.

    A folder's files are all below it that end in .parquet, or all that end in .csv; what begins with `_` or `.` is
    what Spark and others write beside them, and does not count.
    """
    path = base_path / name
    if is_file(path):
        return [path], None
    if path.is_dir():
        return _parts(path, path.rglob("*"), name=name)
    if _PATTERN.search(name):
        return _parts(base_path, base_path.glob(name), name=name)
    return [], f"{name} is missing"


def _parts(folder: Path, found: Iterable[Path], *, name: str) -> tuple[list[Path], str | None]:
    candidates = sorted(path for path in found if _counts(path, folder))
    kinds = {path.suffix.lower() for path in candidates}
    if not candidates:
        return [], f"{name} has no file that ends in {' or '.join(EXTENSIONS)}"
    if len(kinds) > 1:
        return [], f"the files of {name} must be of one kind, found {' and '.join(sorted(kinds))}"
    return candidates, None


def _counts(path: Path, folder: Path) -> bool:
    inner = path.relative_to(folder).parts
    return path.suffix.lower() in EXTENSIONS and not any(part[0] in "._" for part in inner) and is_file(path)


def find_inputs(base_path: Path, layout: Layout) -> tuple[dict[str, list[Path]], list[str]]:
    """Files of the tables by role, none for what there is not, and a sentence for each table that is missing."""
    names = {role: getattr(layout, role) for role in ("items", *SPLITS)}
    found = {role: find_table(base_path, name) if name else ([], None) for role, name in names.items()}
    return {role: paths for role, (paths, _) in found.items()}, [problem for _, problem in found.values() if problem]

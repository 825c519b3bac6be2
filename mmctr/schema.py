"""The files of a BASE_PATH, and the rules that their content must keep.

Everything is looked at before any work starts, and everything that is wrong is said at once.
"""

from dataclasses import dataclass
from pathlib import Path

from mmctr.errors import InputError
from mmctr.rar_volumes import find_first_part
from mmctr.table_rules import KNOWN_COLUMNS, check_table

ITEMS = "item_feature.parquet"
ARCHIVES = ("item_images_2", "item_images")  # the first that is there; each may come in parts
CLICKS = "MicroLens_1M_x1"
SPLITS = ("train", "valid", "test")
SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class InputFiles:
    """Paths of the five input files, of the archive that of its first part, and the rows of the tables."""

    items: Path
    archive: Path
    train: Path
    valid: Path
    test: Path
    rows: dict[str, int]


def find_inputs(base_path: Path) -> tuple[dict[str, Path], list[str]]:
    """Paths of the input files by role, of the archive its first part, and a sentence for each that is missing."""
    paths = {"items": base_path / ITEMS, **{name: base_path / CLICKS / f"{name}.parquet" for name in SPLITS}}
    problems = [
        f"{path.relative_to(base_path)} {'must be a file and is a folder' if path.is_dir() else 'is missing'}"
        for path in paths.values()
        if not path.is_file()
    ]
    found = [find_first_part(base_path, stem) for stem in ARCHIVES]
    archive, problem = next((one for one in found if any(one)), (None, None))
    if archive is not None:
        paths["archive"] = archive
    else:
        problems.append(problem or f"{ARCHIVES[0]}.rar (or {ARCHIVES[1]}.rar, or {ARCHIVES[0]}.part1.rar) is missing")
    return paths, problems


def check_inputs(base_path: Path, *, min_items: int = 1) -> InputFiles:
    """Validate the inputs under `base_path`.

    Args:
        base_path: the data folder.
        min_items: fewest items that the later stages can work with.

    Raises:
        InputError: with a line for each thing that is wrong: files, columns, dtypes, nulls, ranges, labels, ids.
    """
    if not base_path.is_dir():
        raise InputError(f"BASE_PATH must be a folder with {ITEMS}; {base_path} is none")
    paths, problems = find_inputs(base_path)
    rows = {}
    for role in KNOWN_COLUMNS:
        if paths[role].is_file():
            rows[role], found = check_table(paths[role], role=role)
            problems += [f"{paths[role].relative_to(base_path)}: {problem}" for problem in found]
    if "items" in rows and 0 < rows["items"] < min_items:
        problems.append(f"{ITEMS}: at least {min_items} items are needed (reduce.n_components), found {rows['items']}")
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise InputError(f"the inputs in {base_path} cannot be used; mend these and run again:{shown}{more}")
    return InputFiles(**paths, rows=rows)


def check_split(base_path: Path, name: str) -> Path:
    """Validate one split alone (`train`, `valid` or `test`) and give its path.

    Raises:
        InputError: with a line for each thing that is wrong.
    """
    path = base_path / CLICKS / f"{name}.parquet"
    problems = check_table(path, role=name)[1] if path.is_file() else ["it is missing"]
    if problems:
        raise InputError(f"{path} cannot be used; mend this and run again: {'; '.join(problems)}")
    return path

"""The files of a BASE_PATH, and the rules that their content must keep.

Everything is looked at before any work starts, and everything that is wrong is said at once.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmctr.common.errors import InputError
from mmctr.inputs.columns import plain_numbers, read_chunks
from mmctr.inputs.layout import ITEM_ID, ITEMS, KNOWN_COLUMNS, find_inputs, split_path
from mmctr.inputs.table_rules import check_table
from mmctr.inputs.targets import check_targets_known

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


def check_inputs(base_path: Path, *, min_items: int = 1, min_known_targets: float = 0.0) -> InputFiles:
    """Validate the inputs under `base_path`.

    Args:
        base_path: the data folder.
        min_items: fewest items that the later stages can work with.
        min_known_targets: share of the test split's target items that must be among the items.

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
        problems.append(f"{ITEMS}: at least {min_items} items are needed (`min_items`), found {rows['items']}")
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise InputError(f"the inputs in {base_path} cannot be used; fix these and run again:{shown}{more}")
    if min_known_targets:
        check_targets_known(_known_targets(paths["items"], paths["test"]), min_known_targets=min_known_targets)
    return InputFiles(**paths, rows=rows)


def _known_targets(items: Path, clicks: Path) -> npt.NDArray[np.bool_]:
    """Whether the target of each row of a click log is among the items."""
    ids, targets = (
        np.concatenate([plain_numbers(chunk.column(ITEM_ID)) for chunk in read_chunks(path, columns=[ITEM_ID])])
        for path in (items, clicks)
    )
    return np.isin(targets, ids)


def check_split(base_path: Path, name: str) -> Path:
    """Validate one split alone (`train`, `valid` or `test`) and return its path.

    Raises:
        InputError: with a line for each thing that is wrong.
    """
    path = split_path(base_path, name)
    problems = check_table(path, role=name)[1] if path.is_file() else ["it is missing"]
    if problems:
        raise InputError(f"{path} cannot be used; fix this and run again: {'; '.join(problems)}")
    return path

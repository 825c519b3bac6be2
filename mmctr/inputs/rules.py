"""The tables of a BASE_PATH, and the rules that their content must keep.

Everything is looked at before any work starts, and everything that is wrong is said at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmctr.common.errors import InputError
from mmctr.inputs.columns import ids_of, labels_of
from mmctr.inputs.files import Files, find_inputs, find_table
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import MICROLENS_1M, SPLITS, Layout
from mmctr.inputs.numbers import is_list, is_text, value_type
from mmctr.inputs.table_rules import check_table
from mmctr.inputs.tables import column_types, read_chunks
from mmctr.inputs.targets import check_targets_known
from mmctr.inputs.vocabulary import Vocabulary, joined
from mmctr.inputs.wanted import of_clicks, of_items

SHOWN_PROBLEMS = 20


@dataclass(frozen=True)
class InputFiles:
    """Files of the tables, none for a split that the layout has not, and the rows of each table by its role."""

    items: list[Path]
    train: list[Path]
    valid: list[Path]
    test: list[Path]
    rows: dict[str, int]


def check_inputs(
    base_path: Path,
    layout: Layout = MICROLENS_1M,
    *,
    min_items: int = 1,
    min_known_targets: float = 0.0,
    problems: Sequence[str] = (),
) -> InputFiles:
    """Validate the tables under `base_path`.

    Args:
        base_path: the data folder.
        layout: names its files and their columns.
        min_items: fewest items that the later stages can work with.
        min_known_targets: share of the test split's target items that must be among the items.
        problems: what is known to be wrong beside the tables, which is said with all else.

    Raises:
        InputError: with a line for each thing that is wrong: files, columns, types, nulls, ranges, labels, ids.
    """
    if not base_path.is_dir():
        raise InputError(f"BASE_PATH must be a folder with {layout.items}; {base_path} is none")
    files, missing = find_inputs(base_path, layout)
    rows, broken = _check_tables(base_path, files, layout)
    found = [*missing, *problems, *broken]
    if 0 < rows.get("items", 0) < min_items:
        found.append(f"{layout.items}: at least {min_items} items are needed (`min_items`), found {rows['items']}")
    if not found and not layout.valid:
        found = _held_out_problems(files["train"], layout)
    if found:
        shown = "".join(f"\n  {problem}" for problem in found[:SHOWN_PROBLEMS])
        more = f"\n  and {len(found) - SHOWN_PROBLEMS} more" if len(found) > SHOWN_PROBLEMS else ""
        raise InputError(f"the inputs in {base_path} cannot be used; fix these and run again:{shown}{more}")
    if min_known_targets and files["test"]:
        known = _known_targets(files["items"], files["test"], layout=layout)
        check_targets_known(known, min_known_targets=min_known_targets)
    return InputFiles(**files, rows=rows)


def check_split(base_path: Path, layout: Layout, name: str, *, text_ids: bool | None = None) -> list[Path]:
    """Validate one split alone (`train`, `valid` or `test`) and return its files.

    Args:
        base_path: the data folder.
        layout: names its files and their columns.
        name: of the split.
        text_ids: whether the ids of items are text; None where nobody knows.

    Raises:
        InputError: with everything that is wrong.
    """
    if not getattr(layout, name):
        raise InputError(f"there must be a click log to read, and data.{name} names none; set it to that of a file")
    files, problem = find_table(base_path, getattr(layout, name))
    problems = [problem] if problem else _check_clicks(base_path, files, layout, name, text_ids=text_ids)[1]
    if problems:
        said = "; ".join(problems)
        raise InputError(f"the split {name} in {base_path} cannot be used; fix this and run again: {said}")
    return files


def check_clicks(
    files: Files, layout: Layout, *, with_row_id: bool, with_label: bool = False, text_ids: bool | None = None
) -> int:
    """Validate any click log with the columns of `layout`, and return how many rows it has.

    Args:
        files: of the click log.
        layout: names its columns.
        with_row_id: whether rows are named.
        with_label: whether labels are read.
        text_ids: whether the ids of items are text; None where nobody knows.

    Raises:
        InputError: with everything that is wrong.
    """
    wanted = of_clicks(layout, text_ids=text_ids, with_label=with_label, with_row_id=with_row_id, with_user=False)
    rows, problems = check_table(files, wanted=wanted, name="the click log")
    if problems:
        raise InputError(f"these clicks cannot be scored; fix this and run again: {'; '.join(problems)}")
    return rows


def _check_tables(base_path: Path, files: Mapping[str, list[Path]], layout: Layout) -> tuple[dict[str, int], list[str]]:
    """Rows of the tables that are there, and what is wrong with them."""
    rows: dict[str, int] = {}
    problems: list[str] = []
    text_ids: bool | None = None
    if files["items"]:
        wanted = of_items(layout)
        rows["items"], problems = check_table(files["items"], wanted=wanted, name=layout.items, base_path=base_path)
        text_ids = text_columns(files["items"], [layout.item_id]).get(layout.item_id)
    of_train: dict[str, bool] = {}
    for name in SPLITS:
        if files[name]:
            rows[name], found = _check_clicks(
                base_path, files[name], layout, name, text_ids=text_ids, of_train=of_train
            )
            problems += found
    return rows, problems


def _check_clicks(
    base_path: Path,
    files: Files,
    layout: Layout,
    name: str,
    *,
    text_ids: bool | None,
    of_train: dict[str, bool] | None = None,
) -> tuple[int, list[str]]:
    """`check_table` of a split; `of_train` holds which features of train are text, and gets it from train itself."""
    wanted = of_clicks(
        layout,
        text_ids=text_ids,
        with_label=name != "test",
        with_row_id=name == "test",
        with_user=name == "train" and not layout.valid,
        of_train=of_train,
    )
    if name == "train" and of_train is not None:
        of_train |= text_columns(files, [one.name for one in wanted if one.use in ("category", "tags")])
    return check_table(files, wanted=wanted, name=getattr(layout, name), base_path=base_path)


def text_columns(files: Files, columns: Sequence[str]) -> dict[str, bool]:
    """Whether each column holds text, or lists of it; none where they cannot be read, as `check_table` says that."""
    try:
        types = column_types(files, columns=list(dict.fromkeys(columns)))
    except InputError:
        return {}
    entries = {name: value_type(kind.value_type) if is_list(kind) else value_type(kind) for name, kind in types.items()}
    return {name: is_text(kind) for name, kind in entries.items()}


def _held_out_problems(files: Files, layout: Layout) -> list[str]:
    """What is wrong with the parts of train, where users are held out of it."""
    counts = {"train": np.zeros(2, dtype=np.int64), "valid": np.zeros(2, dtype=np.int64)}
    held = {part: layout.held_out(part) for part in ("train", "valid")}
    for chunk in read_chunks(files, columns=list(dict.fromkeys((layout.user, layout.label)))):
        labels = labels_of(chunk.column(layout.label))
        for part, rule in held.items():
            assert rule is not None
            kept = kept_rows(chunk.column(layout.user), rule)
            counts[part] += np.bincount(labels[kept].astype(np.int64), minlength=2)
    found = []
    for part, users in (("train", "the users that are trained on"), ("valid", "the users that are held out")):
        rows, classes = int(counts[part].sum()), int(np.count_nonzero(counts[part]))
        if classes < 2:
            found.append(
                f"{layout.train}: {users} must have rows of both classes, they have {rows:,} rows of {classes}; "
                "change `valid_share` or `valid_seed`, or name a click log as `valid`"
            )
    return found


def _known_targets(items: Files, clicks: Files, *, layout: Layout) -> npt.NDArray[np.bool_]:
    """Whether the target of each row of a click log is among the items."""
    ids = [ids_of(chunk.column(layout.item_id)) for chunk in read_chunks(items, columns=[layout.item_id])]
    known = Vocabulary(joined(ids))
    parts = [
        known.lookup(ids_of(chunk.column(layout.target), text=known.is_text)) != 0
        for chunk in read_chunks(clicks, columns=[layout.target])
    ]
    return np.concatenate(parts)

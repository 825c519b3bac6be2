"""The files of a BASE_PATH, and the rules that their content must keep.

Everything is looked at before any work starts, and everything that is wrong is said at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmctr.errors import InputError, first_line, raise_if_of_the_machine
from mmctr.item_table import ItemTable, check_targets_known
from mmctr.levels import LEVELS
from mmctr.list_columns import read_chunks
from mmctr.tables import read_table, scan_table, table_schema

ITEMS = "item_feature.parquet"
ARCHIVES = ("item_images_2.rar", "item_images.rar")
CLICKS = "MicroLens_1M_x1"
SPLITS = ("train", "valid", "test")
KNOWN_COLUMNS = {
    "items": ("item_id", "item_title"),
    "train": ("item_seq", "item_id", "likes_level", "views_level", "label"),
    "valid": ("item_seq", "item_id", "likes_level", "views_level", "label"),
    "test": ("ID", "item_seq", "item_id", "likes_level", "views_level"),
}
SHOWN_PROBLEMS = 20
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)  # Polars panics on some damaged files


@dataclass(frozen=True)
class InputFiles:
    """Paths of the five input files and the rows of the tables among them."""

    items: Path
    archive: Path
    train: Path
    valid: Path
    test: Path
    rows: dict[str, int]


def find_inputs(base_path: Path) -> tuple[dict[str, Path], list[str]]:
    """Paths of the input files by role, and a sentence for each that is missing."""
    paths = {"items": base_path / ITEMS, **{name: base_path / CLICKS / f"{name}.parquet" for name in SPLITS}}
    archives = [base_path / name for name in ARCHIVES if (base_path / name).is_file()]
    problems = [
        f"{path.relative_to(base_path)} {'must be a file and is a folder' if path.is_dir() else 'is missing'}"
        for path in paths.values()
        if not path.is_file()
    ]
    if archives:
        paths["archive"] = archives[0]
    else:
        problems.append(f"{ARCHIVES[0]} (or {ARCHIVES[1]}) is missing")
    return paths, problems


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
    for role, columns in KNOWN_COLUMNS.items():
        if paths[role].is_file():
            rows[role], found = _check_table(paths[role], role=role, columns=columns)
            problems += [f"{paths[role].relative_to(base_path)}: {problem}" for problem in found]
    if "items" in rows and 0 < rows["items"] < min_items:
        problems.append(f"{ITEMS}: at least {min_items} items are needed (reduce.n_components), found {rows['items']}")
    if problems:
        shown = "".join(f"\n  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise InputError(f"the inputs in {base_path} cannot be used; mend these and run again:{shown}{more}")
    if min_known_targets:
        check_targets_known(_rows_of_targets(paths["items"], paths["test"]), min_share=min_known_targets)
    return InputFiles(**paths, rows=rows)


def _rows_of_targets(items: Path, clicks: Path) -> npt.NDArray[np.int32]:
    """Rows that the targets of a click log would have in the item table."""
    ids, targets = (read_table(path, columns=["item_id"])["item_id"].to_numpy() for path in (items, clicks))
    return ItemTable(item_ids=ids.astype(np.int64), weights=np.zeros((0, 0), dtype=np.float32)).lookup(targets)


def check_split(base_path: Path, name: str) -> Path:
    """Validate one split alone (`train`, `valid` or `test`) and give its path.

    Raises:
        InputError: with a line for each thing that is wrong.
    """
    path = base_path / CLICKS / f"{name}.parquet"
    problems = _check_table(path, role=name, columns=KNOWN_COLUMNS[name])[1] if path.is_file() else ["it is missing"]
    if problems:
        raise InputError(f"{path} cannot be used; mend this and run again: {'; '.join(problems)}")
    return path


def _check_table(path: Path, *, role: str, columns: tuple[str, ...]) -> tuple[int, list[str]]:
    """Number of rows, and a sentence for each broken rule."""
    try:
        schema = table_schema(path)
    except pl.exceptions.DuplicateError:
        return 0, [f"column names must be unique, {_repeated_column(path)} is there more than once; rename one"]
    except UNREADABLE as error:
        raise_if_of_the_machine(error, path=path)
        return 0, [f"not a readable parquet file ({first_line(error)}); copy or download it again"]
    problems = [f"column {name} is missing; it has {', '.join(schema)}" for name in columns if name not in schema]
    wrong = {name: _dtype_problem(name, schema[name]) for name in columns if name in schema}
    problems += [problem for problem in wrong.values() if problem]
    usable = [name for name, problem in wrong.items() if problem is None]
    checks = {text: check for name in usable for text, check in _rules(name, schema[name], role=role)}
    counts = [check.alias(str(index)) for index, check in enumerate(checks.values())]
    try:
        found = scan_table(path).select(pl.len().alias("rows"), *counts).collect(engine="streaming").row(0)
    except UNREADABLE as error:
        raise_if_of_the_machine(error, path=path)
        return 0, [f"damaged ({first_line(error)}); copy or download it again"]
    rows = int(found[0])
    if rows == 0:
        return 0, [*problems, "it has no rows"]
    problems += [text.format(count=count) for text, count in zip(checks, found[1:], strict=True) if count]
    if usable:
        try:
            next(read_chunks(path, columns=usable[:1]))  # refuses a footer that contradicts itself
            problems += _history_problems(path) if "item_seq" in usable else []
        except InputError as error:
            problems.append(str(error))
    return rows, problems


def _repeated_column(path: Path) -> str:
    names = pq.read_schema(path).names
    return next(name for name in names if names.count(name) > 1)


def _dtype_problem(name: str, dtype: pl.DataType) -> str | None:
    if name == "item_title":
        return None if dtype in (pl.String, pl.Null) else f"item_title must be a string, found {dtype}"
    if name == "item_seq":
        nested = isinstance(dtype, pl.List | pl.Array) and dtype.inner is not None and _is_integer(dtype.inner)
        return None if nested else f"item_seq must be a list or an array of integers, found {dtype}"
    if name == "label" and dtype == pl.Boolean:
        return None
    return None if _is_integer(dtype) else f"{name} must be an integer, found {dtype}"


def _is_integer(dtype: Any) -> bool:
    return dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128)


def _rules(name: str, dtype: pl.DataType, *, role: str) -> Iterator[tuple[str, pl.Expr]]:
    """Pairs of a sentence and an expression that counts the rows that break it."""
    column = pl.col(name)
    if name == "item_title":  # text that is no UTF-8 cannot be read at all, and that is found by reading it
        yield "item_title must be text", (column.str.len_bytes() < 0).sum() if dtype == pl.String else pl.lit(0)
        return
    yield f"{name} must not be null, {{count}} rows are", column.null_count()
    if name == "item_id":
        yield "item_id must be 1 or more (0 is padding), {count} rows are not", (column < 1).sum()
        yield "item_id must be below 2^63, {count} rows are not", _above_int64(column, dtype)
        if role == "items":
            yield "item_id must be unique, {count} rows repeat an earlier one", pl.len() - column.n_unique()
    elif name in ("likes_level", "views_level"):
        text = f"{name} must be in 0..{LEVELS - 1}, {{count}} rows are not"
        yield text, (~column.is_between(0, LEVELS - 1)).sum()
    elif name == "label":
        number = column.cast(pl.Int64, strict=False)
        beyond = number.is_null() & column.is_not_null()  # above 2^63
        yield "label must be 0 or 1, {count} rows are not", (~number.is_in([0, 1]) | beyond).sum()
        yield "label must have both classes, {count} class is there", (number.n_unique() == 1).cast(pl.Int64)
    elif name == "ID":
        yield "ID must be unique, {count} rows repeat an earlier one", pl.len() - column.n_unique()


def _history_problems(path: Path) -> list[str]:
    """Broken rules of the entries of `item_seq`, read a few rows at a time."""
    nulls = negatives = 0
    for chunk in read_chunks(path, columns=["item_seq"]):
        entries = chunk.column(0).flatten()
        nulls += entries.null_count
        if (pc.min(entries).as_py() or 0) < 0:
            negatives += pc.sum(pc.less(entries, 0)).as_py()
    problems = [f"item_seq must not hold nulls, {nulls} entries are"] if nulls else []
    return problems + ([f"item_seq must not hold negative ids, {negatives} entries are"] if negatives else [])


def _above_int64(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return (column > 2**63 - 1).sum() if dtype == pl.UInt64 else pl.lit(0)

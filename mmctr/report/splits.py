"""What is in the splits: labels, history lengths, unknown ids, cold targets, repetitions, users.

Every split is read once, a few rows at a time, and kept as a handful of numbers a row, so that millions of rows need
seconds and hundreds of megabytes. Legend: R rows of a split, N real history items of all its rows (padding removed).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.common.errors import InputError
from mmctr.inputs.columns import flat_lists, is_number, plain_numbers, read_chunks
from mmctr.inputs.layout import HISTORY, ITEM_ID, LABEL, LEVEL_COLUMNS, SPLITS, USER_ID
from mmctr.report.row_hash import count_distinct, hash_column, hash_lists, is_among, mixed

USUAL_LEVELS = (1, 10)  # what this release uses; 0..19 can be used, but is worth a look


@dataclass(frozen=True)
class Lengths:
    """Real items of the histories: smallest, quartiles, largest, mean, and how many histories have none."""

    min: int
    q25: float
    median: float
    q75: float
    max: int
    mean: float
    empty: int


@dataclass(frozen=True)
class SplitReport:
    """One split; None is for what it cannot have, such as a label in test."""

    rows: int
    label_rate: float | None
    history_length: Lengths
    unknown_history_share: float  # of the real history items, those that are not in item_feature
    unknown_target_share: float
    cold_target_rows: int | None  # the target is never a target in train
    cold_target_items: int | None
    unusual_levels: dict[str, int]  # rows outside 1..10
    duplicate_rows: int  # equal to an earlier row in all but ID
    rows_also_in: dict[str, int]  # history and target are in that other split too
    users: int | None
    users_also_in: dict[str, int | None]


def report_splits(paths: Mapping[str, Path], *, table: ItemTable) -> dict[str, SplitReport]:
    """Look at train, valid and test; `table` holds the known item ids, whatever its weights.

    Raises:
        InputError: a file cannot be read to its end.
    """
    users = {name: _users(paths[name]) for name in SPLITS}
    columns = {
        name: _read_split(paths[name], role=name, table=table, with_user=users[name] is not None) for name in SPLITS
    }
    return {name: _report_split(name, columns, users=users) for name in SPLITS}


@dataclass(frozen=True)
class _Columns:
    """What is kept of a split: four numbers a row, each kind sorted by itself, and sums."""

    length: npt.NDArray[np.int64]  # (R,) real history items
    target: npt.NDArray[np.int64]  # (R,) item ids
    impression: npt.NDArray[np.uint64]  # (R,) hashes of history and target
    whole: npt.NDArray[np.uint64]  # (R,) hashes of all columns but ID
    unknown_history: int
    unknown_targets: int
    positives: int | None
    unusual_levels: dict[str, int]


def _read_split(path: Path, *, role: str, table: ItemTable, with_user: bool) -> _Columns:
    read = [HISTORY, ITEM_ID, *LEVEL_COLUMNS, *([] if role == "test" else [LABEL])]
    read += [USER_ID] if with_user else []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("length", "target", "impression", "whole")}
    unknown_history = unknown_targets = positives = 0
    unusual = dict.fromkeys(LEVEL_COLUMNS, 0)
    for chunk in read_chunks(path, columns=read):
        values, length = _without_padding(*flat_lists(chunk.column(HISTORY)))
        target = plain_numbers(chunk.column(ITEM_ID)).astype(np.int64)
        unknown_history += int(np.count_nonzero(table.lookup(values) == PADDING_IDX))
        unknown_targets += int(np.count_nonzero(table.lookup(target) == PADDING_IDX))
        impression = mixed(hash_lists(values, length) + target.view(np.uint64))
        whole = impression
        for name in read[2:]:
            whole = mixed(whole + hash_column(chunk.column(name)))
        for name in LEVEL_COLUMNS:
            level = plain_numbers(chunk.column(name))
            unusual[name] += int(np.count_nonzero((level < USUAL_LEVELS[0]) | (level > USUAL_LEVELS[1])))
        if role != "test":
            positives += int(plain_numbers(chunk.column(LABEL)).sum())
        for name, part in (("length", length), ("target", target), ("impression", impression), ("whole", whole)):
            parts[name].append(part)
    joined = {name: np.sort(np.concatenate(arrays)) for name, arrays in parts.items()}
    return _Columns(
        **joined,
        unknown_history=unknown_history,
        unknown_targets=unknown_targets,
        positives=None if role == "test" else positives,
        unusual_levels=unusual,
    )


def _without_padding(
    values: npt.NDArray[np.integer], lengths: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The real history items, and how many of them each row has."""
    real = values != 0
    if len(values) == len(lengths) * lengths.max(initial=0):  # all lists have one length, as the challenge's have
        kept = np.count_nonzero(real.reshape(len(lengths), -1), axis=1)
    else:
        before = np.concatenate(([0], np.cumsum(real)))
        stop = np.cumsum(lengths)
        kept = before[stop] - before[stop - lengths]
    return values[real].astype(np.int64), kept


def _users(path: Path) -> pl.Series | None:
    """The distinct users of a split; None where there is no `user_id` that can be read and compared."""
    found = []
    try:
        for chunk in read_chunks(path, columns=[USER_ID]):
            column = chunk.column(USER_ID)
            kind = pl.Int64 if is_number(column.type) else pl.String if pa.types.is_string(column.type) else None
            if kind is None:
                return None
            column = column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column
            found.append(pl.Series(column).cast(kind, strict=False).drop_nulls().unique())
    except InputError:  # it is not there, or damaged, and is not needed
        return None
    return pl.concat(found).unique()


def _report_split(
    role: str,
    columns: dict[str, _Columns],
    *,
    users: dict[str, pl.Series | None],
) -> SplitReport:
    found, earlier = columns[role], SPLITS[: SPLITS.index(role)]
    rows, history_items = len(found.target), int(found.length.sum())
    cold = found.target[~is_among(found.target, columns["train"].target)]
    own = users[role]
    return SplitReport(
        rows=rows,
        label_rate=None if found.positives is None else found.positives / rows,
        history_length=_lengths(found.length),
        unknown_history_share=found.unknown_history / max(1, history_items),
        unknown_target_share=found.unknown_targets / rows,
        cold_target_rows=len(cold) if earlier else None,
        cold_target_items=count_distinct(cold) if earlier else None,
        unusual_levels=found.unusual_levels,
        duplicate_rows=rows - count_distinct(found.whole),
        rows_also_in={name: int(is_among(found.impression, columns[name].impression).sum()) for name in earlier},
        users=None if own is None else len(own),
        users_also_in={name: _shared(own, users[name]) for name in earlier},
    )


def _shared(one: pl.Series | None, other: pl.Series | None) -> int | None:
    if one is None or other is None or one.dtype != other.dtype:
        return None
    return int(one.is_in(other.implode()).sum())


def _lengths(length: npt.NDArray[np.int64]) -> Lengths:
    low, q25, median, q75, high = np.quantile(length, (0, 0.25, 0.5, 0.75, 1)).tolist()
    empty = int(np.count_nonzero(length == 0))
    return Lengths(int(low), q25, median, q75, int(high), float(length.mean()), empty)

"""What is in the splits: labels, history lengths, unknown ids, cold targets, features, repetitions, users.

Every split is read once, a few rows at a time, and kept as a handful of numbers a row, so that millions of rows need
seconds and hundreds of megabytes. Legend: R rows of a split, N real history items of all its rows (padding removed).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.common.errors import InputError
from mmctr.inputs.columns import history_ids, ids_of, labels_of
from mmctr.inputs.hashes import Hashes, hash_lists, mixed
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import SPLITS, HeldOut, Layout
from mmctr.inputs.numbers import is_number, is_text, value_type
from mmctr.inputs.rules import text_columns
from mmctr.inputs.table_rules import check_table
from mmctr.inputs.tables import column_names, read_chunks
from mmctr.inputs.vocabulary import UNKNOWN, Vocabulary
from mmctr.inputs.wanted import Wanted
from mmctr.report.features import FeatureCounts, FeatureReport, counts_of
from mmctr.report.row_hash import count_distinct, hash_column, is_among, keys_of


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
    unknown_history_share: float  # of the real history items, those that are not in the item table
    unknown_target_share: float
    cold_target_rows: int | None  # the target is never a target in train
    cold_target_items: int | None
    features: dict[str, FeatureReport]
    duplicate_rows: int  # equal to an earlier row in all but its id
    rows_also_in: dict[str, int]  # history and target are in that other split too
    users: int | None
    users_also_in: dict[str, int | None]


@dataclass(frozen=True)
class Clicks:
    """The click log of a split, or a part of one: files, and which rows of them."""

    files: Sequence[Path]
    held_out: HeldOut | None = None

    def chunks(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of its rows."""
        user = [self.held_out.user] if self.held_out else []
        for chunk in read_chunks(self.files, columns=list(dict.fromkeys([*columns, *user]))):
            if self.held_out is None:
                yield chunk
            else:
                yield chunk.filter(pa.array(kept_rows(chunk.column(self.held_out.user), self.held_out)))


def report_splits(splits: Mapping[str, Clicks], *, layout: Layout, items: Vocabulary) -> dict[str, SplitReport]:
    """Look at train, and at valid and test where there are such.

    Args:
        splits: by name.
        layout: names their columns.
        items: ids of the known items.

    Raises:
        InputError: a file cannot be read to its end.
    """
    users = {name: _users(clicks, layout.user) for name, clicks in splits.items()}
    text = text_columns(splits["train"].files, [feature.column for feature in layout.row_features])
    read: dict[str, _Columns] = {}
    known: dict[str, Hashes] | None = None
    for name in SPLITS:
        if name in splits:
            counts = counts_of(layout.row_features, text=text, known=known)
            reader = _Reader(layout, items=items, counts=counts, with_user=users[name] is not None)
            read[name] = reader.read(splits[name], with_label=name != "test" or _has_labels(splits[name], layout))
            known = known or {column: found.keys for column, found in counts.items()}
    return {name: _report_split(name, read, users=users) for name in read}


def _has_labels(clicks: Clicks, layout: Layout) -> bool:
    """Whether a split that needs none has labels that can be used."""
    if layout.label not in column_names(clicks.files):
        return False
    return not check_table(clicks.files, wanted=[Wanted(layout.label, "label")], name="")[1]


@dataclass(frozen=True)
class _Columns:
    """What is kept of a split: four numbers a row, each kind sorted by itself, and sums."""

    length: npt.NDArray[np.int64]  # (R,) real history items
    target: Hashes  # (R,) keys of item ids
    impression: Hashes  # (R,) hashes of history and target
    whole: Hashes  # (R,) hashes of all columns but the row's id
    unknown_history: int
    unknown_targets: int
    positives: int | None
    features: dict[str, FeatureReport]


@dataclass(frozen=True)
class _Reader:
    """Reads a split."""

    layout: Layout
    items: Vocabulary
    counts: dict[str, FeatureCounts]
    with_user: bool

    def read(self, clicks: Clicks, *, with_label: bool) -> _Columns:
        names = self.layout
        others = [*self.counts, *([names.label] if with_label else []), *([names.user] if self.with_user else [])]
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ("length", "target", "impression", "whole")}
        unknown_history = unknown_targets = positives = 0
        for chunk in clicks.chunks([names.history, names.target, *others]):
            values, length = history_ids(
                chunk.column(names.history),
                padding=names.padding,
                separator=names.history_separator,
                text=self.items.is_text,
            )
            targets = ids_of(chunk.column(names.target), text=self.items.is_text)
            target = keys_of(targets)
            unknown_history += int(np.count_nonzero(self.items.lookup(values) == UNKNOWN))
            unknown_targets += int(np.count_nonzero(self.items.lookup(targets) == UNKNOWN))
            impression = mixed(hash_lists(keys_of(values), length) + target)
            whole = impression
            for name in others:
                whole = mixed(whole + hash_column(chunk.column(name)))
            for name, counts in self.counts.items():
                counts.look(chunk.column(name))
            if with_label:
                positives += int(labels_of(chunk.column(names.label)).sum())
            for name, part in (("length", length), ("target", target), ("impression", impression), ("whole", whole)):
                parts[name].append(part)
        joined = {name: np.sort(np.concatenate(arrays)) for name, arrays in parts.items()}
        return _Columns(
            **joined,
            unknown_history=unknown_history,
            unknown_targets=unknown_targets,
            positives=positives if with_label else None,
            features={name: counts.report() for name, counts in self.counts.items()},
        )


def _users(clicks: Clicks, name: str) -> pl.Series | None:
    """The distinct users of a split; None where there is no column of users that can be read and compared."""
    if not name:
        return None
    found = []
    try:
        for chunk in clicks.chunks([name]):
            column = chunk.column(name)
            if is_text(value_type(column.type)):
                users = pl.Series(column.cast(pa.large_string()))
            elif is_number(column.type):
                column = column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column
                users = pl.Series(column).cast(pl.Int64, strict=False)
            else:
                return None
            found.append(users.drop_nulls().unique())
    except (InputError, pa.ArrowInvalid):  # it is not there, or damaged, and is not needed
        return None
    return pl.concat(found).unique()


def _report_split(
    role: str,
    columns: dict[str, _Columns],
    *,
    users: dict[str, pl.Series | None],
) -> SplitReport:
    found = columns[role]
    earlier = [name for name in SPLITS[: SPLITS.index(role)] if name in columns]
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
        features=found.features,
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

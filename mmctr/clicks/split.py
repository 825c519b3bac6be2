"""Packed splits out of files and out of rows in memory.

Legend: R rows of the split, N real history items in all of them together. Padding is dropped while a file is read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.feature_encoding import Columns, FeatureEncoding, fixed_encoding
from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.clicks.parts import read_part
from mmctr.clicks.users import numbered, user_keys
from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown
from mmctr.inputs.columns import history_ids, ids_of, labels_of
from mmctr.inputs.features import MAX_LEN
from mmctr.inputs.files import Files
from mmctr.inputs.layout import ClickColumns, HeldOut
from mmctr.inputs.vocabulary import Values


def pack_histories(
    ids: Values, lengths: npt.NDArray[np.integer], *, table: ItemTable, max_len: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Keep the `max_len` most recent items of each row, and map ids to rows of the table.

    Args:
        ids: (N,) item ids of all rows one after the other, without padding, the most recent of a row last.
        lengths: (R,) how many each row has.
        table: the item table; ids that it does not hold are dropped.
        max_len: most recent items to keep of a row, counted before unknown ids are dropped.

    Returns:
        (at most N,) int32 rows of the table, and (R,) int64 lengths that are left.
    """
    ends = np.cumsum(lengths)  # (R,)
    if lengths.max(initial=0) > max_len:
        from_end = np.repeat(ends, lengths) - np.arange(len(ids))  # 1 for the most recent item of a row
        recent = np.flatnonzero(from_end <= max_len)
        ids = ids[recent] if isinstance(ids, np.ndarray) else ids.take(pa.array(recent))
        ends = np.searchsorted(recent, ends)
    history = table.lookup(ids)
    known = np.flatnonzero(history != PADDING_IDX)
    if len(known) < len(history):
        history, ends = history[known], np.searchsorted(known, ends)
    return history, np.diff(ends, prepend=0)


class _Growing:
    """An array that grows in place by rows: the system moves its pages, so it is never in memory twice."""

    def __init__(self, dtype: npt.DTypeLike, *, width: int | None = None) -> None:
        self._array = np.empty(0, dtype=dtype)
        self._used, self._width = 0, width

    def __len__(self) -> int:
        return self._used

    def append(self, values: npt.NDArray[Any]) -> None:
        flat = values.reshape(-1)
        stop = self._used + len(flat)
        if stop > len(self._array):
            self._array.resize(stop + stop // 32, refcheck=False)
        self._array[self._used : stop] = flat
        self._used = stop

    def tensor(self, *, rows: int) -> Tensor:
        """What was appended, (rows,) or (rows, width); nothing may be appended afterwards."""
        self._array.resize(self._used, refcheck=False)
        found = torch.from_numpy(self._array)
        return found if self._width is None else found.view(rows, self._width)


class _Packing:
    """A split that is put together from columns of the click log, some rows at a time."""

    def __init__(
        self,
        *,
        table: ItemTable,
        columns: ClickColumns,
        encoding: FeatureEncoding,
        max_len: int,
        with_label: bool,
        user: str = "",
    ) -> None:
        self.table, self.columns, self.encoding, self.max_len, self.user = table, columns, encoding, max_len, user
        widths = [sum(getattr(one, kind) for one in encoding.declared) for kind in ("id_columns", "number_columns")]
        self.fields = {
            "history": _Growing(np.int32),
            "target": _Growing(np.int32),
            "feature_ids": _Growing(np.int32, width=widths[0]),
            "feature_numbers": _Growing(np.float32, width=widths[1]),
        }
        if with_label:
            self.fields["label"] = _Growing(np.float32)
        self.keys = _Growing(np.int64)  # of users
        self.offsets = _Growing(np.int64)
        self.offsets.append(np.zeros(1, dtype=np.int64))

    def add(self, chunk: Columns, *, rows: int) -> None:
        """The next rows."""
        names, is_text = self.columns, self.table.ids.is_text
        ids, lengths = history_ids(
            chunk[names.history], padding=names.padding, separator=names.history_separator, text=is_text
        )
        history, kept = pack_histories(ids, lengths, table=self.table, max_len=self.max_len)
        encoded = self.encoding.encode(chunk, rows=rows, first_row=len(self.fields["target"]))
        self.offsets.append(len(self.fields["history"]) + np.cumsum(kept))
        found = {
            "history": history,
            "target": self.table.lookup(ids_of(chunk[names.target], text=is_text)),
            "feature_ids": encoded.ids,
            "feature_numbers": encoded.numbers,
        }
        if "label" in self.fields:
            found["label"] = labels_of(chunk[names.label])
        if self.user:
            self.keys.append(user_keys(chunk[self.user], name=self.user, first_row=len(self.fields["target"])))
        for name, values in found.items():
            self.fields[name].append(values)

    def split(self) -> ClickSplit:
        """All rows that were added."""
        rows = len(self.fields["target"])
        tensors: dict[str, Any] = {name: growing.tensor(rows=rows) for name, growing in self.fields.items()}
        user = torch.from_numpy(numbered(self.keys.tensor(rows=rows).numpy())) if self.user else None
        return ClickSplit(offsets=self.offsets.tensor(rows=rows), user=user, **({"label": None} | tensors))


def load_split(
    files: Files,
    *,
    table: ItemTable,
    columns: ClickColumns = ClickColumns(),  # noqa: B008 it is frozen
    encoding: FeatureEncoding | None = None,
    max_len: int = MAX_LEN,
    with_label: bool,
    user: str = "",
    held_out: HeldOut | None = None,
) -> ClickSplit:
    """Read a click log into packed tensors, a few rows at a time.

    The files must have been validated (`mmctr.inputs.rules`). Columns that are not needed are not read.

    Args:
        files: one or several, one after another, parquet or CSV.
        table: maps item ids to rows; unknown targets become the padding row.
        columns: their names. Which features are read says the encoding.
        encoding: of the features, as `fit_rows` or a checkpoint has it; None where none of `columns` must be fitted.
        max_len: most recent history items to keep.
        with_label: read the label (train, valid) or not (test).
        user: column of the user's id, which tells whose rows belong together; an empty name reads none.
        held_out: which part of the rows, where users are held out; None reads all.

    Raises:
        InputError: a file cannot be read to its end, or a feature must be fitted first.
    """
    encoding = fixed_encoding(columns.features) if encoding is None else encoding
    packing = _Packing(
        table=table, columns=columns, encoding=encoding, max_len=max_len, with_label=with_label, user=user
    )
    names = [columns.history, columns.target, *(feature.column for feature in encoding.declared)]
    names += ([columns.label] if with_label else []) + ([user] if user else [])
    for chunk in read_part(files, columns=names, held_out=held_out):
        packing.add(chunk, rows=len(chunk))
    return packing.split()


def split_from_lists(
    rows: Mapping[str, Sequence[Any]],
    *,
    table: ItemTable,
    columns: ClickColumns = ClickColumns(),  # noqa: B008 it is frozen
    encoding: FeatureEncoding | None = None,
    max_len: int,
) -> ClickSplit:
    """A split without labels from R rows in memory: lists or arrays by the names of the click log's columns.

    Raises:
        InputError: a column is missing or of another kind than the model reads, or as `FeatureEncoding.encode` has it.
    """
    encoding = fixed_encoding(columns.features) if encoding is None else encoding
    packing = _Packing(table=table, columns=columns, encoding=encoding, max_len=max_len, with_label=False)
    of_ids = pa.large_string() if table.ids.is_text else pa.int64()
    kinds = {columns.history: pa.large_list(of_ids), columns.target: of_ids}
    kinds |= {fitted.feature.column: fitted.arrow_type for fitted in encoding.features}
    chunk = {name: _as_arrow(rows, name, kind) for name, kind in kinds.items()}
    packing.add(chunk, rows=len(chunk[columns.target]))
    return packing.split()


def _as_arrow(rows: Mapping[str, Sequence[Any]], name: str, kind: pa.DataType | None) -> pa.Array:
    """A column of rows in memory; `kind` None takes its values as they are."""
    if name not in rows:
        raise InputError(f"rows to be scored must have the column {shown(name)}; add it")
    try:
        return pa.array(rows[name], type=kind, from_pandas=kind is not None)  # then NaN is null
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        what = "of one kind" if kind is None else str(kind)
        raise InputError(f"the values of {shown(name)} must be {what}: {first_line(error)}") from error

"""Packed splits out of files and out of rows in memory.

Legend: R rows of the split, N real history items in all of them together. Padding is dropped while a file is read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.inputs.columns import history_ids, ids_of, labels_of
from mmctr.inputs.features import LEVELS, MAX_LEN
from mmctr.inputs.layout import HISTORY, ITEM_ID, LABEL, LIKES_LEVEL, VIEWS_LEVEL
from mmctr.inputs.tables import read_chunks

# Columns of a click log beside the history, by the fields of a split that they become.
COLUMNS = {"target": ITEM_ID, "likes": LIKES_LEVEL, "views": VIEWS_LEVEL, "label": LABEL}


def pack_histories(
    values: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer], *, table: ItemTable, max_len: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Drop the padding, keep the `max_len` most recent items of each row, and map ids to rows of the table.

    Args:
        values: all histories one after the other, item ids, 0 as padding anywhere, the most recent item last.
        lengths: (R,) number of entries of each row, padding included.
        table: the item table; ids that it does not hold are dropped, as padding is.
        max_len: most recent items to keep of a row, counted before unknown ids are dropped.

    Returns:
        (N,) int32 rows of the table, and (R,) int64 lengths that are left.
    """
    real = np.flatnonzero(values)  # (N,) ascending, so bisection counts what comes before the end of a row
    ends = np.searchsorted(real, np.cumsum(lengths))  # (R,)
    kept = np.diff(ends, prepend=0)
    if kept.max(initial=0) > max_len:
        from_end = np.repeat(ends, kept) - np.arange(len(real))  # 1 for the most recent item of a row
        recent = np.flatnonzero(from_end <= max_len)
        real, ends = real[recent], np.searchsorted(recent, ends)
    history = table.lookup(values[real])
    known = np.flatnonzero(history != PADDING_IDX)
    return history[known], np.diff(np.searchsorted(known, ends), prepend=0)


class _Growing:
    """A one-dimensional array that grows in place: the system moves its pages, so it is never in memory twice."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._array = np.empty(0, dtype=dtype)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def append(self, values: npt.NDArray[np.integer]) -> None:
        stop = self._used + len(values)
        if stop > len(self._array):
            self._array.resize(stop + stop // 32, refcheck=False)
        self._array[self._used : stop] = values
        self._used = stop

    def tensor(self) -> Tensor:
        """What was appended; nothing may be appended afterwards."""
        self._array.resize(self._used, refcheck=False)
        return torch.from_numpy(self._array)


def load_split(path: Path, *, table: ItemTable, max_len: int = MAX_LEN, with_label: bool) -> ClickSplit:
    """Read a split file into packed tensors, a few rows at a time.

    The file must have been validated (`mmctr.inputs.rules`). `item_seq` may be a list or a fixed-size array of any
    length; columns that are not needed, `user_id` among them, are not read.

    Args:
        path: a parquet file as in the challenge.
        table: maps item ids to rows; unknown targets become the padding row.
        max_len: most recent history items to keep.
        with_label: read `label` (train, valid) or not (test).

    Raises:
        InputError: the file cannot be read to its end.
    """
    columns = {field: name for field, name in COLUMNS.items() if with_label or field != "label"}
    packed = {field: _Growing(np.float32 if field == "label" else np.int32) for field in ("history", *columns)}
    offsets = _Growing(np.int64)
    offsets.append(np.zeros(1, dtype=np.int64))
    for chunk in read_chunks(path, columns=[HISTORY, *columns.values()]):
        values, lengths = history_ids(chunk.column(HISTORY), padding="none", text=False)
        history, kept = pack_histories(values, lengths, table=table, max_len=max_len)
        offsets.append(len(packed["history"]) + np.cumsum(kept))
        packed["history"].append(history)
        for field, name in columns.items():
            numbers: Any = labels_of(chunk.column(name)) if field == "label" else ids_of(chunk.column(name), text=False)
            packed[field].append(table.lookup(numbers) if field == "target" else numbers)
    tensors: dict[str, Any] = {field: growing.tensor() for field, growing in packed.items()}
    return ClickSplit(offsets=offsets.tensor(), **({"label": None} | tensors))


def split_from_lists(
    histories: Sequence[Sequence[int]],
    *,
    target: npt.NDArray[np.integer],
    likes: npt.NDArray[np.integer],
    views: npt.NDArray[np.integer],
    table: ItemTable,
    max_len: int,
) -> ClickSplit:
    """A split without labels from R rows in memory: item ids and levels as in the challenge's files.

    Raises:
        InputError: a level is outside 0..19, where the model has no row for it.
    """
    for name, levels in ((LIKES_LEVEL, likes), (VIEWS_LEVEL, views)):
        outside = np.flatnonzero(~((levels >= 0) & (levels < LEVELS)))
        if len(outside):
            found = shown_value(levels[outside[0]].item())
            raise InputError(
                f"{name} must be in 0..{LEVELS - 1}, row {outside[0] + 1} has {found}; leave out or fix such rows"
            )
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    values = np.concatenate([np.zeros(0, np.int64), *(np.asarray(history, np.int64) for history in histories)])
    history, kept = pack_histories(values, lengths, table=table, max_len=max_len)
    return ClickSplit(
        history=torch.from_numpy(history),
        offsets=offsets_of(torch.from_numpy(kept)),
        target=torch.from_numpy(table.lookup(target)),
        likes=torch.from_numpy(likes.astype(np.int32)),
        views=torch.from_numpy(views.astype(np.int32)),
        label=None,
    )


def offsets_of(lengths: Tensor) -> Tensor:
    """(R + 1,) int64 offsets of packed rows from their (R,) lengths."""
    offsets = torch.zeros(len(lengths) + 1, dtype=torch.int64)
    torch.cumsum(lengths, 0, out=offsets[1:])
    return offsets

"""A split of the click log as packed tensors, and the batches that the model reads.

Legend: R rows of the split, B rows of a batch, N history items in all of them together, L the length of `item_seq`.
Only real history items are kept, one after the other, with the offset at which each row begins: padding is dropped
while the file is read and never exists afterwards.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.inputs.columns import flat_lists, plain_numbers, read_chunks
from mmctr.inputs.features import LEVELS


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together.

    Attributes:
        history: (N,) int32, rows of the item table, oldest first within a row of the batch.
        row: (N,) int64, ascending: to which row of the batch each history item belongs.
        target: (B,) int32, row of the target item in the item table.
        likes, views: (B,) int32, levels of the target item.
        label: (B,) float32 of 0 and 1, or None.
    """

    history: Tensor
    row: Tensor
    target: Tensor
    likes: Tensor
    views: Tensor
    label: Tensor | None


@dataclass(frozen=True)
class ClickSplit:
    """A whole split, packed.

    Attributes:
        history: (N,) int32, rows of the item table; row r owns `history[offsets[r]:offsets[r + 1]]`, oldest first.
        offsets: (R + 1,) int64.
        target: (R,) int32, row of the target item in the item table.
        likes, views: (R,) int32, levels of the target item.
        label: (R,) float32 of 0 and 1, or None for the test split.
    """

    history: Tensor
    offsets: Tensor
    target: Tensor
    likes: Tensor
    views: Tensor
    label: Tensor | None

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: str | torch.device) -> "ClickSplit":
        """The same split with every tensor on `device`."""
        label = None if self.label is None else self.label.to(device)
        moved = {name: getattr(self, name).to(device) for name in ("history", "offsets", "target", "likes", "views")}
        return ClickSplit(**moved, label=label)

    def slice(self, start: int, stop: int) -> Batch:
        """Consecutive rows `start..stop - 1`."""
        offsets = self.offsets[start : stop + 1]
        lengths = offsets.diff()
        return Batch(
            history=self.history[int(offsets[0]) : int(offsets[-1])],
            row=torch.repeat_interleave(lengths),
            target=self.target[start:stop],
            likes=self.likes[start:stop],
            views=self.views[start:stop],
            label=None if self.label is None else self.label[start:stop],
        )

    def take(self, rows: Tensor) -> Batch:
        """Any rows in any order; `rows` is (B,) int64."""
        begin = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begin
        row = torch.repeat_interleave(lengths)  # (N,)
        before = lengths.cumsum(0) - lengths  # (B,) history items of the batch that stand before each row
        position = torch.arange(len(row), device=row.device) + (begin - before)[row]
        return Batch(
            history=self.history[position],
            row=row,
            target=self.target[rows],
            likes=self.likes[rows],
            views=self.views[rows],
            label=None if self.label is None else self.label[rows],
        )

    def batches(self, batch_size: int, *, order: Tensor | None = None) -> Iterator[Batch]:
        """All rows in batches of at most `batch_size`, in file order, or those of `order`, int64 row numbers."""
        rows = len(self) if order is None else len(order)
        order = None if order is None else order.to(self.target.device)
        for start in range(0, rows, batch_size):
            stop = min(start + batch_size, rows)
            yield self.slice(start, stop) if order is None else self.take(order[start:stop])


def pack_histories(
    values: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer], *, table: ItemTable, max_len: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Drop the padding, keep the `max_len` most recent items of each row, and map ids to rows of the table.

    Args:
        values: all histories one after the other, item ids with 0 as padding at any place, the most recent item last.
        lengths: (R,) number of entries of each row, padding included.
        table: the item table; ids that it does not hold are dropped, as padding is.
        max_len: most recent items to keep of a row, counted before unknown ids are dropped.

    Returns:
        (N,) int32 rows of the table, and (R,) int64 lengths that are left.
    """
    real = np.flatnonzero(values)  # (N,) ascending, so bisection counts what stands before the end of a row
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
    """A one-dimensional array that grows in place: the system moves its pages, so it never stands in memory twice."""

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


def load_split(path: Path, *, table: ItemTable, max_len: int = 64, with_label: bool) -> ClickSplit:
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
    columns = ["item_id", "likes_level", "views_level", *(["label"] if with_label else [])]
    packed = {name: _Growing(np.float32 if name == "label" else np.int32) for name in ("item_seq", *columns)}
    offsets = _Growing(np.int64)
    offsets.append(np.zeros(1, dtype=np.int64))
    for chunk in read_chunks(path, columns=["item_seq", *columns]):
        values, lengths = flat_lists(chunk.column("item_seq"))
        history, kept = pack_histories(values, lengths, table=table, max_len=max_len)
        offsets.append(len(packed["item_seq"]) + np.cumsum(kept))
        packed["item_seq"].append(history)
        packed["item_id"].append(table.lookup(plain_numbers(chunk.column("item_id"))))
        for name in columns[1:]:
            packed[name].append(plain_numbers(chunk.column(name)))
    return ClickSplit(
        history=packed["item_seq"].tensor(),
        offsets=offsets.tensor(),
        target=packed["item_id"].tensor(),
        likes=packed["likes_level"].tensor(),
        views=packed["views_level"].tensor(),
        label=packed["label"].tensor() if with_label else None,
    )


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
    for name, levels in (("likes_level", likes), ("views_level", views)):
        outside = np.flatnonzero(~((levels >= 0) & (levels < LEVELS)))
        if len(outside):
            found = shown_value(levels[outside[0]].item())
            raise InputError(
                f"{name} must be in 0..{LEVELS - 1}, row {outside[0] + 1} has {found}; leave out or mend such rows"
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

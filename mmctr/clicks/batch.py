"""A split of the click log as packed tensors, and the batches that the model reads.

Legend: R rows of the split, B rows of a batch, N history items in all of them together, F and G columns of features.
Only real history items are kept, one after the other, with the offset at which each row begins; padding never exists.
The fields of the two classes are the one list of what a row has: what is done to all of it goes over them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows that go through the model together.

    Attributes:
        history: (N,) int32, rows of the item table, oldest first within a row of the batch.
        row: (N,) int64, ascending: to which row of the batch each history item belongs.
        target: (B,) int32, row of the target item in the item table.
        feature_ids: (B, F) int32, features of the row as rows of embedding tables (`FeatureEncoding`).
        feature_numbers: (B, G) float32, those that are numbers.
        label: (B,) float32 of 0 and 1, or None.
        user: (B,) int32 number of the row's user within the split, or None.
    """

    history: Tensor
    row: Tensor
    target: Tensor
    feature_ids: Tensor
    feature_numbers: Tensor
    label: Tensor | None
    user: Tensor | None = None


Rows = slice | Tensor  # numbers of rows: consecutive ones, or any
OF_HISTORY = ("history", "row")
OF_ROW = tuple(field.name for field in fields(Batch) if field.name not in OF_HISTORY)  # one entry for each row


@dataclass(frozen=True)
class ClickSplit:
    """A whole split, packed.

    Attributes:
        history: (N,) int32, rows of the item table; row r owns `history[offsets[r]:offsets[r + 1]]`, oldest first.
        offsets: (R + 1,) int64.
        target: (R,) int32, row of the target item in the item table.
        feature_ids: (R, F) int32, features of the row as rows of embedding tables.
        feature_numbers: (R, G) float32, those that are numbers.
        label: (R,) float32 of 0 and 1, or None for the test split.
        user: (R,) int32 number of the row's user within the split; None where users are not known, or not asked for.
    """

    history: Tensor
    offsets: Tensor
    target: Tensor
    feature_ids: Tensor
    feature_numbers: Tensor
    label: Tensor | None
    user: Tensor | None = None

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: str | torch.device) -> "ClickSplit":
        """The same split with every tensor on `device`."""
        return mapped(self, lambda tensor: tensor.to(device))

    def slice(self, start: int, stop: int) -> Batch:
        """Consecutive rows `start..stop - 1`."""
        offsets = self.offsets[start : stop + 1]
        history = self.history[int(offsets[0]) : int(offsets[-1])]
        return self._batch(slice(start, stop), history=history, row=torch.repeat_interleave(offsets.diff()))

    def take(self, rows: Tensor) -> Batch:
        """Any rows in any order; `rows` is (B,) int64."""
        begin = self.offsets[rows]
        lengths = self.offsets[rows + 1] - begin
        row = torch.repeat_interleave(lengths)  # (N,)
        before = lengths.cumsum(0) - lengths  # (B,) history items of the batch before each row
        position = torch.arange(len(row), device=row.device) + (begin - before)[row]
        return self._batch(rows, history=self.history[position], row=row)

    def only(self, rows: Tensor) -> "ClickSplit":
        """A split of some of the rows, in any order; `rows` is (K,) int64."""
        taken = self.take(rows)
        ends = torch.bincount(taken.row, minlength=len(rows)).cumsum(0)
        offsets = torch.cat([ends.new_zeros(1), ends])
        columns: dict[str, Any] = {name: getattr(taken, name) for name in OF_ROW}
        return ClickSplit(history=taken.history, offsets=offsets, **columns)

    def _batch(self, rows: Rows, *, history: Tensor, row: Tensor) -> Batch:
        columns = {name: getattr(self, name) for name in OF_ROW}
        chosen: dict[str, Any] = {name: None if value is None else value[rows] for name, value in columns.items()}
        return Batch(history=history, row=row, **chosen)

    def batches(
        self, batch_size: int, *, order: Tensor | None = None, ends: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """All rows in batches of at most `batch_size`, in file order, or those of `order`, int64 row numbers.

        `ends` are other ends of the batches, ascending, the last one that of all rows.
        """
        rows = len(self) if order is None else len(order)
        order = None if order is None else order.to(self.target.device)
        stops = [*range(batch_size, rows, batch_size), rows] if ends is None else ends
        for start, stop in pairwise([0, *stops]):
            if stop > start:
                yield self.slice(start, stop) if order is None else self.take(order[start:stop])


Packed = TypeVar("Packed", Batch, ClickSplit)


def mapped(packed: Packed, function: Callable[[Tensor], Tensor]) -> Packed:
    """The same batch or split with `function` of each of its tensors."""
    new: dict[str, Any] = {name: None if tensor is None else function(tensor) for name, tensor in tensors(packed)}
    return type(packed)(**new)


def size_bytes(packed: Batch | ClickSplit) -> int:
    """Bytes of a batch's or a split's tensors."""
    return sum(tensor.nbytes for _, tensor in tensors(packed) if tensor is not None)


def tensors(packed: Batch | ClickSplit) -> Iterator[tuple[str, Tensor | None]]:
    """Each field with its tensor; None for a label or a user that is not there."""
    for field in fields(packed):
        yield field.name, getattr(packed, field.name)

"""64-bit hashes of rows, by which millions of rows are compared without being kept.

Two different rows among n have one hash with a probability of about n^2 / 2^65: one in a million at four million rows.
Legend: R rows, N entries of all lists together.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.inputs.columns import history_ids
from mmctr.inputs.hashes import Hashes, hash_lists, hash_texts, mixed
from mmctr.inputs.numbers import is_list, is_text, value_type, without_dictionary
from mmctr.inputs.vocabulary import Values

COMPACTED_AT = 1 << 20  # values that are kept more than once, before each is kept once


def keys_of(values: Values) -> Hashes:
    """(R,) a number for each id or value: an integer is its own, a text its hash."""
    return values.view(np.uint64) if isinstance(values, np.ndarray) else hash_texts(values)


def hash_column(column: pa.Array) -> Hashes:
    """(R,) hash of a column of numbers, text, or lists of them, nulls included."""
    if is_list(column.type):
        values, lengths = history_ids(column, padding="none")
        return mixed(hash_lists(keys_of(values), lengths))
    plain = without_dictionary(column)
    if is_text(value_type(column.type)):
        plain = plain.cast(pa.large_string())
    if pa.types.is_decimal(plain.type):  # Polars panics on wide ones
        plain = plain.cast(pa.float64())
    return pl.Series(plain).hash().to_numpy()


def count_distinct(ordered: npt.NDArray[np.integer]) -> int:
    """How many different numbers there are; sorted numbers only."""
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + bool(len(ordered))


def is_among(numbers: npt.NDArray[np.integer], ordered: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """(R,) which of `numbers` are in `ordered`, which is sorted."""
    if not len(ordered):
        return np.zeros(len(numbers), dtype=np.bool_)
    position = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
    return ordered[position] == numbers


class Distinct:
    """Different numbers of many arrays, each kept about once."""

    def __init__(self) -> None:
        self._parts: list[Hashes] = []
        self._kept = self._pending = 0

    def add(self, numbers: Hashes) -> None:
        """More numbers."""
        part = np.unique(numbers)
        self._parts.append(part)
        self._pending += len(part)
        if self._pending > COMPACTED_AT + self._kept:
            self.ordered()

    def ordered(self) -> Hashes:
        """All numbers, sorted, each once."""
        self._parts = [np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *self._parts]))]
        self._kept, self._pending = len(self._parts[0]), 0
        return self._parts[0]

"""Different values, integers or texts, and the row of each: ids of items, values of a category.

Legend: V values. Row 0 is that of every value that is not among them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.inputs.hashes import hash_texts

UNKNOWN = 0
ARROW_SHARE = 0.25  # of the values; for fewer texts at a time Arrow's hashing of all values takes the most time
DENSE_LOOKUP_LIMIT = 50_000_000  # integers up to here are looked up in one array of 4 bytes each
TextArray: TypeAlias = Any  # Arrow's large_string, none of them null
Values: TypeAlias = npt.NDArray[np.int64] | TextArray
Given: TypeAlias = npt.NDArray[np.integer] | TextArray


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """V different values; the one at position p has row p + 1.

    Attributes:
        values: (V,) int64, or Arrow's large_string.
    """

    values: Values

    def __len__(self) -> int:
        return len(self.values)

    @property
    def is_text(self) -> bool:
        """Whether the values are texts."""
        return not isinstance(self.values, np.ndarray)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the values in their order: equal digests mean that every value has the same row."""
        if isinstance(self.values, np.ndarray):
            return hashlib.sha256(self.values.astype("<i8").tobytes()).hexdigest()
        digest = hashlib.sha256(b"text")
        for text in self.values.to_pylist():
            content = text.encode()
            digest.update(len(content).to_bytes(8, "little") + content)
        return digest.hexdigest()

    def lookup(self, given: Given) -> npt.NDArray[np.int32]:
        """Row of each value, int32 in 0..V, in the shape of `given`; 0 for what is not there, or of another kind."""
        if isinstance(given, np.ndarray):
            if self.is_text or not len(self):
                return np.zeros(given.shape, dtype=np.int32)
            return self._rows_of_integers(given.astype(np.int64, copy=False))  # unsigned ones would become floats
        if not self.is_text:
            return np.zeros(len(given), dtype=np.int32)
        return self._rows_of_texts(given.cast(pa.large_string()))

    def _rows_of_texts(self, given: TextArray) -> npt.NDArray[np.int32]:
        if not len(self) or not len(given):
            return np.zeros(len(given), dtype=np.int32)
        many = len(given) >= ARROW_SHARE * len(self)
        hashes, order = (None, None) if many else self._hashed
        if hashes is None or order is None:  # or two values have one hash
            found = pc.index_in(given, value_set=self.values)
            return (found.fill_null(-1).to_numpy(zero_copy_only=False) + 1).astype(np.int32)
        position = np.minimum(np.searchsorted(hashes, hash_texts(given)), len(hashes) - 1)
        candidates = order[position]
        same = pc.equal(given, self.values.take(pa.array(candidates))).to_numpy(zero_copy_only=False)
        return np.where(same, candidates + 1, UNKNOWN).astype(np.int32)

    @cached_property
    def _hashed(self) -> tuple[npt.NDArray[np.uint64] | None, npt.NDArray[np.int64]]:
        """The hashes of texts, sorted, and the position of each; Arrow would hash all values in every call."""
        hashes = hash_texts(self.values)
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        return (None if (hashes[1:] == hashes[:-1]).any() else hashes), order

    def _rows_of_integers(self, given: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        if self._dense is not None:
            outside = len(self._dense) - 1
            return self._dense[np.where((given >= 0) & (given < outside), given, outside)]
        keys, rows = self._sorted
        position = np.minimum(np.searchsorted(keys, given), len(keys) - 1)
        return np.where(keys[position] == given, rows[position], np.int32(UNKNOWN))

    @cached_property
    def _dense(self) -> npt.NDArray[np.int32] | None:
        assert isinstance(self.values, np.ndarray)
        highest = int(self.values.max(initial=0))
        if highest > DENSE_LOOKUP_LIMIT or int(self.values.min(initial=0)) < 0:
            return None
        dense = np.zeros(highest + 2, dtype=np.int32)  # the last entry is that of every integer out of range
        dense[self.values] = np.arange(1, len(self.values) + 1, dtype=np.int32)
        return dense

    @cached_property
    def _sorted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        assert isinstance(self.values, np.ndarray)
        order = np.argsort(self.values, kind="stable")
        return self.values[order], (order + 1).astype(np.int32)


def texts(values: Sequence[str]) -> TextArray:
    """Texts as a vocabulary holds them."""
    return pa.array(values, type=pa.large_string())


def to_bytes(values: TextArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All bytes of V texts one after the other, and the (V + 1,) offsets at which each begins."""
    _, offsets, content = values.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[values.offset : values.offset + len(values) + 1]
    texts_bytes = np.frombuffer(content or b"", dtype=np.uint8)[starts[0] : starts[-1]]
    return texts_bytes.copy(), starts - starts[0]


def from_bytes(content: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> TextArray:
    """The texts that `to_bytes` returned.

    Raises:
        ValueError: the two do not fit each other, or hold what is no UTF-8.
    """
    whole = content.dtype == np.uint8 and offsets.dtype == np.int64 and content.ndim == offsets.ndim == 1
    if not whole or not len(offsets) or offsets[0] != 0 or offsets[-1] != len(content) or (np.diff(offsets) < 0).any():
        raise ValueError("texts must be bytes, and the offsets at which each of them begins")
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(content.tobytes())]
    found = pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)
    try:
        found.validate(full=True)
    except pa.ArrowInvalid as error:
        raise ValueError("texts must be UTF-8") from error
    return found


def joined(parts: Sequence[Values]) -> Values:
    """Values one after the other, all of one kind; none are integers."""
    if not parts or isinstance(parts[0], np.ndarray):
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    return pa.concat_arrays(parts)

"""64-bit hashes of rows, by which millions of rows are compared without being kept.

Two different rows among n have one hash with a probability of about n^2 / 2^65: one in a million at four million rows.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the step of splitmix64 (Steele et al., OOPSLA 2014)
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))


def mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The output function of splitmix64: a bijection after which equal bits are as good as chance."""
    for shift, factor in MIX:
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


def hash_lists(values: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """(R,) hash of each list: the sum of the hashes of its entries, each with its position."""
    stop = np.cumsum(lengths)
    position = np.arange(len(values)) - np.repeat(stop - lengths, lengths)
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(mixed(values.view(np.uint64) + position.view(np.uint64) * GOLDEN), out=sums[1:])
    return sums[stop] - sums[stop - lengths]


def hash_column(column: pa.Array) -> npt.NDArray[np.uint64]:
    """(R,) hash of a column of numbers or text, nulls included."""
    plain = column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column  # Polars panics on wide ones
    return pl.Series(plain).hash().to_numpy()


def count_distinct(ordered: npt.NDArray[np.integer]) -> int:
    """How many different numbers there are; sorted numbers only."""
    return int(np.count_nonzero(ordered[1:] != ordered[:-1])) + bool(len(ordered))


def is_among(numbers: npt.NDArray[np.integer], ordered: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """(R,) which of `numbers` are in `ordered`, which is sorted and not empty."""
    position = np.minimum(np.searchsorted(ordered, numbers), len(ordered) - 1)
    return ordered[position] == numbers

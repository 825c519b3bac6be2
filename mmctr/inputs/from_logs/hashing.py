"""Hashes of ids that no version of a library changes, and random numbers made of them.

A number is drawn by what it is for, a user's event and the number of the draw, and not by when it is drawn. So neither
the order of the log nor the number of threads has a part in it. Legend: N ids or keys.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.inputs import hashes

LONGEST_ID = 256  # bytes of a text
TEXTS_AT_ONCE = 16_384  # bounds the memory at 24 x TEXTS_AT_ONCE x LONGEST_ID bytes
Keys = npt.NDArray[np.uint64]

_POWERS = np.cumprod(np.full(LONGEST_ID, 0x5851F42D4C957F2D, np.uint64))  # wraps round at 2^64


def mixed(keys: Keys) -> Keys:
    """(N,) each key with its bits mixed, one to one: the number after it of splitmix64."""
    return hashes.mixed(keys + hashes.GOLDEN)


def keyed(keys: Keys, number: int | npt.NDArray[np.integer]) -> Keys:
    """(N,) another key for each key and `number`: of a seed, of a purpose, of a draw."""
    numbers: Keys = np.atleast_1d(np.asarray(number, dtype=np.int64)).view(np.uint64)
    return mixed(keys ^ mixed(numbers))


def unit(keys: Keys) -> npt.NDArray[np.float64]:
    """(N,) numbers in [0, 1), uniform over uniform keys."""
    return np.asarray(keys >> np.uint64(11), dtype=np.float64) * np.float64(2.0**-53)


def hash_ids(ids: pl.Series) -> Keys:
    """(N,) hashes of ids without nulls: Int64, or text of 1 to LONGEST_ID bytes."""
    if ids.dtype == pl.Int64:
        numbers: Keys = ids.to_numpy().view(np.uint64)
        return mixed(numbers)
    parts = [_hash_texts(ids.slice(start, TEXTS_AT_ONCE)) for start in range(0, len(ids), TEXTS_AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _hash_texts(texts: pl.Series) -> Keys:
    """A polynomial of each text's bytes, mixed."""
    column = pa.array(texts.to_arrow(compat_level=pl.CompatLevel.oldest()), pa.large_string())
    _, offsets_buffer, content = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[column.offset : column.offset + len(column) + 1]
    lengths = np.diff(offsets)
    places = np.arange(offsets[-1] - offsets[0]) - np.repeat(offsets[:-1] - offsets[0], lengths)
    letters = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]].astype(np.uint64)
    sums: Keys = np.add.reduceat((letters + np.uint64(1)) * _POWERS[places], offsets[:-1] - offsets[0])
    return mixed(sums ^ lengths.astype(np.uint64))

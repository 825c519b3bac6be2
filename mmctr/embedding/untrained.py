"""Vectors to begin with for items that have nothing to make one of: their ids are learned from the clicks alone.

Legend: V items, D dimensions.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

SCALE = 0.05  # numbers are uniform in -SCALE..SCALE, as Keras' embeddings begin
_GOLDEN, _MIX = np.uint64(0x9E3779B97F4A7C15), (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def untrained_vectors(item_ids: pl.Series, *, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """Small random vectors, float32 (V, D): an item's depends on its id, the seed and D, and on no other item.

    So new items change nothing for the others, and the same data gives the same bytes on every machine. Ids are
    integers or texts; 7 and "7" are the same.
    """
    person = seed.to_bytes(8, "little")
    keys = [hashlib.blake2b(str(item).encode(), digest_size=8, person=person).digest() for item in item_ids]
    state = np.frombuffer(b"".join(keys), "<u8").astype(np.uint64)  # (V,)
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64: SplitMix64 (Steele et al. 2014), a stream an item
        mixed = state[:, None] + _GOLDEN * np.arange(1, dim + 1, dtype=np.uint64)  # (V, D)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
        mixed ^= mixed >> np.uint64(31)
    unit = (mixed >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)  # 24 bits: -1 to below 1
    return unit * np.float32(SCALE)

"""Vectors to begin with for items that have nothing to make one of: their ids are learned from the clicks alone.

Legend: V items, D dimensions.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.inputs.hashes import GOLDEN, mixed

SCALE = 0.05  # numbers are uniform in -SCALE..SCALE, as Keras' embeddings begin


def untrained_vectors(item_ids: pl.Series, *, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """Small random vectors, float32 (V, D): an item's depends on its id, the seed and D, and on no other item.

    So new items change nothing for the others, and the same data gives the same bytes on every machine. Ids are
    integers or texts; 7 and "7" are the same.
    """
    person = seed.to_bytes(8, "little")
    keys = [hashlib.blake2b(str(item).encode(), digest_size=8, person=person).digest() for item in item_ids]
    state = np.frombuffer(b"".join(keys), "<u8").astype(np.uint64)  # (V,)
    stream = mixed(state[:, None] + GOLDEN * np.arange(1, dim + 1, dtype=np.uint64))  # (V, D): splitmix64 of each item
    unit = (stream >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)  # 24 bits: -1 to below 1
    return unit * np.float32(SCALE)

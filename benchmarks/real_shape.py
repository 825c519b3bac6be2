"""Click logs of the challenge's shape: 91,717 items, 64-long left-padded histories of quartiles 4 / 6 / 9."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from mmctr.clicks.item_table import ItemTable
from mmctr.inputs.vocabulary import Vocabulary

ITEMS, LENGTH, CHUNK = 91_717, 64, 300_000


def item_table(*, items: int = ITEMS, dim: int = 128, seed: int = 0) -> ItemTable:
    """Random item embeddings of the scale that PCA of CLIP gives."""
    weights = np.random.default_rng(seed).normal(0, 0.05, (items + 1, dim)).astype(np.float32)
    weights[0] = 0
    return ItemTable(Vocabulary(np.arange(1, items + 1)), weights)


def clicks(rng: np.random.Generator, rows: int, *, items: int = ITEMS, length: int = LENGTH) -> pl.DataFrame:
    """Rows as in train.parquet; a target's chance of a click depends on its id, so that there is something to learn."""
    lengths = np.clip(np.round(np.exp(rng.normal(1.85, 0.65, rows))), 3, length).astype(np.int64)
    history = rng.integers(1, items + 1, (rows, length))
    history[np.arange(length)[None, :] < (length - lengths)[:, None]] = 0
    target = rng.integers(1, items + 1, rows)
    return pl.DataFrame(
        {
            "user_id": rng.integers(1, 1_000_000, rows),
            "item_seq": pl.Series(history, dtype=pl.Array(pl.Int64, length)),
            "item_id": target,
            "likes_level": rng.integers(1, 11, rows),
            "views_level": rng.integers(1, 11, rows),
            "label": (rng.random(rows) < 0.1 + 0.3 * (target % 2)).astype(np.int64),
        }
    )


def write_clicks(path: Path, rows: int, *, seed: int = 0) -> Path:
    """Write a split of `rows` rows, a chunk at a time; kept when it is there already."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    partial = path.with_suffix(".partial")
    writer = None
    for start in range(0, rows, CHUNK):
        table = clicks(rng, min(CHUNK, rows - start)).to_arrow()
        writer = writer or pq.ParquetWriter(partial, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    partial.rename(path)
    return path

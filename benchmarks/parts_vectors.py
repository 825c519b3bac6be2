"""Vectors that exist already, from the item file to the item table, beside a script of Polars and scikit-learn."""

import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from side_by_side import Row, in_child

ITEMS, COLUMNS = 91_717, {"txt_emb_BERT": 768, "img_emb_CLIPRN50": 1024}
REPEATS = 3

OURS = """
import sys, time
from pathlib import Path
from mmctr.clicks.item_table import build_item_table, save_item_table
from mmctr.embedding.pca import save_pca, write_item_embeddings
from mmctr.embedding.reduction import reduce_embeddings
from mmctr.embedding.sources.columns import read_item_vectors
from mmctr.embedding.vectors import read_vectors, write_vectors
from mmctr.inputs.parquet import read_table
file, folder, fit, columns = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
started = time.perf_counter()
made, _ = read_item_vectors(file, item_id="item_id", columns=columns, fuse="concat")
write_vectors(made, folder / "embeddings.parquet")
del made
items = read_vectors(folder / "embeddings.parquet")
reduction = reduce_embeddings(items.vectors, n_components=128, parts=items.parts, fit=fit)
save_pca(reduction.pca, folder / "pca.npz", space=items.space)
write_item_embeddings(items.item_ids, reduction.vectors, folder / "reduced.parquet")
reduced = read_table(folder / "reduced.parquet")
save_item_table(build_item_table(reduced, column=reduced.columns[1]), folder / "item_table.npz")
result = {"seconds": time.perf_counter() - started}
"""
PLAIN = """
import sys, time
import numpy as np, polars as pl
from sklearn.decomposition import PCA
file, folder, fit, columns = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
started = time.perf_counter()
frame = pl.read_parquet(file, columns=["item_id", *columns]).sort("item_id")
parts = [frame[column].to_numpy() for column in columns]
parts = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
if fit == "parts":
    reduced = np.hstack([PCA(64).fit_transform(part) for part in parts])
else:
    reduced = PCA(128).fit_transform(np.hstack(parts))
weights = np.vstack([np.zeros((1, 128), np.float32), reduced.astype(np.float32)])
np.savez(f"{folder}/plain.npz", item_ids=frame["item_id"].to_numpy(), weights=weights)
result = {"seconds": time.perf_counter() - started}
"""


def vectors(folder: Path) -> list[Row]:
    """As many items as the challenge has, with vectors of its two columns' widths, by one PCA and by one for each."""
    file, rows = _item_file(folder / "given.parquet"), []
    for fit, name in (("whole", "one PCA"), ("parts", "a PCA for each")):
        arguments = [str(file), str(folder), fit, *COLUMNS]
        runs = [(in_child(OURS, arguments), in_child(PLAIN, arguments)) for _ in range(REPEATS)]
        for what, unit, target in (("seconds", "s", "below 60 s"), ("peak_mb", "MB", "1 x")):
            pair = [statistics.median(side[what] for side in sides) for sides in zip(*runs, strict=True)]
            part = f"vectors 91,717 x (768 + 1,024), {name}{', memory' if unit == 'MB' else ''}"
            rows.append(Row(part, *pair, unit, "Polars, scikit-learn's PCA", target, REPEATS, higher_is_better=False))
    return rows


def _item_file(path: Path) -> Path:
    """An item file of random vectors, whose variance decays, kept for the next time."""
    if path.is_file():
        return path
    rng = np.random.default_rng(0)
    table = {"item_id": pa.array(np.arange(1, ITEMS + 1))}
    for name, width in COLUMNS.items():
        numbers = rng.standard_normal((ITEMS, width), dtype=np.float32) * np.exp(-np.arange(width) / 60) + 0.01
        table[name] = pa.FixedSizeListArray.from_arrays(pa.array(numbers.astype(np.float32).reshape(-1)), width)
    partial = path.with_suffix(".partial")
    pq.write_table(pa.table(table), partial)
    return partial.rename(path)

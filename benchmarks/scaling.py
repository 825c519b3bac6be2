"""How training and prediction scale: rows, padded history length, items, embedding width. Points, a table, four plots.

python benchmarks/scaling.py           # less than eight minutes on two idle cores; writes benchmarks/plots/
python benchmarks/scaling.py --small   # the first two points of each, to see that it works

Every point runs in a process of its own, so that its peak memory is its own: PyTorch and the split included. At most
`STEPS` steps of 4,096 rows are trained, whatever the rows, and as many rows are predicted.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib import pyplot as plt
from real_shape import ITEMS, LENGTH, clicks, write_clicks
from side_by_side import in_child

FOLDER = Path(tempfile.gettempdir()) / "mmctr-bench"
PLOTS = Path(__file__).resolve().parent / "plots"
ROWS, DIM, STEPS = 100_000, 128, 24
AXES: dict[str, Sequence[int]] = {
    "rows": (10_000, 100_000, 1_000_000, 3_600_000),
    "padded length": (8, 64, 200, 1_000),
    "items": (1_000, 10_000, 100_000, 1_000_000),
    "embedding width": (16, 64, 128, 512),
}
POINT = """
import sys, time
sys.path[:0] = sys.argv[1:3]
import flows.process.environment
import torch
from pathlib import Path
from real_shape import item_table
from mmctr.clicks.split import load_split
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel
from mmctr.evaluation.prediction import predict_logits
from mmctr.training.recipe import Recipe
from mmctr.training.epoch import train_epoch
from mmctr.training.state import PartialEpoch
from mmctr.training.step import Learner

path, items, dim, steps = Path(sys.argv[3]), *map(int, sys.argv[4:])
table = item_table(items=items, dim=dim)
split = load_split(path, table=table, max_len=64, with_label=True)
torch.manual_seed(0)
model = ClickModel(Architecture(items, dim))
model.set_items(table)
recipe = Recipe()
learner = Learner(model, recipe=recipe)
few = split if len(split) <= steps * recipe.batch_size else first(split, steps * recipe.batch_size)
batch = first(few, min(len(few), recipe.batch_size))
train_epoch(model, batch, learner, recipe=recipe, partial=PartialEpoch(1))  # the first step is not like the others
predict_logits(model, batch, batch_size=8192)
started = time.perf_counter()
train_epoch(model, few, learner, recipe=recipe, partial=PartialEpoch(2))
trained = time.perf_counter()
predict_logits(model, few, batch_size=8192)
result = {"train": len(few) / (trained - started), "predict": len(few) / (time.perf_counter() - trained)}
"""
FIRST = """
def first(split, rows):
    from mmctr.clicks.batch import OF_ROW, ClickSplit
    columns = {name: getattr(split, name) for name in OF_ROW}
    short = {name: None if column is None else column[:rows] for name, column in columns.items()}
    offsets = split.offsets[: rows + 1]
    return ClickSplit(history=split.history[: int(offsets[-1])], offsets=offsets, **short)
"""


def main() -> None:
    """Measure all points, then write them and draw them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--small", action="store_true", help="only the first two points of each axis; writes nothing")
    small = options.parse_args().small
    points = {axis: [point(axis, value) for value in values[: 2 if small else None]] for axis, values in AXES.items()}
    if not small:
        PLOTS.mkdir(exist_ok=True)
        (PLOTS / "scaling.json").write_text(json.dumps(points, indent=1) + "\n")
        (PLOTS / "scaling.md").write_text(page(points))
        for axis, measured in points.items():
            draw(axis, measured)


def point(axis: str, value: int) -> dict[str, float]:
    """Rows a second of training and prediction and the peak memory, where `axis` has `value`."""
    rows = value if axis == "rows" else ROWS
    items = value if axis == "items" else ITEMS
    dim = value if axis == "embedding width" else DIM
    path = FOLDER / f"scaling-{rows}-{items}.parquet"
    if axis == "padded length":
        path = padded(rows, length=value)
    else:
        write_scaled(path, rows, items=items)
    here = Path(__file__).resolve().parent
    arguments = [str(here.parent), str(here), str(path), *map(str, (items, dim, STEPS))]
    measured = {axis: float(value), **in_child(FIRST + POINT, arguments)}
    print("  ".join(f"{name} {figure:,.0f}" for name, figure in measured.items()), flush=True)
    return measured


def write_scaled(path: Path, rows: int, *, items: int) -> None:
    """Clicks on `items` items, padded to 64; kept when they are there already."""
    if items == ITEMS:
        write_clicks(path, rows, seed=9)
    elif not path.is_file():
        clicks(np.random.default_rng(9), rows, items=items).write_parquet(path)


def padded(rows: int, *, length: int) -> Path:
    """The same at most eight real items of each row, left-padded to `length`."""
    path = FOLDER / f"scaling-{rows}-length{length}.parquet"
    if not path.is_file():
        frame = clicks(np.random.default_rng(9), rows, length=LENGTH)
        histories = np.zeros((rows, length), dtype=np.int64)
        histories[:, -8:] = np.array(frame["item_seq"])[:, -8:]
        frame.with_columns(item_seq=pl.Series(histories, dtype=pl.Array(pl.Int64, length))).write_parquet(path)
    return path


def page(points: dict[str, list[dict[str, float]]]) -> str:
    """The points as tables."""
    parts = [
        "# Scaling\n\n`python benchmarks/scaling.py` writes this page; the other axes stay at the challenge's size."
    ]
    for axis, measured in points.items():
        lines = [f"| {axis} | train, rows/s | predict, rows/s | peak, MB |", "|---:|---:|---:|---:|"]
        names = (axis, "train", "predict", "peak_mb")
        lines += ["| " + " | ".join(f"{each[name]:,.0f}" for name in names) + " |" for each in measured]
        parts.append("\n".join(lines) + f"\n\n![{axis}]({slug(axis)}.svg)")
    return "\n\n".join(parts) + "\n"


def draw(axis: str, measured: list[dict[str, float]]) -> None:
    """Speed and memory against `axis`, both logarithmic."""
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = axis  # the same points give the same bytes
    figure, (speed, memory) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    values = [each[axis] for each in measured]
    for name in ("train", "predict"):
        speed.loglog(values, [each[name] for each in measured], marker="o", label=name)
    memory.semilogx(values, [each["peak_mb"] for each in measured], marker="o", color="gray")
    speed.legend()
    for panel, label in ((speed, "rows/s"), (memory, "peak memory, MB")):
        panel.set(xlabel=axis, ylabel=label)
        panel.set_ylim(bottom=None if panel is speed else 0)
    figure.savefig(PLOTS / f"{slug(axis)}.svg", metadata={"Date": None})
    plt.close(figure)


def slug(axis: str) -> str:
    """A file's name for `axis`."""
    return axis.replace(" ", "-")


if __name__ == "__main__":
    main()

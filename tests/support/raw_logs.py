"""Small raw logs for the tests, and what a slow program makes of them."""

from pathlib import Path

import numpy as np
import polars as pl

from mmctr.inputs.from_logs.options import LogFormat, Request, Rules
from mmctr.inputs.from_logs.prepare import prepare_logs
from mmctr.inputs.from_logs.record import Prepared

SPLITS = ("train", "valid", "test")


def random_log(*, events: int = 600, users: int = 30, items: int = 40, times: int = 200, seed: int = 0) -> pl.DataFrame:
    """Events with many ties, with a label and a context; user and item ids are neither dense nor sorted."""
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "user_id": 7 * rng.integers(0, users, events) - 3,
            "item_id": 5 * rng.integers(0, items, events),
            "timestamp": 1_700_000_000 + rng.integers(0, times, events),
            "label": rng.integers(0, 2, events),
            "device": rng.choice(["phone", "tablet"], events),
        }
    )
    return frame.unique(["user_id", "item_id", "timestamp"], maintain_order=True)


def prepared(folder: Path, log: pl.DataFrame, *, log_format: LogFormat | None = None, **rules: object) -> Prepared:
    """A data set of a log in `folder / "out"`; without a format, each event is a positive with two negatives."""
    folder.mkdir(exist_ok=True)
    log.write_parquet(folder / "log.parquet")
    if log_format is None:
        log_format, rules = LogFormat(), {"negatives": 2, **rules}
    request = Request(log=log_format, rules=Rules(**rules))  # type: ignore[arg-type]
    return prepare_logs([folder / "log.parquet"], folder / "out", request, progress=False)


def splits(folder: Path) -> dict[str, pl.DataFrame]:
    """The rows of each split in `folder / "out"`, those of test with their labels."""
    frames = {name: pl.read_parquet(folder / "out" / f"{name}.parquet") for name in SPLITS}
    labels = pl.read_parquet(folder / "out/test_labels.parquet")
    assert frames["test"]["ID"].to_list() == labels["ID"].to_list() == list(range(len(labels)))
    frames["test"] = frames["test"].with_columns(labels["label"]).drop("ID")
    return frames

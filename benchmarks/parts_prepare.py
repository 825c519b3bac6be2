"""From raw logs to splits, beside a groupby of pandas."""

import shutil
import statistics
from pathlib import Path

import numpy as np
import polars as pl
from side_by_side import Row, in_child

EVENTS, MOST_EVENTS = 1_000_000, 20_000_000
LIMIT_MB = 3000
REPEATS = 3

OURS = """
import sys, time
from pathlib import Path
from mmctr.inputs.from_logs.options import Request, Rules
from mmctr.inputs.from_logs.prepare import prepare_logs
started = time.perf_counter()
prepare_logs([Path(sys.argv[1])], Path(sys.argv[2]), Request(rules=Rules(negatives=3)))
result = {"seconds": time.perf_counter() - started}
"""
PANDAS = """
import sys, time
from pathlib import Path
import numpy as np, pandas as pd
started = time.perf_counter()
rng = np.random.default_rng(0)
log = pd.read_parquet(sys.argv[1]).sort_values(["user_id", "timestamp", "item_id"])
items = log["item_id"].unique()
rows = []
for user, events in log.groupby("user_id", sort=False):
    item, when = events["item_id"].to_numpy(), events["timestamp"].to_numpy()
    own, before = set(item.tolist()), np.searchsorted(when, when, "left")
    for target, at, end in zip(item.tolist(), when.tolist(), before.tolist()):
        history = item[max(0, end - 64) : end]
        rows.append((user, at, history, target, 1))
        negatives = set()
        while len(negatives) < 3:
            drawn = int(items[rng.integers(len(items))])
            if drawn not in own and drawn not in negatives:
                negatives.add(drawn)
                rows.append((user, at, history, drawn, 0))
rows = pd.DataFrame(rows, columns=["user_id", "time", "history", "item_id", "label"])
valid, test = np.quantile(log["timestamp"], [0.8, 0.9])
out = Path(sys.argv[2])
out.mkdir()
rows[rows["time"] < valid].to_parquet(out / "train.parquet", compression="zstd")
rows[(rows["time"] >= valid) & (rows["time"] < test)].to_parquet(out / "valid.parquet", compression="zstd")
rows[rows["time"] >= test].to_parquet(out / "test.parquet", compression="zstd")
result = {"seconds": time.perf_counter() - started}
"""


def prepare(folder: Path) -> list[Row]:
    """Logs of positives into rows with three negatives each, each side in a fresh process; the large log by ours."""
    log, out = _write_log(folder / "log1m.parquet", events=EVENTS), folder / "prepared"
    pairs = [(_run(OURS, log, out), _run(PANDAS, log, out)) for _ in range(REPEATS)]
    rows = [
        Row(
            f"prepare 1 M events{what}",
            *(statistics.median(pair[side][key] for pair in pairs) for side in (0, 1)),
            unit,
            "pandas groupby",
            target,
            REPEATS,
            higher_is_better=False,
        )
        for key, what, unit, target in (
            ("seconds", "", "s", "faster"),
            ("peak_mb", ", peak of the process", "MB", "less"),
        )
    ]
    large = _run(OURS, _write_log(folder / "log20m.parquet", events=MOST_EVENTS), out)
    name = f"prepare 20 M events in {large['seconds']:.0f} s, peak of the process"
    return [*rows, Row(name, large["peak_mb"], LIMIT_MB, "MB", "the limit", "less", 1, higher_is_better=False)]


def _run(code: str, log: Path, out: Path) -> dict[str, float]:
    shutil.rmtree(out, ignore_errors=True)
    return in_child(code, [str(log), str(out)])


def _write_log(path: Path, *, events: int) -> Path:
    """Forty events a user on average, 100,000 items of skewed popularity, 90 days; kept for the next time."""
    if path.is_file():
        return path
    rng = np.random.default_rng(0)
    activity = rng.gamma(1.0, 1.0, events // 40)
    popularity = 1 / np.arange(10, 100_010) ** 0.9
    log = pl.DataFrame(
        {
            "user_id": rng.choice(len(activity), events, p=activity / activity.sum()) + 1,
            "item_id": rng.choice(len(popularity), events, p=popularity / popularity.sum()) + 1,
            "timestamp": 1_700_000_000 + rng.integers(0, 90 * 86_400, events),
        }
    )
    log.write_parquet(path)
    return path

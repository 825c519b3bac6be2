"""Presets beside each other and beside peers, on data where one can see what is won: `make bench ONLY=quality`.

    python benchmarks/quality.py all                                       # every row, the test figures, the page
    python benchmarks/quality.py row --data movielens --preset strong --seed 0
    python benchmarks/quality.py row --data demo --preset strong --seed 0 --off similarity
    python benchmarks/quality.py row --data demo --peer lightgbm --seed 0
    python benchmarks/quality.py test                                      # reads the labels of test, once
    python benchmarks/quality.py page

A row trains, scores valid and test, and keeps the scores; its figures on valid are its own, those on test are computed
by `test` from the kept scores, after every choice has been made. A row that is there already is not made again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import quality_page
from quality_plan import PEERS, PRESETS, RowName, overrides_without, planned

HERE = Path(__file__).resolve().parent
SCORES = "scores"  # folder of what each row says of test
JOBS = max(1, min(2, os.cpu_count() or 1))


def main() -> None:
    """Do what was asked for."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("step", choices=("all", "rows", "row", "test", "page"))
    options.add_argument("--data", default="movielens")
    options.add_argument("--preset", default="", help=f"one of {', '.join(PRESETS)}, or any other")
    options.add_argument("--peer", default="", choices=("", *PEERS))
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--off", default="", help="a switch of the preset that is turned off")
    options.add_argument("--jobs", type=int, default=JOBS, help="rows at once")
    options.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "mmctr-bench/quality", help="for the data"
    )
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.step == "row":
        name = RowName(chosen.data, chosen.preset or chosen.peer, chosen.seed, chosen.off)
        print(json.dumps(make_row(name, chosen.folder), indent=1))
    if chosen.step == "all":
        make_all(chosen.folder, jobs=chosen.jobs)
    if chosen.step == "rows":
        make_rows(chosen.folder, jobs=chosen.jobs)
    if chosen.step == "test":
        add_test_figures(chosen.folder)
    if chosen.step == "page":
        quality_page.write(kept_rows(chosen.folder), HERE)


def make_all(folder: Path, *, jobs: int = JOBS) -> None:
    """Each row that is missing, then the test figures of all, then the page."""
    folder.mkdir(parents=True, exist_ok=True)
    make_rows(folder, jobs=jobs)
    add_test_figures(folder)
    quality_page.write(kept_rows(folder), HERE)


def make_rows(folder: Path, *, jobs: int) -> None:
    """Make each row of the plan that is not there yet, some at once, each in a process with one thread."""
    from quality_data import DATA, prepared

    for name in DATA:
        prepared(name, folder)
    missing = [row for row in planned() if not row.path(folder).is_file()]
    with ThreadPoolExecutor(jobs) as pool:
        for row, failed in zip(missing, pool.map(lambda one: _child(one, folder), missing), strict=True):
            if failed:
                print(f"not made: {row.command}\n{failed}", file=sys.stderr, flush=True)


def _child(row: RowName, folder: Path) -> str:
    """Run the command of a row; returns the end of what it complained of."""
    print(f"$ {row.command}", file=sys.stderr, flush=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    command = [sys.executable, *row.command.split()[1:], "--folder", str(folder)]
    done = subprocess.run(command, env=environment, cwd=HERE.parent, capture_output=True, text=True, check=False)
    return done.stderr[-2000:] if done.returncode else ""


def make_row(row: RowName, folder: Path) -> dict:
    """Train, score, and keep the figures of valid and the scores of test."""
    import numpy as np
    import quality_model
    from quality_data import opened, prepared

    base = prepared(row.data, folder)
    preset = row.of if row.of not in PEERS else "mission"
    data = opened(base, preset=preset, overrides=overrides_without(row.off))
    outcome = _peer(row.of)(data, seed=row.seed) if row.of in PEERS else quality_model.trained(data, seed=row.seed)
    labels = data.valid.label.numpy()
    valid = quality_model.figures(labels, outcome.valid, user=data.users["valid"])
    made = {**row.as_dict(), "command": row.command, "took": {**outcome.took, "peak_mb": _peak_mb()}, "valid": valid}
    scores = folder / SCORES / f"{row.stem}.npz"
    scores.parent.mkdir(exist_ok=True)
    np.savez(scores, test=outcome.test, user=data.users["test"], cold=data.cold)
    row.path(folder).write_text(json.dumps(made, indent=1) + "\n")
    return made


def _peer(name: str):
    if name == "fuxictr":
        from quality_fuxictr import fuxictr_din

        return fuxictr_din
    import quality_peers

    return getattr(quality_peers, name)


def _peak_mb() -> float:
    """Peak memory of this process so far."""
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    return round(int(status.split()[0]) * 1024 / 1e6)


def add_test_figures(folder: Path) -> None:
    """Join the kept scores with the labels of test."""
    import numpy as np
    from quality_data import DATA, labels_of_test
    from quality_model import figures

    labels = {name: labels_of_test(folder / name) for name in DATA if (folder / name).is_dir()}
    for path in sorted(folder.glob("*.row.json")):
        made = json.loads(path.read_text())
        with np.load(folder / SCORES / f"{path.name.removesuffix('.row.json')}.npz") as kept:
            made["test"] = figures(labels[made["data"]], kept["test"], user=kept["user"], cold=kept["cold"])
        path.write_text(json.dumps(made, indent=1) + "\n")


def kept_rows(folder: Path) -> list[dict]:
    """The rows of the plan that are there."""
    return [json.loads(row.path(folder).read_text()) for row in planned() if row.path(folder).is_file()]


if __name__ == "__main__":
    main()

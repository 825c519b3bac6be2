"""Kill runs of the pipeline at random moments of every stage, run them again, and compare with one never interrupted.

    python benchmarks/kill_test.py --kills 40 --out benchmarks/kill_test.md

Every kill is a SIGKILL to the whole process group of a real `mmctr run`, at a moment drawn from `--seed`: a random part
of a stage's time after the event that the stage begins with, so that short stages are hit as well as long ones. The
data set is a small demo, with small shards and many epochs, in a folder of its own for each kill, with an MLflow store
of its own. One Prefect server serves all runs, except each tenth, which starts its own and loses it with the kill. The
code is copied first, so that it may be edited meanwhile.

While a run goes on, a thread reads every file that it publishes or keeps, and compares it with the uninterrupted run's.
After the second run nothing may differ from that, be left behind, or stand twice in MLflow. The exit code is the number
of kills that showed something else; the folders of these are kept.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kill_process import BEGINS, BIN, EPOCHS, Life, database, live, orphans, prefect_server
from kill_report import Kill, report
from kill_watch import PREDICTION, Watcher, digests, leftovers, query, shards, tracking_problems

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Moment:
    """A part of a run: from the line that matches `begins` to the one that matches `ends`; `share` of all kills."""

    name: str
    begins: str
    ends: str
    share: int
    after: Callable[[Path], bool] | None = None  # waited for after `begins`; it is given BASE_PATH


def _database_begun(base: Path) -> bool:
    return next(database(base).parent.glob("*mlflow.db*"), None) is not None


def _shard_written(base: Path) -> bool:
    return next((base / ".mmctr/vectors").glob("*/*/*/*.npz"), None) is not None


def _run_finished(base: Path) -> bool:
    return query(database(base), "select status from runs") == [("FINISHED",)]


MOMENTS = [
    Moment("MLflow store made", BEGINS, "'extract' - .*extracted", 3, _database_begun),
    Moment("extract", BEGINS, "'extract' - Finished", 5),
    Moment("embed", "'extract' - Finished", "'embed' - Finished", 3),
    Moment("embed, between shards", "'extract' - Finished", "'embed' - Finished", 5, _shard_written),
    Moment("reduce", "'embed' - Finished", "'reduce' - Finished", 3),
    Moment("build_weights", "'reduce' - Finished", "'build_weights' - Finished", 3),
    Moment("train", "training on", f"epoch {EPOCHS}:", 8),
    Moment("train, models logged", f"epoch {EPOCHS}:", "'train' - Finished", 4),
    Moment("train, before its record", f"epoch {EPOCHS}:", "'train' - Finished", 2, _run_finished),
    Moment("predict", "'train' - Finished", "'predict' - Finished", 2),
    Moment("publish, attach", "'predict' - Finished", "Flow run .* - Finished", 2),
]
# seconds from what `after` waits for to the end of the moment; about, as no line tells
AFTER_SECONDS = {"MLflow store made": 1.5, "embed, between shards": 0.6, "train, before its record": 0.02}


class Bench:
    """The folders of the test and the data set that all runs start from."""

    def __init__(self, root: Path) -> None:
        self.root, self.code = root, root / "code"
        self.demo, self.empty_store = root / "demo", root / "empty.db"
        for package in ("mmctr", "tasks", "flows"):
            shutil.copytree(PROJECT / package, self.code / package)
        self.durations: dict[str, float] = {}

    def reference(self) -> tuple[Life, dict[str, str]]:
        """The run that nobody interrupts, and the digests of all that it made."""
        base = self.fresh("reference", with_store=True)
        life = live(base, code=self.code, ephemeral=False)
        assert life.code == 0, "".join(line for _, line in life.lines)
        for moment in MOMENTS:
            begins, ends = life.when(moment.begins), life.when(moment.ends)
            assert begins is not None
            assert ends is not None
            self.durations[moment.name] = ends - begins
        self.durations |= AFTER_SECONDS
        problems = tracking_problems(database(base), epochs=EPOCHS) + leftovers(base.parent)
        assert not problems, problems
        return life, digests(base)

    def fresh(self, name: str, *, with_store: bool) -> Path:
        """A copy of the data set, with an empty MLflow store or none."""
        base = Path(shutil.copytree(self.demo, self.root / name / "data"))
        if with_store:
            database(base).parent.mkdir()
            shutil.copy(self.empty_store, database(base))
        return base

    def kill(self, number: int, moment: Moment, part: float, reference: Life, known: dict[str, str]) -> Kill:
        """One run that is killed after a `part` of `moment`, and the next one, which goes on."""
        ephemeral = number % 10 == 9
        base = self.fresh(f"kill-{number:03d}", with_store=moment.name != "MLflow store made")
        delay, due = part * self.durations[moment.name], None

        def until(life: Life) -> bool:
            nonlocal due
            if due is None and life.when(moment.begins) and (moment.after is None or moment.after(base)):
                due = time.monotonic() + delay
            return due is not None and time.monotonic() >= due

        with Watcher(base, known) as watcher:
            first = live(base, code=self.code, ephemeral=ephemeral, until=until)
            problems = [] if first.code == -signal.SIGKILL else [f"ended by itself with {first.code} before the kill"]
            problems += orphans(first.session)
            kept, told = shards(base), epochs_told(database(base))
            second = live(base, code=self.code, ephemeral=ephemeral)
        if second.code != 0:
            problems.append(f"the second run ended with {second.code}: {second.lines[-1:]}")
        made = digests(base)
        differing = [name for name in known if made.get(name) != known[name] and not name.endswith(TIMED)]
        problems += [f"{name} differs from the uninterrupted run's" for name in differing]
        problems += watcher.broken + leftovers(base.parent) + orphans(second.session)
        problems += tracking_problems(database(base), epochs=EPOCHS)
        after = shards(base)
        problems += [f"{name} was written again" for name, stamp in kept.items() if after.get(name) != stamp]
        again = second.epochs()
        repeated = [epoch for epoch in told if epoch in again and again[epoch] != first.epochs().get(epoch)]
        problems += [f"epoch {epoch} ran twice" for epoch in repeated]
        if not problems:
            shutil.rmtree(base.parent)
        return Kill(
            moment=moment.name,
            identical=made.get(str(PREDICTION)) == known[str(PREDICTION)],
            shards=len(kept),
            epochs=len(told),
            lost=first.work_seconds + second.work_seconds - reference.work_seconds,
            reads=watcher.reads,
            ephemeral=ephemeral,
            problems=problems,
        )


TIMED = ("manifest.parquet", "digests.json", "checked.json")  # hold times of files


def epochs_told(path: Path) -> list[str]:
    """The epochs that MLflow knows."""
    return [str(step) for (step,) in query(path, "select step from metrics where key = 'valid_auc'")]


def schedule(kills: int, rng: random.Random, *, only: str | None) -> list[Moment]:
    """`kills` moments in random order, by their shares, or all of the kind `only`."""
    whole = [moment for moment in MOMENTS for _ in range(moment.share) if only in (None, moment.name)]
    chosen = [whole[number * len(whole) // kills % len(whole)] for number in range(kills)]
    rng.shuffle(chosen)
    return chosen


def main() -> int:
    """Run the test; returns the number of kills that showed a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[moment.name for moment in MOMENTS], help="kill in this moment alone")
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--users", type=int, default=1500)
    parser.add_argument("--port", type=int, default=14299, help="of the Prefect server (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="kills at the same time (default %(default)s)")
    parser.add_argument("--out", type=Path, help="Markdown file to write the table to")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    root = Path(tempfile.mkdtemp(prefix="kill-test-"))
    bench = Bench(root)
    (root / "prefect").mkdir()
    run = [BIN / "mmctr", "demo", bench.demo, "--items", str(options.items), "--users", str(options.users)]
    subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    code = f"from mlflow import MlflowClient; MlflowClient('sqlite:///{bench.empty_store}').search_experiments()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, stderr=subprocess.DEVNULL)
    kills: list[Kill] = []
    with prefect_server(root / "prefect", options.port), ThreadPoolExecutor(options.jobs) as threads:
        reference, known = bench.reference()
        print(f"reference: {reference.work_seconds:.1f} s of work; {bench.durations}", flush=True)
        plan = [(moment, rng.random()) for moment in schedule(options.kills, rng, only=options.only)]
        work = [threads.submit(bench.kill, n, moment, part, reference, known) for n, (moment, part) in enumerate(plan)]
        for number, kill in enumerate(work):
            kills.append(kill.result())
            print(f"{number:3d} {kills[-1].line()}", flush=True)
            if options.out is not None:
                order = [moment.name for moment in MOMENTS]
                table = report(kills, order=order, options=options, reference_seconds=reference.work_seconds)
                options.out.write_text(table)
    failed = sum(bool(kill.problems) for kill in kills)
    if failed:
        print(f"{failed} kills showed a problem; their folders are kept in {root}")
    else:
        shutil.rmtree(root)
    return failed


if __name__ == "__main__":
    sys.exit(main())

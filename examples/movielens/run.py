"""MovieLens-100k from raw ratings to a model, beside the rule of popularity: `python examples/movielens/run.py`.

It downloads the wheel of RecBole, which carries the ratings, checks its SHA-256, and reads it as a zip: nothing of it
is installed or run. Then come the commands that a user types: `mmctr prepare`, `mmctr check`, `mmctr run`. The last
lines are AUCs on the test users, whose labels `prepare` has put apart.
"""

import argparse
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import polars as pl

from mmctr.common.files import file_sha256
from mmctr.evaluation.metrics import auc

PROJECT = Path(__file__).resolve().parents[2]
WHEEL = "recbole-1.2.1-py3-none-any.whl"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
INNER = "recbole/dataset_example/ml-100k/ml-100k"
PREPARE = (
    # A rating says that a user has seen a film: a positive, beside a film that the user has never rated. A user is in
    # one split alone; each has up to 30 rows there, with what was seen before.
    "--user user_id:token --item item_id:token --time timestamp:float --negatives 1 "
    "--split users --max-len 20 --min-history 1 --last 30 "
    # A film's year is a number, and its genres are tags; two films have garbage for a year.
    "--items-id item_id:token --item-feature release_year:token=number --item-feature class:token_seq=tags "
    "--null unkonwn --null V"
)
# 43,000 rows of 1,682 films: a small model that is held back, with each film's id, year and genres.
TRAIN = (
    "--set reduce.n_components=32 --set model.head={kind='mlp',hidden=[64,32],dropout=0.3} "
    "--set model.sequence=[{kind='target_attention',hidden=[32,16],dropout=0.3}] "
    "--set train.weight_decay=0.01 --set train.batch_size=256 --set train.patience=2 --set promote.publish=latest"
)


def main() -> None:
    """Download, prepare, check, train once for each seed, and print the AUCs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--folder", type=Path, default=PROJECT / "data/movielens", help="to work in (default %(default)s)"
    )
    options.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings (default %(default)s)")
    chosen = options.parse_args()
    ratings, films = raw_files(downloaded(chosen.folder), chosen.folder)
    base = chosen.folder / "base"
    if not base.exists():
        mmctr("prepare", ratings, "--out", base, "--items", films, *PREPARE.split())
    mmctr("check", base)
    scores = []
    for seed in range(chosen.seeds):
        mmctr("run", base, *TRAIN.split(), "--set", f"train.seed={seed}")
        scores.append(auc_of(base, pl.read_csv(base / "predictions.csv")))
    print(report(base, scores))


def downloaded(folder: Path) -> Path:
    """The wheel, from the package index where it is not there yet."""
    wheel = folder / WHEEL
    if not wheel.is_file():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), "recbole==1.2.1"], check=True)
    found = file_sha256(wheel)
    if found != SHA256:
        sys.exit(f"{wheel} must have the SHA-256 {SHA256}; it has {found}; remove it and run again")
    return wheel


def raw_files(wheel: Path, folder: Path) -> tuple[Path, Path]:
    """The ratings and the films, out of the wheel."""
    paths = folder / "ratings.inter", folder / "films.item"
    with ZipFile(wheel) as archive:
        for path in paths:
            path.write_bytes(archive.read(f"{INNER}{path.suffix}"))
    return paths


def mmctr(*words: object) -> None:
    """Print a command and run it."""
    arguments = [str(word) for word in words]
    print(f"\n$ mmctr {shlex.join(arguments)}", flush=True)
    program = Path(sys.executable).with_name("mmctr")
    if subprocess.run([program, *arguments], check=False).returncode:
        sys.exit(1)


def auc_of(base: Path, scores: pl.DataFrame) -> float:
    """AUC on test of scores: the row's ID in the first column, its score in the second."""
    labels = pl.read_parquet(base / "test_labels.parquet")
    joined = labels.join(scores, on="ID", how="left", validate="1:1", maintain_order="left")
    return auc(joined["label"].to_numpy(), joined[:, -1].to_numpy())


def popularity(base: Path) -> dict[str, pl.DataFrame]:
    """Scores of two rules without a model, of train's rows alone: how often a film was seen, and in which share."""
    train, test = (pl.read_parquet(base / f"{name}.parquet") for name in ("train", "test"))
    films = train.group_by("item_id").agg(seen=pl.col("label").sum(), rows=pl.len())
    known = test.join(films, on="item_id", how="left", maintain_order="left").fill_null(0)
    share = (pl.col("seen") + 5 * train["label"].mean()) / (pl.col("rows") + 5)  # five rows of the average film
    return {
        "popularity: how often seen in train": known.select("ID", "seen"),
        "popularity: share of seen, smoothed": known.select("ID", share.alias("share")),
    }


def report(base: Path, scores: list[float]) -> str:
    """The AUCs, and of several trainings their mean and its standard error."""
    lines = ["", "AUC on test"]
    lines += [f"  {name:40} {auc_of(base, rule):.4f}" for name, rule in popularity(base).items()]
    error = f" +- {statistics.stdev(scores) / len(scores) ** 0.5:.4f}" if len(scores) > 1 else ""
    each = f" ({', '.join(f'{score:.4f}' for score in scores)})" if len(scores) > 1 else ""
    return "\n".join([*lines, f"  {'model':40} {statistics.mean(scores):.4f}{error}{each}"])


if __name__ == "__main__":
    main()

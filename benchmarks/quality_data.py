"""The data sets that presets are compared on: both demo worlds, and MovieLens-100k from its raw ratings.

Each is a folder that `mmctr run` reads as well. Item vectors are made once, by a run of one epoch. The labels of test
are read by `quality.py test` alone.

Legend: R rows of a split.
"""

import flows.process.environment  # noqa: F401  the settings that a run has

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.feature_encoding import FeatureEncoding
from mmctr.clicks.feature_fitting import fit_items, fit_rows
from mmctr.clicks.item_table import ItemTable, build_item_table
from mmctr.clicks.split import load_split
from mmctr.inputs.layout import SPLITS, ClickColumns
from tasks.settings.load import load_config
from tasks.settings.sections import PipelineConfig

PROJECT = Path(__file__).resolve().parents[1]
DATA = ("demo", "challenge", "movielens")
WORLDS = {"demo": "content", "challenge": "challenge"}
VECTOR = 64  # numbers of a film's vector
# What an item is beside its vector: of the worlds as the challenge's item table has it.
WORLD_FEATURES = """
[data.item_features]
likes_level = { kind = "category", size = 20 }
views_level = { kind = "category", size = 20 }
item_tags = { kind = "tags", max_tags = 5 }
"""
FILM_SETTINGS = {'source = "clip"': 'source = "columns"\ncolumns = ["vector"]'}  # lines of what `mmctr prepare` writes
FILM_REDUCTION = f"\n[reduce]\nn_components = {VECTOR}\n"
# A rating says that a user has seen a film: a positive, beside three films that the user has never rated. A user is in
# one split alone, with rows for up to 15 sightings and what was seen before them.
PREPARE = (
    "--user user_id:token --item item_id:token --time timestamp:float --negatives 3 --split users --max-len 20 "
    "--min-history 1 --last 15 --items-id item_id:token --title movie_title:token_seq "
    "--item-feature release_year:token=number --item-feature class:token_seq=tags --null unkonwn --null V"
)


@dataclass(frozen=True)
class Opened:
    """A data set as a model reads it; nothing here knows a label of test.

    Attributes:
        users: of each split, (R,) numbers that are equal for rows of one user.
        cold: (R,) rows of test whose target is never one in train.
    """

    config: PipelineConfig
    items: ItemTable
    train: ClickSplit
    valid: ClickSplit
    test: ClickSplit
    users: dict[str, npt.NDArray[np.int64]]
    cold: npt.NDArray[np.bool_]
    columns: ClickColumns
    row_encoding: FeatureEncoding
    item_encoding: FeatureEncoding


def opened(base: Path, *, preset: str, overrides: list[str]) -> Opened:
    """The data set in `base`, with the settings of a preset and those that go over it."""
    config = load_config(base, preset=preset, overrides=overrides)
    layout = config.data.layout
    columns, path = layout.click_columns, {name: base / getattr(layout, name) for name in SPLITS}
    vectors = pl.read_parquet(base / layout.item_embeddings)
    table = build_item_table(vectors, column=vectors.columns[1])
    rows = fit_rows(path["train"], columns=columns)
    loaded = {
        name: load_split(
            path[name],
            table=table,
            columns=columns,
            encoding=rows,
            max_len=config.train.max_len,
            with_label=name != "test",
            user=layout.user,
        )
        for name in SPLITS
    }
    table, items = fit_items(base / layout.items, columns=layout.item_columns, table=table, train=loaded["train"])
    users = {name: split.user.numpy().astype(np.int64) for name, split in loaded.items()}
    seen = np.isin(loaded["test"].target.numpy(), loaded["train"].target.unique().numpy())
    return Opened(
        config, table, **loaded, users=users, cold=~seen, columns=columns, row_encoding=rows, item_encoding=items
    )


def labels_of_test(base: Path) -> npt.NDArray[np.int64]:
    """(R,) labels of test, which stand in a file of their own. Only the last step of a comparison reads them."""
    test = pl.read_parquet(base / load_config(base).data.layout.test, columns=["ID"])
    truth = next(path for name in ("test_labels", "demo_truth") if (path := base / f"{name}.parquet").is_file())
    labels = pl.read_parquet(truth, columns=["ID", "label"])
    return test.join(labels, on="ID", how="left", validate="1:1", maintain_order="left")["label"].to_numpy()


def prepared(name: str, folder: Path) -> Path:
    """The folder of a data set, made where it is not there, with the vectors of its items."""
    base = folder / name
    ready = base / "quality_ready"
    if ready.is_file():
        return base
    if name in WORLDS:
        _mmctr(folder, "demo", base, "--world", WORLDS[name])
        _rewrite(base, {}, WORLD_FEATURES)
    else:
        _films(folder, base)
        _rewrite(base, FILM_SETTINGS, FILM_REDUCTION)
    _mmctr(folder, "run", base, "--set", "train.epochs=1")
    ready.touch()
    return base


def _rewrite(base: Path, changes: dict[str, str], more: str) -> None:
    """Change lines of a data set's settings, and add some."""
    path = base / "mmctr.toml"
    text = path.read_text()
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"{path} must have the line {old!r}, which `mmctr prepare` writes; it has not")
        text = text.replace(old, new)
    path.write_text(text + more)


def _films(folder: Path, base: Path) -> None:
    """Rows with histories out of MovieLens' ratings, and an item table with a vector of each film's words."""
    raw = folder / "raw"
    raw.mkdir(exist_ok=True)
    example = _example()
    ratings, films = example.raw_files(example.downloaded(raw), raw)
    items = raw / "films.parquet"
    with_vectors(pl.read_csv(films, separator="\t", null_values=["unkonwn", "V"])).write_parquet(items)
    _mmctr(folder, "prepare", ratings, "--out", base, "--items", items, *PREPARE.split())


def with_vectors(films: pl.DataFrame) -> pl.DataFrame:
    """Films with a `vector` of their title's words and genres: latent semantic analysis, no outside data."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    genres = pl.col("class:token_seq").fill_null("").str.replace_all(r"(\S+)", "genre_$1")
    texts = films.select(pl.concat_str(pl.col("movie_title:token_seq").fill_null(""), genres, separator=" "))
    counts = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True, min_df=2).fit_transform(texts.to_series())
    vectors = TruncatedSVD(VECTOR, random_state=0).fit_transform(counts).astype(np.float32)
    return films.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float32, VECTOR)))


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("movielens", PROJECT / "examples/movielens/run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _mmctr(folder: Path, *words: object) -> None:
    """Print a command and run it, with an MLflow store of the comparison's own."""
    command = [str(word) for word in words]
    print("$ mmctr", *command, file=sys.stderr, flush=True)
    program = Path(sys.executable).with_name("mmctr")
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder.absolute() / 'mlflow.db'}"}
    subprocess.run([program, *command], check=True, env=environment, stdout=subprocess.DEVNULL)

"""A small shop with text ids, and features of every kind of its rows and its items, one of which decides a click."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.feature_encoding import FeatureEncoding
from mmctr.clicks.feature_fitting import fit_items, fit_rows
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.split import load_split
from mmctr.inputs.features import Feature
from mmctr.inputs.layout import ClickColumns, ItemColumns
from mmctr.inputs.vocabulary import Vocabulary, texts
from mmctr.models.architecture import Architecture, ItemOptions, Part
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint import Checkpoint
from mmctr.models.items.fitting import fit_item_encoder
from mmctr.training.loop import train_model
from mmctr.training.recipe import Recipe

ITEMS, DIM = 160, 4
WORDS = [f"word {number}" for number in range(8)]
ROWS = (
    Feature("hour", "category", size=24, width=3),
    Feature("device", "category", width=4),
    Feature("words", "tags", width=5, max_tags=3),
    Feature("dwell", "number"),
)
THINGS = (
    Feature("brand", "category", width=4),
    Feature("genres", "tags", width=5, max_tags=3),
    Feature("price", "number"),
)
CLICKS = ClickColumns(history="seen", target="shown", label="bought", padding="none", features=ROWS)
SHOP = ItemColumns(item_id="sku", title="", features=THINGS)


def some_words(rng: np.random.Generator, rows: int) -> list[list[str] | None]:
    """Up to three words for each of some rows, none for some."""
    lists = [rng.choice(WORDS, rng.integers(0, 4), replace=False).tolist() for _ in range(rows)]
    return [words if words or rng.random() < 0.5 else None for words in lists]


def some_numbers(rng: np.random.Generator, rows: int) -> list[float | None]:
    """Numbers far from 0, every tenth of them missing."""
    return np.where(rng.random(rows) < 0.1, None, rng.normal(900, 50, rows)).tolist()


def items_frame(rng: np.random.Generator) -> pl.DataFrame:
    """The items, in no order."""
    return pl.DataFrame(
        {
            "sku": [f"sku/{number:03}" for number in rng.permutation(ITEMS)],
            "brand": rng.choice(["a", "b", "c", None], ITEMS).tolist(),
            "genres": pl.Series(some_words(rng, ITEMS), dtype=pl.List(pl.String)),
            "price": some_numbers(rng, ITEMS),
        }
    )


def clicks_frame(rng: np.random.Generator, items: pl.DataFrame, *, rows: int, signal: str) -> pl.DataFrame:
    """Rows whose items are among `items`, and a label that the feature `signal` of the row or of its target decides."""
    shown = rng.integers(0, len(items), rows)
    frame = pl.DataFrame(
        {
            "seen": [rng.choice(items["sku"].to_list(), rng.integers(0, 5)).tolist() for _ in range(rows)],
            "shown": items["sku"].gather(shown),
            "hour": rng.integers(0, 24, rows),
            "device": rng.choice(["phone", "tv", "watch"], rows),
            "words": pl.Series(some_words(rng, rows), dtype=pl.List(pl.String)),
            "dwell": some_numbers(rng, rows),
        }
    )
    column = frame[signal] if signal in frame.columns else items[signal].gather(shown)
    return frame.with_columns(bought=pl.Series([decided(signal, value) for value in column], dtype=pl.Int64))


def decided(signal: str, value: object) -> int:
    """Whether a value of the feature means a click."""
    if isinstance(value, pl.Series):
        return int(WORDS[0] in value or WORDS[1] in value)
    if isinstance(value, float) or (value is None and signal in ("price", "dwell")):
        return int(value is None or value > 900)
    if isinstance(value, int):
        return int(value % 2)
    return int(value in ("a", "phone"))


@dataclass(frozen=True)
class Shop:
    """Files, and what was read of them."""

    folder: Path
    table: ItemTable
    train: ClickSplit
    valid: ClickSplit
    rows: FeatureEncoding
    items: FeatureEncoding

    @property
    def architecture(self) -> Architecture:
        return Architecture(
            num_items=len(self.table.ids),
            dim=DIM,
            item=ItemOptions(content="frozen"),
            sequence=(Part("target_attention", {"hidden": (6,), "activation": "dice", "dropout": 0.0}),),
            head=Part("mlp", {"hidden": (16,), "activation": "dice", "batch_norm": False, "dropout": 0.0}),
            row_features=self.rows.sized,
            item_features=self.items.sized,
        )

    def model(self, *, dropout: float = 0.0, batch_norm: bool = False, **item: Any) -> ClickModel:
        """A model with seeded weights that reads items as `item` says."""
        head = Part("mlp", {**self.architecture.head.options, "batch_norm": batch_norm, "dropout": dropout})
        architecture = replace(self.architecture, item=ItemOptions(**item), head=head)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = ClickModel(architecture)
            model.set_items(self.table)
            fit_item_encoder(model.items, self.train)
        return model

    def trained(self, recipe: Recipe, *, earlier: Checkpoint | None = None) -> Checkpoint:
        """The best epoch of a training on this shop's clicks."""
        checkpoint, _ = train_model(
            self.table,
            self.train,
            self.valid,
            architecture=self.architecture,
            recipe=recipe,
            device="cpu",
            columns=CLICKS,
            row_encoding=self.rows,
            item_encoding=self.items,
            earlier=earlier,
            progress=False,
        )
        return checkpoint


def write_shop(folder: Path, *, signal: str = "device", rows: int = 400, seed: int = 0) -> None:
    """Write the files; the first half of the items is in train alone, the other half in valid alone."""
    rng = np.random.default_rng(seed)
    items = items_frame(rng)
    halves = {"train": items[: ITEMS // 2], "valid": items[ITEMS // 2 :]}
    for name, half in halves.items():
        clicks_frame(rng, half, rows=rows, signal=signal).write_parquet(folder / f"{name}.parquet")
    items.write_parquet(folder / "items.parquet")


def open_shop(folder: Path) -> Shop:
    """What a training reads of the files; the vectors of the items are zeros, so that features alone say anything."""
    ids = pl.read_parquet(folder / "items.parquet")["sku"].to_list()
    table = ItemTable(Vocabulary(texts(ids)), np.zeros((len(ids) + 1, DIM), dtype=np.float32))
    train, valid = folder / "train.parquet", folder / "valid.parquet"
    rows = fit_rows(train, columns=CLICKS)
    train_clicks, valid_clicks = (
        load_split(path, table=table, columns=CLICKS, encoding=rows, with_label=True) for path in (train, valid)
    )
    table, items = fit_items(folder / "items.parquet", columns=SHOP, table=table, train=train_clicks)
    return Shop(folder, table, train_clicks, valid_clicks, rows, items)

"""Layouts that are not the challenge's, and small tables of them."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mmctr.inputs.features import Feature
from mmctr.inputs.layout import MICROLENS_1M, Layout

SHOP = replace(
    MICROLENS_1M,
    items="items.parquet",
    images=(),
    train="train.parquet",
    valid="valid.parquet",
    test="",
    item_id="sku",
    title="name",
    history="seen",
    target="sku",
    label="clicked",
    row_id="",
    user="shopper",
    padding="none",
    row_features=(Feature("device", "category"), Feature("hour", "number"), Feature("campaigns", "tags")),
    item_features=(Feature("brand", "category"), Feature("price", "number"), Feature("tags", "tags")),
    submission="plain",
)


def shop_items() -> pl.DataFrame:
    """Five items with ids that are texts."""
    return pl.DataFrame(
        {
            "sku": ["a-1", "b-2", "0", "007", "é"],
            "name": ["shirt", None, "hat", "", "shoe"],
            "brand": ["x", "y", None, "x", ""],
            "price": [1.5, None, 3.0, float("nan"), 2.0],
            "tags": [["red", "wool"], [], None, ["red", None], ["blue"]],
        }
    )


def shop_clicks(**columns: object) -> pl.DataFrame:
    """Eight rows of four users, with some columns in the place of theirs."""
    good: dict[str, object] = {
        "shopper": ["u1", "u1", "u2", "u2", "u3", "u3", "u4", "u4"],
        "seen": [["a-1", "b-2"], [], None, ["0"], ["007", None, "gone"], ["é"], ["a-1"], ["a-1", "a-1"]],
        "sku": ["b-2", "0", "007", "a-1", "é", "gone", "a-1", "b-2"],
        "device": ["phone", "phone", None, "desk", "phone", "", "desk", "desk"],
        "hour": [1, None, 3, 23, 0, 12, 13, 14],
        "campaigns": [["c1"], None, [], ["c1", "c2"], ["c3"], [], [], ["c2"]],
        "clicked": [True, False, True, False, True, False, True, False],
    }
    return pl.DataFrame(good | columns)


def write_table(table: pl.DataFrame | pa.Table, path: Path) -> None:
    """Parquet or CSV, by the name of the file; lists become texts with spaces between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, pa.Table):
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
        flat = table.with_columns(pl.col(lists).cast(pl.List(pl.String)).list.drop_nulls().list.join(" "))
        flat.write_csv(path)
    else:
        table.write_parquet(path)


def write_shop(folder: Path, layout: Layout = SHOP) -> Path:
    """The data set of a layout whose columns are those of SHOP."""
    write_table(shop_items(), folder / layout.items)
    for name in (layout.train, layout.valid, layout.test):
        if name:
            write_table(shop_clicks(), folder / name)
    return folder

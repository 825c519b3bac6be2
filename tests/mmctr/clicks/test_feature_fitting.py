"""What is known of features comes from train alone: its rows, the part kept, and the items that occur in it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from featured import CLICKS, ROWS, SHOP, open_shop, write_shop

import mmctr.clicks.feature_fitting
from mmctr.clicks.feature_fitting import fit_items, fit_rows
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.split import load_split, split_from_lists
from mmctr.inputs.features import Feature
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import ClickColumns, HeldOut
from mmctr.inputs.vocabulary import Vocabulary, texts


def values_of(encoding):
    """Everything that was fitted, as plain values."""
    return [
        (None if one.vocabulary is None else one.vocabulary.values.to_pylist(), one.mean, one.std)
        for one in encoding.features
    ]


def test_what_is_in_valid_and_items_that_train_does_not_have_change_nothing(tmp_path):
    write_shop(tmp_path)
    before = open_shop(tmp_path)
    items, valid = pl.read_parquet(tmp_path / "items.parquet"), pl.read_parquet(tmp_path / "valid.parquet")
    strange = items["sku"].is_in(valid["shown"].implode())
    other = [pl.lit("new").alias("brand"), pl.lit(1e9).alias("price"), pl.lit(["new"]).alias("genres")]
    items.filter(~strange).vstack(items.filter(strange).with_columns(other)).write_parquet(tmp_path / "items.parquet")
    valid.with_columns(device=pl.lit("new"), dwell=pl.lit(-1e9), words=pl.lit(["new"])).write_parquet(
        tmp_path / "valid.parquet"
    )
    after = open_shop(tmp_path)
    assert values_of(after.rows) == values_of(before.rows)
    assert values_of(after.items) == values_of(before.items)
    assert not after.valid.feature_ids[:, 1:].any()
    unseen = after.table.lookup(texts(items.filter(strange)["sku"].to_list()))
    assert not after.table.feature_ids[unseen].any()


def test_an_item_counts_once_and_as_part_of_a_history_too(tmp_path):
    items = pl.DataFrame({"sku": ["a", "b", "c", "d"], "price": [1.0, 3.0, 8.0, 100.0]})
    items.write_parquet(tmp_path / "items.parquet")
    table = ItemTable(Vocabulary(texts(["d", "c", "b", "a"])), np.zeros((5, 2), np.float32))
    rows = {"seen": [["b", "b"], []], "shown": ["a", "a"]}
    train = split_from_lists(rows, table=table, columns=replace(CLICKS, features=()), max_len=9)
    columns = replace(SHOP, features=(Feature("price", "number"),))
    found, encoding = fit_items(tmp_path / "items.parquet", columns=columns, table=table, train=train)
    assert (encoding.features[0].mean, encoding.features[0].std) == (2.0, 1.0)
    assert found.feature_numbers.tolist() == [[0, 1], [98, 0], [6, 0], [1, 0], [-1, 0]]  # by the table's rows
    assert found.feature_ids.shape == (5, 0)


def test_the_order_of_the_item_table_and_its_parts_do_not_matter(tmp_path):
    write_shop(tmp_path)
    shop = open_shop(tmp_path)
    items = pl.read_parquet(tmp_path / "items.parquet").sample(fraction=1, shuffle=True, seed=1)
    parts = [tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"]
    items[:50].write_parquet(parts[0])
    items[50:].write_parquet(parts[1])
    found, encoding = fit_items(parts, columns=SHOP, table=shop.table, train=shop.train)
    assert np.array_equal(found.feature_ids, shop.table.feature_ids)
    assert np.allclose(found.feature_numbers, shop.table.feature_numbers, atol=1e-5)
    assert [one.vocabulary and one.vocabulary.digest for one in encoding.features] == [
        one.vocabulary and one.vocabulary.digest for one in shop.items.features
    ]


def test_where_users_are_held_out_only_the_others_are_looked_at(tmp_path):
    users = [f"user {number}" for number in range(200)]
    train = HeldOut(user="user", share=0.3, seed=5, part="train")
    kept = kept_rows(texts(users), train)
    path = tmp_path / "train.parquet"
    frame = pl.DataFrame(
        {
            "user": users,
            "device": [f"of {user}" for user in users],
            "dwell": np.where(kept, 1.0, 1e6),
            "seen": pl.Series([["a"]] * 200),
            "shown": ["a"] * 200,
            "bought": kept.astype(int),
        }
    )
    frame.write_parquet(path)
    columns = replace(CLICKS, features=(ROWS[1], ROWS[3]))
    encoding = fit_rows(path, columns=columns, held_out=train)
    assert 20 < (~kept).sum() < 100
    device, dwell = encoding.features
    assert device.vocabulary.values.to_pylist() == frame.filter(pl.Series(kept))["device"].sort().to_list()
    assert (dwell.mean, dwell.std) == (1.0, 1.0)
    table = ItemTable(Vocabulary(texts(["a"])), np.zeros((2, 2), np.float32))
    options = {"table": table, "columns": columns, "encoding": encoding, "with_label": True}
    parts = {part: load_split(path, **options, held_out=replace(train, part=part)) for part in ("train", "valid")}
    assert len(parts["train"]) + len(parts["valid"]) == 200
    assert parts["train"].label.all()
    assert not parts["valid"].label.any()
    assert not parts["valid"].feature_ids.any(), "their devices are unknown"


def test_nothing_is_read_where_nothing_must_be_fitted(monkeypatch):
    monkeypatch.setattr(mmctr.clicks.feature_fitting, "read_part", lambda *_, **__: pytest.fail("read"))
    encoding = fit_rows([], columns=ClickColumns())
    assert [feature.column for feature in encoding.sized] == ["likes_level", "views_level"]


def test_rows_in_memory_are_read_as_those_of_a_file(tmp_path):
    write_shop(tmp_path)
    shop = open_shop(tmp_path)
    frame = pl.read_parquet(tmp_path / "valid.parquet").drop("bought")
    options = {"table": shop.table, "columns": CLICKS, "encoding": shop.rows, "max_len": 64}
    for rows in (frame.to_dict(as_series=False), dict(frame.to_pandas().items())):
        made = split_from_lists(rows, **options)
        for name in ("history", "offsets", "target", "feature_ids", "feature_numbers"):
            assert torch.equal(getattr(made, name), getattr(shop.valid, name)), name

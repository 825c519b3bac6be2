"""The report on data that is not the challenge's."""

import json
from dataclasses import replace

import polars as pl
import pytest
from layouts import SHOP, shop_clicks, shop_items, write_shop, write_table

from flows.cli.check_report import as_json, as_text, next_command
from mmctr.report.dataset import report_dataset
from mmctr.report.features import FeatureReport

CSV = replace(SHOP, items="items.csv", train="train.csv", valid="valid.csv")


@pytest.mark.parametrize("layout", [SHOP, CSV])
def test_every_figure_with_text_ids(tmp_path, layout):
    report = report_dataset(write_shop(tmp_path, layout), layout)
    assert list(report.files) == ["items", "train", "valid"]
    assert (report.held_out, report.not_read) == (False, [])
    found = report.coverage
    assert (found.items, found.with_title, found.with_image, found.with_both, found.with_vector) == (
        5,
        3,
        None,
        None,
        {},
    )
    assert (found.images_of_unknown_items, found.members_that_are_no_image) == (None, None)

    train, valid = report.splits["train"], report.splits["valid"]
    assert (train.rows, train.label_rate, train.users) == (8, 0.5, 4)
    assert (train.history_length.mean, train.history_length.empty) == (9 / 8, 2)
    assert (train.unknown_history_share, train.unknown_target_share) == (1 / 9, 1 / 8)
    assert (valid.users_also_in, valid.rows_also_in, valid.cold_target_rows) == ({"train": 4}, {"train": 8}, 0)
    assert train.features == {
        "device": FeatureReport("category", 0.25, 2, None, None, None),
        "hour": FeatureReport("number", 0.125, None, None, 0, 23),
        "campaigns": FeatureReport("tags", 0.5, 3, None, None, None),
    }
    assert valid.features["device"].unknown_share == 0
    assert report.item_features == {
        "brand": FeatureReport("category", 0.4, 2, None, None, None),
        "price": FeatureReport("number", 0.4, None, None, 1.5, 3),
        "tags": FeatureReport("tags", 0.4, 3, None, None, None),
    }


def test_what_train_does_not_know(tmp_path):
    write_shop(tmp_path)
    changed = {"device": ["tv", *["desk"] * 7], "campaigns": [["c9", "c1"], *[[]] * 7], "sku": ["new"] * 8}
    write_table(shop_clicks(**changed), tmp_path / "valid.parquet")
    valid = report_dataset(tmp_path, SHOP).splits["valid"]
    assert valid.features["device"].unknown_share == 1 / 8
    assert valid.features["campaigns"].unknown_share == 1 / 2
    assert (valid.cold_target_rows, valid.cold_target_items, valid.unknown_target_share) == (8, 1, 1)


def test_users_that_are_held_out_are_the_split_valid(tmp_path):
    layout = replace(SHOP, valid="", valid_share=0.5)
    report = report_dataset(write_shop(tmp_path, layout), layout)
    train, valid = report.splits["train"], report.splits["valid"]
    assert (train.rows + valid.rows, train.users + valid.users) == (8, 4)
    assert valid.users_also_in == {"train": 0}
    assert report.held_out
    assert report.files["train"].rows == 8
    assert "valid is a part of train" in as_text(report)


def test_a_test_split_with_labels_and_without(tmp_path):
    layout = replace(SHOP, test="test.parquet")
    write_shop(tmp_path, layout)
    assert report_dataset(tmp_path, layout).splits["test"].label_rate == 0.5
    for test in (shop_clicks().drop("clicked"), shop_clicks(clicked=[-1] * 8)):
        write_table(test, tmp_path / "test.parquet")
        assert report_dataset(tmp_path, layout).splits["test"].label_rate is None


def test_vectors_that_are_given_and_no_titles(tmp_path):
    layout = replace(SHOP, title="", item_features=())
    write_shop(tmp_path, layout)
    write_table(
        shop_items().with_columns(text=pl.Series([[1.0], None, [2.0], [3.0], None])), tmp_path / "items.parquet"
    )
    report = report_dataset(tmp_path, layout, embed_columns=["text"])
    assert (report.coverage.with_vector, report.coverage.with_title) == ({"text": 3}, None)
    assert "with text" in as_text(report)


def test_images_of_text_ids_in_a_folder_and_by_a_column(tmp_path):
    layout = replace(SHOP, images=("pictures",))
    write_shop(tmp_path)
    (tmp_path / "pictures/x").mkdir(parents=True)
    for name in ("a-1.jpg", "007.webp", "x/other.png", "notes.txt"):
        (tmp_path / "pictures" / name).write_bytes(b"x" * 100)
    found = report_dataset(tmp_path, layout)
    assert (found.coverage.with_image, found.coverage.with_neither) == (2, 1)
    assert (found.coverage.images_of_unknown_items, found.coverage.members_that_are_no_image) == (1, 1)
    assert (found.files["images"].rows, found.files["images"].bytes) == (4, 300)
    names = pl.Series(["x/other.png", None, "a-1.jpg", "a-1.jpg", "gone.jpg"])
    write_table(shop_items().with_columns(picture=names), tmp_path / "items.parquet")
    coverage = report_dataset(tmp_path, replace(layout, image="picture")).coverage
    assert (coverage.with_image, coverage.images_of_unknown_items) == (3, 1)


def test_parts_and_other_tables_are_named(tmp_path):
    layout = replace(SHOP, train="clicks")
    write_shop(tmp_path, replace(SHOP, train="clicks/part-0.parquet"))
    write_table(shop_clicks(), tmp_path / "clicks/part-1.parquet")
    write_table(shop_clicks(), tmp_path / "more/extra.csv")
    write_table(shop_clicks(), tmp_path / ".mmctr/hidden.parquet")
    report = report_dataset(tmp_path, layout)
    assert (report.files["train"].files, report.files["train"].rows) == (2, 16)
    assert report.not_read == ["more/extra.csv"]
    lines = as_text(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert "  clicks (2)                              16" in [line[:44] for line in lines]
    assert "  tables that are not read: more/extra.csv" in lines


def test_text_shows_features_and_what_comes_next(tmp_path):
    report = report_dataset(write_shop(tmp_path), SHOP)
    rows = {line[:30].strip(): line[30:].split() for line in as_text(report).splitlines()}
    assert rows["device (category)"] == []
    assert rows["not in train"] == ["-", "0.0%"]
    assert rows["brand"] == ["2", "40.0%", "-"]
    assert rows["price"] == ["-", "40.0%", "1.5", "..", "3"]
    assert json.loads(as_json(report))["item_features"]["price"]["largest"] == 3
    said = next_command(report, tmp_path / "it's")
    assert said.startswith("the inputs can be used; next: mmctr run ")
    assert said.endswith("""it'"'"'s' (there is no test split: nothing is predicted)""")

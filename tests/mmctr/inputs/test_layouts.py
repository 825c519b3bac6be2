"""The rules of the inputs for layouts that are not the challenge's."""

from dataclasses import replace

import polars as pl
import pytest
from layouts import SHOP, shop_clicks, shop_items, write_shop, write_table

from mmctr.common.errors import InputError
from mmctr.inputs.features import Feature
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.rules import check_clicks, check_inputs, check_split

CSV = replace(SHOP, items="items.csv", train="train.csv", valid="valid.csv")
HELD_OUT = replace(SHOP, valid="", valid_share=0.5)
NUMBERS = {"a-1": 1, "b-2": 2, "0": 3, "007": 4, "é": 5, "gone": 6}


def refusal(base, layout, **options):
    with pytest.raises(InputError) as error:
        check_inputs(base, layout, **options)
    return str(error.value)


@pytest.mark.parametrize("layout", [SHOP, CSV, HELD_OUT, replace(SHOP, test="test.parquet")])
def test_text_ids_features_and_no_images_are_fine(tmp_path, layout):
    found = check_inputs(write_shop(tmp_path, layout), layout)
    rows = {name: 8 for name in ("train", "valid", "test") if getattr(layout, name)}
    assert found.rows == {"items": 5} | rows
    assert (bool(found.valid), bool(found.test)) == (bool(layout.valid), bool(layout.test))


def test_parts_and_globs_are_fine(tmp_path):
    layout = replace(SHOP, train="clicks", valid="v/*.csv")
    write_shop(tmp_path, replace(SHOP, train="clicks/a/part-0.parquet", valid="v/1.csv"))
    write_table(shop_clicks(), tmp_path / "clicks/b/part-1.parquet")
    assert check_inputs(tmp_path, layout).rows == {"items": 5, "train": 16, "valid": 8}


def as_numbers(clicks):
    ids = pl.element().replace_strict(NUMBERS, default=None, return_dtype=pl.Int64)
    seen, target = pl.col("seen").list.eval(ids), pl.col("sku").replace_strict(NUMBERS, return_dtype=pl.Int64)
    return clicks.with_columns(seen=seen, sku=target)


def test_integers_in_the_items_and_text_in_the_clicks_meet(tmp_path):
    """Such as an item table in parquet and click logs in CSV; the known targets are counted."""
    layout = replace(SHOP, train="train.csv", valid="valid.csv", test="test.csv")
    items = shop_items().with_columns(sku=pl.col("sku").replace_strict(NUMBERS, return_dtype=pl.Int32))
    write_table(items, tmp_path / "items.parquet")
    for name in ("train", "valid", "test"):
        write_table(as_numbers(shop_clicks()), tmp_path / f"{name}.csv")
    assert check_inputs(tmp_path, layout, min_known_targets=0.8).rows["train"] == 8
    with pytest.raises(InputError, match="it knows 7 of 8"):
        check_inputs(tmp_path, layout, min_known_targets=0.9)


def test_text_in_the_items_and_integers_in_the_clicks_are_refused(tmp_path):
    write_shop(tmp_path)
    write_table(as_numbers(shop_clicks()), tmp_path / "valid.parquet")
    message = refusal(tmp_path, SHOP)
    assert "valid.parquet: seen must be text as the ids of the items are, found list<element: int64>" in message
    assert "sku must be text as the ids of the items are, found int64; write both as text, or both as int" in message


@pytest.mark.parametrize("layout", [SHOP, replace(SHOP, padding="zero")])
def test_what_an_id_may_be(tmp_path, layout):
    write_shop(tmp_path, layout)
    for ids, message in (
        (["a", "b", "a", "c", "d"], "sku must be unique, 1 rows repeat an earlier one; the first is row 3 with 'a'"),
        (["a", "", "x", "c", "d"], "sku must not be empty, 1 rows are; the first is row 2"),
        (["a", None, "x", "c", "d"], "sku must not be null, 1 rows are; the first is row 2"),
        (
            ["a", "b\n", "x\0", "c", "d"],
            "sku must not hold line ends or zeros, 2 rows do; the first is row 2 with 'b\\n",
        ),
        (
            ["a" * 257, "é" * 129, "x", "c", "d" * 100_000],
            "sku must have at most 256 bytes, 3 rows do not; the first is",
        ),
    ):
        write_table(shop_items().with_columns(sku=pl.Series(ids)), tmp_path / "items.parquet")
        said = refusal(tmp_path, layout)
        assert message in said
        assert len(said) < 600


def test_zero_and_negative_numbers_are_ids_where_nothing_is_padding(tmp_path):
    write_shop(tmp_path)
    numbers = {name: number - 3 for name, number in NUMBERS.items()}
    map_ids = pl.element().replace_strict(numbers, default=None, return_dtype=pl.Int64)
    map_id = pl.col("sku").replace_strict(numbers, return_dtype=pl.Int64)
    write_table(shop_items().with_columns(map_id), tmp_path / "items.parquet")
    for name in ("train", "valid"):
        clicks = shop_clicks().with_columns(map_id, seen=pl.col("seen").list.eval(map_ids))
        write_table(clicks, tmp_path / f"{name}.parquet")
    assert check_inputs(tmp_path, SHOP).rows["items"] == 5
    message = refusal(tmp_path, replace(SHOP, padding="zero"))
    assert "sku must be 1 or more (0 is padding), 3 rows are not; the first is row 1 with -2" in message
    assert "seen must not hold negative ids, 5 entries are; the first is row 1 with -2" in message


FEATURES = {
    "infinite": (
        {"hour": [1.0, None, float("inf"), 2, 3, 4, 5, 6]},
        "hour must be finite, 1 rows are not; the first is row 3",
    ),
    "no number": (
        {"hour": ["1", "", "x", "2", "true", "4.5", None, "1e3"]},
        "hour must be a number, 1 rows are not; the first is row 3 with 'x'",
    ),
    "a date": ({"hour": [None] * 7 + [pl.Series([0]).cast(pl.Date)[0]]}, "hour must be a number, found date32"),
    "a list as category": ({"device": [["x"]] * 8}, "device must be an integer or a string, found list"),
    "no whole category": ({"device": [1.5, 2, 3, 4, 5, 6, 7, None]}, "device must be a whole number, 1 rows are not"),
    "a long category": ({"device": ["x" * 300] * 8}, "device must have at most 256 bytes, 8 rows do not"),
    "tags that are none": ({"campaigns": [1] * 8}, "campaigns must be a list or an array of integers or strings"),
    "fractions as tags": ({"campaigns": [[1.5]] * 8}, "campaigns must hold whole numbers, 8 entries are not"),
    "lines in tags": ({"campaigns": [["a\nb"]] * 8}, "campaigns must not hold line ends or zeros, 8 entries do"),
    "null label": ({"clicked": [True] * 7 + [None]}, "clicked must not be null, 1 rows are"),
    "a word as label": ({"clicked": ["yes"] * 4 + ["0"] * 4}, "clicked must be a whole number, 4 rows are not"),
}


@pytest.mark.parametrize("name", FEATURES)
def test_a_broken_feature_is_named(tmp_path, name):
    columns, message = FEATURES[name]
    write_shop(tmp_path)
    write_table(shop_clicks(**columns), tmp_path / "train.parquet")
    assert f"train.parquet: {message}" in refusal(tmp_path, SHOP)


def test_features_may_be_numbers_booleans_and_text_with_a_separator(tmp_path):
    write_shop(tmp_path)
    columns = {"device": [1, 2, None, 3, 4, 5, 6, 7], "campaigns": ["a b", "", None, *["a"] * 5], "hour": [True] * 8}
    for name in ("train", "valid"):
        write_table(shop_clicks(**columns), tmp_path / f"{name}.parquet")
    assert check_inputs(tmp_path, SHOP).rows["train"] == 8
    write_table(shop_clicks(**(columns | {"device": [True, False, None] + [True] * 5})), tmp_path / "valid.parquet")
    assert check_inputs(tmp_path, SHOP).rows["train"] == 8


def test_values_of_train_decide_which_kind_others_are(tmp_path):
    write_shop(tmp_path)
    write_table(shop_clicks(device=[1] * 8), tmp_path / "valid.parquet")
    assert "valid.parquet: device must be text as its values in train are, found int64" in refusal(tmp_path, SHOP)
    write_table(shop_clicks(device=[1] * 8), tmp_path / "train.parquet")
    write_table(shop_clicks(device=["1", "x", *["2"] * 6]), tmp_path / "valid.parquet")
    message = (
        "valid.parquet: device must be a whole number as its values in train are, 1 rows are not; the first is row 2"
    )
    assert message in refusal(tmp_path, SHOP)


def test_a_size_is_a_range(tmp_path):
    layout = replace(SHOP, row_features=(Feature("hour", "category", size=24),))
    write_shop(tmp_path)
    for name in ("train", "valid"):
        write_table(shop_clicks(hour=[0, 23, 3, 4, 5, 6, 7, 8]), tmp_path / f"{name}.parquet")
    assert check_inputs(tmp_path, layout).rows["train"] == 8
    write_table(shop_clicks(hour=[0, 24, None, -1, 5, 6, 7, 8]), tmp_path / "valid.parquet")
    message = refusal(tmp_path, layout)
    assert "hour must be in 0..23, 2 rows are not; the first is row 2 with 24" in message
    assert "hour must not be null, 1 rows are; the first is row 3" in message


def test_users_that_are_held_out_need_ids_and_both_classes(tmp_path):
    write_shop(tmp_path, HELD_OUT)
    write_table(shop_clicks(shopper=["u1", None, "", *["u2"] * 5]), tmp_path / "train.parquet")
    message = refusal(tmp_path, HELD_OUT)
    assert "train.parquet: shopper must not be null, 1 rows are; the first is row 2" in message
    assert "train.parquet: shopper must not be empty, 1 rows are; the first is row 3" in message
    write_table(shop_clicks(shopper=["u1"] * 8), tmp_path / "train.parquet")
    message = refusal(tmp_path, HELD_OUT)
    assert "must have rows of both classes, they have 0 rows of 0; change `valid_share`" in message
    users = shop_clicks()["shopper"]
    held = kept_rows(users.to_arrow(), HELD_OUT.held_out("valid"))
    assert 0 < held.sum() < 8
    write_table(shop_clicks(clicked=[bool(one) for one in held]), tmp_path / "train.parquet")
    message = refusal(tmp_path, HELD_OUT)
    assert "the users that are trained on must have rows of both classes" in message
    assert "the users that are held out must have rows of both classes" in message
    write_table(shop_clicks().drop("shopper"), tmp_path / "train.parquet")
    assert "column shopper is missing" in refusal(tmp_path, HELD_OUT)
    assert check_inputs(write_shop(tmp_path / "b"), SHOP).rows["train"] == 8
    write_table(shop_clicks().drop("shopper"), tmp_path / "b/train.parquet")
    assert check_inputs(tmp_path / "b", SHOP).rows["train"] == 8


def test_a_row_of_a_part_is_named_with_its_part(tmp_path):
    write_shop(tmp_path, replace(SHOP, train="clicks/part-0.parquet"))
    layout = replace(SHOP, train="clicks")
    write_table(shop_clicks(clicked=[1, 0, 1, 0, 1, 0, 3, 2]), tmp_path / "clicks/part-1.parquet")
    message = "clicks: clicked must be 0 or 1, 2 rows are not; the first is row 7 of clicks/part-1.parquet with 3"
    assert message in refusal(tmp_path, layout)
    write_table(shop_clicks().drop("seen"), tmp_path / "clicks/part-1.parquet")
    assert "clicks/part-1.parquet: column seen is missing; it has shopper, sku" in refusal(tmp_path, layout)
    (tmp_path / "clicks/part-1.parquet").write_bytes(b"nothing like it")
    assert "clicks/part-1.parquet: not a readable parquet file" in refusal(tmp_path, layout)


def test_row_ids_may_be_text_and_must_be_unique(tmp_path):
    layout = replace(SHOP, test="test.parquet", row_id="request")
    write_shop(tmp_path, layout)
    ids = [f"r-{row}" for row in range(8)]
    write_table(shop_clicks(request=ids).drop("clicked"), tmp_path / "test.parquet")
    assert check_inputs(tmp_path, layout).rows["test"] == 8
    assert check_split(tmp_path, layout, "test", text_ids=True) == [tmp_path / "test.parquet"]
    write_table(shop_clicks(request=[*ids[:7], "r-1"]), tmp_path / "test.parquet")
    assert "request must be unique, 1 rows repeat an earlier one; the first is row 8 with 'r-1'" in refusal(
        tmp_path, layout
    )
    with pytest.raises(InputError, match=r"the split test in .* cannot be used; .*request must be unique"):
        check_split(tmp_path, layout, "test")


def test_a_split_that_the_layout_has_not_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"data\.test names none"):
        check_split(write_shop(tmp_path), SHOP, "test")


def test_any_click_log_can_be_checked(tmp_path):
    write_table(shop_clicks(), tmp_path / "clicks.csv")
    assert check_clicks(tmp_path / "clicks.csv", SHOP, with_row_id=False, text_ids=True) == 8
    assert check_clicks(tmp_path / "clicks.csv", SHOP, with_row_id=False, with_label=True) == 8
    with pytest.raises(InputError, match=r"these clicks cannot be scored; .*sku must be a whole number as the ids"):
        check_clicks(tmp_path / "clicks.csv", SHOP, with_row_id=False, text_ids=False)

"""What files and columns are taken for: by their names and by what is in them, and what is not certain is marked."""

import os
import tomllib

import polars as pl
import pytest

from mmctr.common.errors import InputError
from mmctr.inputs.discover.draft import draft, to_check
from mmctr.inputs.discover.findings import look_at

ITEMS = pl.DataFrame({"item_id": [10, 20, 30, 40], "title": ["a red car", "a blue car", "a cat", "a dog"]})
CLICKS = pl.DataFrame(
    {
        "user_id": [1, 1, 2, 3],
        "history": [[10, 20], [10], [30, 40], [20]],
        "item_id": [30, 40, 10, 20],
        "label": [1, 0, 1, 0],
    }
)


def write(folder, **tables):
    """Files by their name; `__` stands for a folder."""
    for name, frame in tables.items():
        path = folder / f"{name.replace('__', '/')}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path)
    return folder


def chosen(folder):
    """Value and certainty of each setting."""
    return {choice.key: (choice.value, choice.is_certain) for choice in look_at(folder).choices}


def test_names_and_contents_that_agree_are_certain(tmp_path):
    write(tmp_path, items=ITEMS, train=CLICKS, valid=CLICKS, test=CLICKS.drop("label").with_row_index("ID"))
    found = chosen(tmp_path)
    assert found == {
        "items": ("items.parquet", True),
        "images": ((), True),
        "train": ("train.parquet", True),
        "valid": ("valid.parquet", True),
        "test": ("test.parquet", True),
        "item_id": ("item_id", True),
        "title": ("title", True),
        "image": ("", True),
        "history": ("history", True),
        "target": ("item_id", True),
        "label": ("label", True),
        "row_id": ("ID", True),
        "user": ("user_id", True),
        "time": ("", True),
        "padding": ("zero", True),
    }


def test_names_that_say_nothing_leave_content_and_it_is_marked(tmp_path):
    strange = {"user_id": "a", "history": "b", "item_id": "c", "label": "d"}
    clicks = CLICKS.rename(strange)
    many = pl.concat([clicks] * 500).with_columns(a=pl.int_range(2000) // 2, ID=pl.int_range(2000))
    write(tmp_path, x=ITEMS.rename({"item_id": "e", "title": "f"}), y=many, z=pl.concat([clicks] * 2))
    found = chosen(tmp_path)
    assert found["train"] == ("y.parquet", True)
    assert found["valid"] == ("z.parquet", False)
    assert found["history"] == ("b", False)
    assert found["target"][0] == "c"
    assert not found["target"][1]
    assert found["label"] == ("d", True), "there is no other column of 0 and 1"
    assert found["items"] == ("x.parquet", True), "all of the clicked items are in it"
    assert found["title"] == ("f", False)
    text = draft(look_at(tmp_path))
    assert text.count("\n# CHECK ") == len(to_check(look_at(tmp_path))[0]) == 4
    assert tomllib.loads(text)["data"]["history"] == "b"


def test_what_cannot_be_decided_is_left_out_with_its_choices(tmp_path):
    write(tmp_path, items=ITEMS, clicks=CLICKS.rename({"user_id": "who"}))
    findings = look_at(tmp_path)
    assert to_check(findings)[1] == ["user"]
    text = draft(findings)
    assert "# UNDECIDED user: no column is called as users are" in text
    assert '# user = "who"  # 3 different values' in text
    assert "user" not in tomllib.loads(text)["data"]


def test_of_two_columns_of_0_and_1_the_name_decides_and_then_the_test_split(tmp_path):
    two = CLICKS.with_columns(mobile=pl.Series([0, 1, 1, 0]))
    write(tmp_path, items=ITEMS, train=two, valid=two)
    assert chosen(tmp_path)["label"] == ("label", True)
    without = two.rename({"label": "zz"})
    write(tmp_path, train=without, valid=without, test=without.drop("zz"))
    assert chosen(tmp_path)["label"] == ("zz", True)
    (tmp_path / "test.parquet").unlink()
    assert not chosen(tmp_path)["label"][1]
    assert '# label = "mobile"  # 0 and 1 as well' in draft(look_at(tmp_path))


def test_of_tables_with_an_id_the_one_with_the_clicked_items_is_the_item_table(tmp_path):
    others = pl.DataFrame({"item_id": [1, 2, 3, 4], "title": ["p q", "r s", "t u", "v w"], "more": [1, 2, 3, 4]})
    write(tmp_path, catalog=ITEMS, other=others, train=CLICKS)
    assert chosen(tmp_path)["items"] == ("catalog.parquet", True)
    text = draft(look_at(tmp_path))
    assert "it has 100 % of the clicked items" in text
    assert "# other.parquet has no part in this" in text


def test_an_item_table_with_few_of_the_clicked_items_is_marked(tmp_path):
    write(tmp_path, items=ITEMS.with_columns(item_id=pl.Series([10, 50, 60, 70])), train=CLICKS)
    assert not chosen(tmp_path)["items"][1]
    assert "it has 25 % of the clicked items" in draft(look_at(tmp_path))


def test_tags_of_an_item_are_no_history(tmp_path):
    tagged = ITEMS.with_columns(item_tags=pl.Series([[10], [20, 30], [], [40]]), new=pl.Series([0, 1, 0, 1]))
    write(tmp_path, items=tagged, train=CLICKS)
    findings = look_at(tmp_path)
    assert findings.choice("items").value == "items.parquet"
    assert [(one.column, one.kind) for one in findings.item_features] == [("item_tags", "tags"), ("new", "category")]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["red", "blue", "red", "red"], "category"),
        ([0.5, 1.5, 2.5, 2.5], "number"),
        ([[1], [2, 3], [], [1]], "tags"),
        ([True, False, True, True], "category"),
        ([3, 1, 3, 2], "category"),
    ],
)
def test_the_kind_of_a_feature_comes_from_its_type(tmp_path, values, kind):
    write(tmp_path, items=ITEMS, train=CLICKS.with_columns(extra=pl.Series(values)))
    (found,) = look_at(tmp_path).row_features
    assert (found.column, found.kind) == ("extra", kind)
    assert f'# extra = {{ kind = "{kind}" }}  # ' in draft(look_at(tmp_path))


def test_the_kind_of_a_feature_comes_from_its_number_of_values_too(tmp_path):
    many = pl.concat([CLICKS] * 50).with_columns(
        amount=pl.Series(range(200)), code=pl.Series([f"x{i}" for i in range(200)]), country=pl.Series(["a", "b"] * 100)
    )
    write(tmp_path, items=ITEMS, train=many)
    found = {one.column: one.kind for one in look_at(tmp_path).row_features}
    assert found == {"amount": "number", "code": None, "country": "category"}
    assert "# code is none: 200 different values in 200 rows, hardly one twice" in draft(look_at(tmp_path))


def test_a_column_that_a_split_lacks_is_no_feature(tmp_path):
    more = CLICKS.with_columns(extra=pl.Series(["a", "b", "a", "a"]))
    write(tmp_path, items=ITEMS, train=more, valid=CLICKS)
    assert "# extra is none: valid.parquet does not have it" in draft(look_at(tmp_path))


def test_parts_are_one_table_and_splits_in_one_folder_are_not(tmp_path):
    write(tmp_path, items__items=ITEMS, clicks__train=CLICKS, clicks__valid=CLICKS)
    write(tmp_path, **{f"events__day={day}__{name}": ITEMS for day in (1, 2) for name in ("data_0", "data_1")})
    write(tmp_path, parts__b_0=CLICKS, parts__b_1=CLICKS, parts__a_0=ITEMS)
    from mmctr.inputs.discover.find import find

    assert [(table.name, len(table.files)) for table in find(tmp_path).tables] == [
        ("clicks/train.parquet", 1),
        ("clicks/valid.parquet", 1),
        ("events", 4),
        ("items/items.parquet", 1),
        ("parts/a_0.parquet", 1),
        ("parts/b_*.parquet", 2),
    ]


def test_vectors_are_proposed_and_chosen_where_there_is_nothing_else(tmp_path):
    vectors = pl.Series([[float(i)] * 8 for i in range(4)], dtype=pl.Array(pl.Float32, 8))
    wide = pl.Series([[0.5 * i] * 12 for i in range(4)], dtype=pl.List(pl.Float64))
    write(tmp_path, items=ITEMS.with_columns(txt=vectors, img=wide), train=CLICKS)
    text = draft(look_at(tmp_path))
    assert "embed" not in tomllib.loads(text)
    assert "#   columns" not in text
    assert '# columns = ["txt", "img"]' in text
    write(tmp_path, items=ITEMS.drop("title").with_columns(txt=vectors, img=wide))
    assert tomllib.loads(draft(look_at(tmp_path)))["embed"] == {
        "source": "columns",
        "columns": ["txt", "img"],
        "fuse": "concat",
    }


def test_a_folder_without_clicks_or_content_is_said(tmp_path):
    write(tmp_path, items=ITEMS.drop("title"), train=CLICKS)
    assert to_check(look_at(tmp_path)) == (["embed.source"], [])
    assert tomllib.loads(draft(look_at(tmp_path)))["embed"] == {"source": "none"}
    with pytest.raises(InputError, match="looks at a folder"):
        look_at(tmp_path / "none")
    (tmp_path / "train.parquet").unlink()
    assert not look_at(tmp_path).has_clicks


def test_a_raw_log_is_known_by_its_columns(tmp_path):
    events = pl.DataFrame({"user_id": [1, 1, 2], "movie_id": [10, 20, 10], "rating": [5, 1, 4], "timestamp": [7, 8, 9]})
    write(tmp_path, items=ITEMS, events=events)
    findings = look_at(tmp_path)
    (found,) = findings.events
    assert (found.user, found.item, found.time, found.label) == ("user_id", "movie_id", "timestamp", "rating")
    assert found.is_rating
    assert found.time_unit == "s"
    write(tmp_path, events=events.with_columns(timestamp=pl.col("timestamp") + 1_700_000_000_000))
    assert look_at(tmp_path).events[0].time_unit == "ms"
    assert findings.items.item_id.name == "item_id"


def test_hostile_names_and_files_are_shown_harmlessly_and_stay_valid_toml(tmp_path):
    name = 'a"b\\c\n[data]\x1b[31m\x7f\u202e'
    write(tmp_path, items=ITEMS, train=CLICKS.with_columns(pl.Series(name, [0.5, 1, 2, 3])))
    (tmp_path / "broken\n# x.parquet").write_bytes(b"PAR1 not really PAR1")
    (tmp_path / os.fsdecode(b"no-utf-8-\xff.parquet")).touch()
    text = draft(look_at(tmp_path))
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert tomllib.loads(text)["data"]["items"] == "items.parquet"
    assert "cannot be read" in text
    uncommented = text.replace("# " + '"a', '"a')
    assert name in tomllib.loads(uncommented)["data"]["row_features"]


def test_columns_that_no_one_can_use_are_passed_over(tmp_path):
    odd = CLICKS.with_columns(
        pl.Series("structs", [{"a": 1}] * 4),
        pl.Series("long" * 200, [1, 2, 3, 4]),
        pl.Series("nothing", [None] * 4),
        pl.Series("bytes", [b"\xff", b"a", b"b", b"c"]),
        pl.Series("lists", [[[1]], [[2]], [], None]),
    )
    write(tmp_path, items=ITEMS, train=odd)
    assert chosen(tmp_path)["train"] == ("train.parquet", True)
    assert [one.kind for one in look_at(tmp_path).row_features if one.column in ("structs", "bytes", "lists")] == []


def test_no_more_of_a_table_is_read_than_some_thousand_rows(tmp_path, monkeypatch):
    from mmctr.inputs.discover import sample

    write(tmp_path, items=ITEMS, train=pl.concat([CLICKS] * 50_000))
    read = []
    chunks = sample.read_chunks

    def counted(*arguments, **options):
        for chunk in chunks(*arguments, **options):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(sample, "read_chunks", counted)
    (log,) = [one for one in look_at(tmp_path).choices if one.key == "train"]
    assert log.why.startswith("4,096 rows looked at")
    assert sum(read) < 100_000, "of 200,000 a chunk is read"


def test_0_among_the_items_is_no_padding(tmp_path):
    from_zero = CLICKS.with_columns(item_id=pl.Series([0, 1, 2, 3]), history=pl.Series([[0], [1, 0], [2], [3]]))
    write(tmp_path, items=ITEMS.with_columns(item_id=pl.Series([0, 1, 2, 3])), train=from_zero)
    assert chosen(tmp_path)["padding"] == ("none", False)


def test_images_are_found_by_their_names_or_by_a_column(tmp_path):
    write(tmp_path, items=ITEMS, train=CLICKS)
    (tmp_path / "pics/deep").mkdir(parents=True)
    for item_id in ITEMS["item_id"]:
        (tmp_path / f"pics/deep/{item_id}.webp").touch()
    (tmp_path / "logos").mkdir()
    (tmp_path / "logos/logo.png").touch()
    found = chosen(tmp_path)
    assert (found["images"], found["image"]) == ((("pics/deep",), True), ("", True))
    for item_id in ITEMS["item_id"]:
        (tmp_path / f"pics/deep/{item_id}.webp").rename(tmp_path / f"pics/deep/p{item_id}.webp")
    assert chosen(tmp_path)["images"] == (("pics/deep",), False)
    write(tmp_path, items=ITEMS.with_columns(cover=pl.format("deep/p{}.webp", "item_id")))
    found = chosen(tmp_path)
    assert (found["images"], found["image"]) == ((("pics/deep",), True), ("cover", True))
    (tmp_path / "images.zip").touch()
    assert '# images = ["images.zip"]' in draft(look_at(tmp_path))

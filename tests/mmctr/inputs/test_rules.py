import polars as pl
import pytest

from mmctr.common.errors import InputError
from mmctr.images.find import find_images
from mmctr.inputs.layout import MICROLENS_1M
from mmctr.inputs.rules import check_inputs

HISTORY = pl.Array(pl.Int64, 4)


def items():
    return pl.DataFrame({"item_id": [1, 2, 3, 4], "item_title": ["a", None, "", "d"]})


def clicks(**columns):
    frame = {
        "user_id": [1, 1, 2, 2],
        "item_seq": pl.Series([[0, 0, 1, 2], [0, 0, 0, 3], [1, 2, 3, 4], [0, 1, 9, 2]], dtype=HISTORY),
        "item_id": [3, 4, 1, 2],
        "likes_level": [1, 2, 3, 10],
        "views_level": [0, 2, 3, 19],
        "label": [1, 0, 0, 1],
    }
    return pl.DataFrame({**frame, **columns})


def test_split():
    return clicks().drop("label").with_columns(ID=pl.Series([0, 1, 2, 3]))


test_split.__test__ = False


@pytest.fixture
def base(tmp_path):
    (tmp_path / "MicroLens_1M_x1").mkdir()
    (tmp_path / "item_images_2.rar").write_bytes(b"Rar!")
    put(tmp_path, "items", items())
    put(tmp_path, "train", clicks())
    put(tmp_path, "valid", clicks())
    put(tmp_path, "test", test_split())
    return tmp_path


def path_of(base, role):
    return base / "item_feature.parquet" if role == "items" else base / f"MicroLens_1M_x1/{role}.parquet"


def put(base, role, frame):
    frame.write_parquet(path_of(base, role))


def problems(base, **options):
    with pytest.raises(InputError) as error:
        check_inputs(base, **options)
    return str(error.value)


def test_good_inputs_give_their_rows(base):
    found = check_inputs(base)
    assert found.rows == {"items": 4, "train": 4, "valid": 4, "test": 4}
    assert [found.items, found.valid] == [[path_of(base, "items")], [path_of(base, "valid")]]


def test_the_organisers_name_of_the_archive_and_the_absence_of_user_id_are_fine(base):
    (base / "item_images_2.rar").rename(base / "item_images.rar")
    put(base, "train", clicks().drop("user_id").select(reversed(clicks().drop("user_id").columns)))
    assert check_inputs(base).rows["train"] == 4
    assert find_images(base, MICROLENS_1M.images) == (base / "item_images.rar", None)


@pytest.mark.parametrize(
    "dtype", [pl.List(pl.Int64), pl.List(pl.UInt32), pl.Array(pl.Int32, 4), pl.Array(pl.String, 4)], ids=str
)
def test_lists_and_arrays_of_any_integer_are_fine(base, dtype):
    put(base, "train", clicks().with_columns(pl.col("item_seq").cast(dtype)))
    assert check_inputs(base).rows["train"] == 4


@pytest.mark.parametrize("role", ["items", "train", "valid", "test"])
def test_a_missing_or_unreadable_file_is_named(base, role):
    path_of(base, role).write_bytes(b"ID,label\n1,0\n")
    assert f"{path_of(base, role).name}: not a readable parquet file" in problems(base)
    path_of(base, role).write_bytes(b"")
    assert f"{path_of(base, role).name}: not a readable parquet file" in problems(base)
    path_of(base, role).unlink()
    assert f"{path_of(base, role).name} is missing" in problems(base)


BAD_TABLES = [
    ("items", lambda f: f.drop("item_title"), "column item_title is missing; it has item_id"),
    ("items", lambda f: f.with_columns(item_title=pl.lit(3)), "item_title must be a string, found int32"),
    ("items", lambda f: f.with_columns(item_id=pl.Series([1, 2, 2, 2])), "item_id must be unique, 2 rows"),
    (
        "items",
        lambda f: f.with_columns(item_id=pl.Series([0, -2, 1, 2])),
        "item_id must be 1 or more (0 is padding), 2",
    ),
    (
        "items",
        lambda f: f.with_columns(item_id=pl.Series(["a", "b", "", "d"])),
        "item_id must not be empty, 1 rows are; the first is row 3",
    ),
    ("items", lambda f: f.with_columns(item_id=pl.lit(True)), "item_id must be an integer or a string, found bool"),
    ("items", lambda f: f.clear(), "it has no rows"),
    ("train", lambda f: f.drop("item_seq"), "column item_seq is missing"),
    ("train", lambda f: f.with_columns(item_seq=pl.lit(12)), "item_seq must be a list or an array of integers"),
    (
        "train",
        lambda f: f.with_columns(pl.col("item_seq").cast(pl.Array(pl.Boolean, 4))),
        "item_seq must be a list or an array of integers or strings, found list<element: bool",
    ),
    (
        "train",
        lambda f: f.with_columns(item_seq=pl.Series([[0, -1], [2, 1], [-7, 1], [1, 2]])),
        "item_seq must not hold negative ids, 2 entries are",
    ),
    ("train", lambda f: f.with_columns(label=pl.Series([0, 1, 2, -1])), "label must be 0 or 1, 2 rows are not"),
    ("train", lambda f: f.with_columns(label=pl.Series([0, 1, None, 1])), "label must not be null, 1 rows are"),
    ("train", lambda f: f.with_columns(label=pl.Series([0.0, 1, 0.5, 1])), "label must be a whole number, 1 rows are"),
    ("train", lambda f: f.with_columns(label=pl.lit(0)), "label must have both classes"),
    ("valid", lambda f: f.with_columns(label=pl.lit(1)), "label must have both classes"),
    ("train", lambda f: f.with_columns(likes_level=pl.Series([1, 2, 20, -1])), "likes_level must be in 0..19, 2 rows"),
    ("test", lambda f: f.with_columns(views_level=pl.Series([1, 2, 20, 1])), "views_level must be in 0..19, 1 rows"),
    ("test", lambda f: f.drop("ID"), "column ID is missing"),
    ("test", lambda f: f.with_columns(ID=pl.Series([1, 1, 2, 3])), "ID must be unique, 1 rows repeat"),
    (
        "test",
        lambda f: f.with_columns(item_id=pl.Series([2**63, 1, 2, 3], dtype=pl.UInt64)),
        "item_id must be below 2^63, 1 rows",
    ),
    ("valid", lambda f: f.clear(), "it has no rows"),
]


@pytest.mark.parametrize(("role", "change", "message"), BAD_TABLES, ids=[f"{r}-{m[:30]}" for r, _, m in BAD_TABLES])
def test_each_broken_rule_is_named_with_its_file(base, role, change, message):
    good = {"items": items, "test": test_split}.get(role, clicks)()
    put(base, role, change(good))
    assert f"{path_of(base, role).relative_to(base)}: {message}" in problems(base)


def test_all_problems_stand_in_one_message(base):
    put(base, "train", clicks(label=[0, 0, 0, 0], likes_level=[99, 1, 1, 1]))
    put(base, "test", test_split().drop("item_id"))
    text = problems(base, min_items=128, problems=["item_images_2.rar is missing"])
    for part in ("item_images_2.rar", "both classes", "likes_level", "column item_id", "at least 128 items"):
        assert part in text
    assert "fix these and run again" in text


def test_a_base_path_that_is_no_folder_is_refused(tmp_path):
    assert "must be a folder" in problems(tmp_path / "absent")


def test_a_truncated_file_is_refused(base):
    path = path_of(base, "train")
    path.write_bytes(path.read_bytes()[:200])
    assert "not a readable parquet file" in problems(base)


def test_test_rows_about_other_items_are_refused_before_anything_is_trained(base):
    known = check_inputs(base, min_known_targets=0.5).rows["test"]
    frame = pl.read_parquet(path_of(base, "test"))
    put(base, "test", frame.with_columns(pl.col("item_id") + 10**9))
    assert check_inputs(base).rows["test"] == known
    with pytest.raises(InputError, match=r"must know at least 50% of the target items, it knows 0 of .*min_known"):
        check_inputs(base, min_known_targets=0.5)

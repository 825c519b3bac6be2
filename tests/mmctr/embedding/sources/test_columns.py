"""Vectors that an item table has: read, normalised, fused; of what is no vector the first row is named."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmctr.common.errors import InputError
from mmctr.embedding.sources.columns import GivenCounts, read_item_vectors
from mmctr.embedding.vectors import ItemVectors, Part, read_vectors, write_vectors

TEXT = [[3.0, 4.0], [0.0, 0.0], None, [0.0, -2.0]]
IMAGE = [[1.0, 0.0, 0.0], [0.0, 5.0, 0.0], None, None]
IDS = [7, 3, 9, 5]


def table(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table({"item_id": IDS, "text": pa.array(TEXT), "image": pa.array(IMAGE), **columns}), path)
    return path


def read(path: Path, *columns: str, fuse: str = "concat", item_id: str = "item_id") -> tuple[ItemVectors, GivenCounts]:
    return read_item_vectors(path, item_id=item_id, columns=columns, fuse=fuse)


def test_vectors_are_normalised_and_lie_side_by_side_in_the_order_of_the_ids(tmp_path: Path) -> None:
    made, counts = read(table(tmp_path / "items.parquet"), "text", "image")
    assert made.item_ids.to_list() == [3, 5, 7, 9]
    np.testing.assert_allclose(
        made.vectors, [[0, 0, 0, 1, 0], [0, -1, 0, 0, 0], [0.6, 0.8, 1, 0, 0], [0, 0, 0, 0, 0]], atol=1e-7
    )
    assert made.vectors.dtype == np.float32
    assert made.parts == (Part("text", 2), Part("image", 3))
    assert counts == GivenCounts(items=4, found={"text": 2, "image": 2}, none=1)
    assert str(made.space) == "the columns text, image, fused by concat"


def test_the_mean_is_of_what_an_item_has(tmp_path: Path) -> None:
    other = pa.array([[0.0, 2.0], [1.0, 0.0], None, None])
    made, _ = read(table(tmp_path / "items.parquet", other=other), "text", "other", fuse="mean")
    np.testing.assert_allclose(made.vectors, [[1, 0], [0, -1], [0.3, 0.9], [0, 0]], atol=1e-7)
    assert made.parts == (Part("text and other", 2),)


def test_widths_that_have_no_mean_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one width; text has 2, image has 3 numbers; .* `fuse = concat`"):
        read(table(tmp_path / "items.parquet"), "text", "image", fuse="mean")


KINDS = {
    "float16 list": pa.list_(pa.float16()),
    "float32 array": pa.list_(pa.float32(), 2),
    "float64 large list": pa.large_list(pa.float64()),
    "int8 list": pa.list_(pa.int8()),
    "uint16 array": pa.list_(pa.uint16(), 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_lists_of_every_kind(tmp_path: Path, kind: str) -> None:
    values = [[3, 4], [0, 0], None, [0, 2]]
    if "float16" in kind:
        values = [None if row is None else [np.float16(value) for value in row] for row in values]
    column = pa.array(values, KINDS[kind])
    made, counts = read(table(tmp_path / "items.parquet", given=column), "given")
    np.testing.assert_allclose(made.vectors, [[0, 0], [0, 1], [0.6, 0.8], [0, 0]], atol=1e-3)
    assert counts.found == {"given": 2}


def test_lists_of_polars_and_part_files_with_text_ids(tmp_path: Path) -> None:
    for part, ids in enumerate((["b", "a"], ["ü", "c"])):
        vectors = pl.Series("v", [[1.0, 0.0], [0.0, 2.0]], dtype=pl.Array(pl.Float64, 2))
        pl.DataFrame([pl.Series("sku", ids), vectors]).write_parquet(tmp_path / f"{part}.parquet")
    made, _ = read_item_vectors(sorted(tmp_path.glob("*.parquet")), item_id="sku", columns=["v"])
    assert made.item_ids.to_list() == ["a", "b", "c", "ü"]
    np.testing.assert_array_equal(made.vectors, [[0, 1], [1, 0], [0, 1], [1, 0]])


def test_many_rows_in_many_chunks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(5_000, 300)).astype(np.float32)
    numbers[::7] = 0
    ids = rng.permutation(5_000)
    column = pl.Series("v", numbers, dtype=pl.Array(pl.Float32, 300))
    pl.DataFrame([pl.Series("item_id", ids), column]).write_parquet(tmp_path / "items.parquet")
    made, counts = read(tmp_path / "items.parquet", "v")
    expected = numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(made.vectors[ids], expected, atol=1e-6)
    assert counts.none == len(numbers[::7])


def test_large_and_small_numbers_have_a_direction_too(tmp_path: Path) -> None:
    column = pa.array([[1e30, 1e30], [1e-30, 1e-30], None, None])
    made, _ = read(table(tmp_path / "items.parquet", given=column), "given")
    np.testing.assert_allclose(made.vectors[[0, 2]], 2**-0.5, atol=1e-6)


NO_VECTORS = {
    "a NaN": ([[1.0, 2.0], [1.0, float("nan")], None, None], r"has nan in row 2, item 3; repair"),
    "an infinity": ([[1.0, 2.0], None, [float("-inf"), 0.0], None], r"has -inf in row 3, item 9"),
    "what float32 cannot hold": ([[1.0, 2.0], None, None, [0.0, 1e300]], r"has 1e\+300 in row 4, item 5"),
    "another length": ([[1.0, 2.0], None, [1.0], None], r"has 1 numbers where others have 2 in row 3, item 9"),
    "a null inside": ([[1.0, 2.0], [None, 1.0], None, None], r"has a null among numbers in row 2, item 3"),
    "numbers": ([1.0, 2.0, 3.0, 4.0], r"must hold lists of numbers, and given holds double; store it in a parquet"),
    "texts": (["[1, 2]"] * 4, r"given holds (large_)?string; store it"),
    "lists of texts": ([["a"], None, None, None], r"given holds list<"),
    "lists of lists": ([[[1.0]], None, None, None], r"given holds list<"),
    "nothing": (pa.array([None] * 4, pa.list_(pa.float32())), r"must have some, .* and given has none; name others"),
    "a very long one": ([[0.5] * 65_537, None, None, None], r"at most 65,536 numbers, and given has vectors of 65,537"),
    "zeros": ([[0.0, 0.0]] * 4, None),
}


@pytest.mark.parametrize("name", NO_VECTORS)
def test_what_is_no_vector_is_named_with_its_row(tmp_path: Path, name: str) -> None:
    values, words = NO_VECTORS[name]
    path = table(tmp_path / "items.parquet", given=values if isinstance(values, pa.Array) else pa.array(values))
    if words is None:  # PCA refuses them later, by their number
        assert read(path, "given")[1].none == 4
        return
    with pytest.raises(InputError, match=words):
        read(path, "given")


@pytest.mark.parametrize("name", ["absent", "text\x1b[31m", "x" * 100_000])
def test_a_column_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        InputError, match=r"`columns` must name columns of the item table; .* it has item_id, text"
    ) as error:
        read(table(tmp_path / "items.parquet"), name)
    assert len(str(error.value)) < 600
    assert "\x1b" not in str(error.value)


def test_csv_has_no_vectors(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item_id,given\n1,[1;2]\n")
    with pytest.raises(InputError, match=r"must hold lists of numbers.*parquet"):
        read(tmp_path / "items.csv", "given")


@pytest.mark.parametrize("ids", [pl.Series("item_id", [1, 5]), pl.Series("item_id", ["a", "ü"])])
def test_vectors_are_kept_with_what_they_are(tmp_path: Path, ids: pl.Series) -> None:
    made, _ = read(table(tmp_path / "items.parquet"), "text", "image")
    made = ItemVectors(ids, made.vectors[:2], made.parts, made.space)
    write_vectors(made, tmp_path / "embeddings.parquet")
    kept = read_vectors(tmp_path / "embeddings.parquet")
    np.testing.assert_array_equal(kept.vectors, made.vectors)
    assert (kept.item_ids.to_list(), kept.parts, kept.space) == (ids.to_list(), made.parts, made.space)
    frame = pl.read_parquet(tmp_path / "embeddings.parquet")
    assert frame.schema == {"item_id": ids.dtype, "embedding": pl.Array(pl.Float32, 5)}
    write_vectors(made, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "embeddings.parquet").read_bytes()

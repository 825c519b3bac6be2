"""Which image each item has, by its id or by a column that names the file."""

import time

import polars as pl
import pytest

from mmctr.images.match import match_images
from mmctr.images.naming import image_path


def manifest(*keys: str) -> pl.DataFrame:
    return pl.DataFrame({"image": keys}, schema={"image": pl.String})


def wanted(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


KEYS = ("a/b/c.jpg", "a/c.jpg", "d.jpg", "x/d.jpg", "e/f/g.png", "é ü.jpg", "p/q.jpg", "r/q.jpg")


@pytest.mark.parametrize(
    ("value", "row"),
    [
        ("a/b/c.jpg", 0),  # exact
        ("d.jpg", 2),  # exact goes before the end of another
        ("./a//b/./c.jpg", 0),
        ("a\\c.jpg", 1),
        ("/a/c.jpg", 1),
        ("b/c.jpg", 0),  # the only one that ends so
        ("g.png", 4),
        ("f/g.png", 4),
        ("é ü.jpg", 5),
        ("c.jpg", None),  # two end so
        ("q.jpg", None),
        ("z.jpg", None),
        ("y/d.jpg", None),  # longer than what is there
        (".jpg", None),  # not behind a separator
        ("G.PNG", None),
        ("..", None),
        ("", None),
        (None, None),
    ],
)
def test_paths(value, row):
    found = match_images(wanted(value), manifest(*KEYS), names="path")
    assert found.rows.to_list() == [row]
    assert found.rows.dtype == pl.Int64
    assert found.unused == len(KEYS) - (row is not None)
    ambiguous = value in ("c.jpg", "q.jpg")
    assert (found.ambiguous.count, found.ambiguous.first) == ((1, (value,)) if ambiguous else (0, ()))
    assert found.missing.count == (row is None and not ambiguous and bool(value))


def test_several_items_may_share_an_image():
    found = match_images(wanted("d.jpg", None, "./d.jpg", "gone.jpg", "gone.jpg"), manifest(*KEYS), names="path")
    assert found.rows.to_list() == [2, None, 2, None, None]
    assert (found.missing.count, found.missing.first) == (1, ("gone.jpg",))


@pytest.mark.parametrize("names", ["integer", "text"])
def test_ids_are_exact(names):
    found = match_images(wanted("7", "8", "07", "c.jpg"), manifest("8", "a/7", "7", "a/c.jpg"), names=names)
    assert found.rows.to_list() == [2, 0, None, None]
    assert found.missing.count == 2
    assert found.unused == 2


def test_hostile_values_are_shown_short_and_take_no_time():
    started = time.perf_counter()
    values = ["x" * 100_000, "a\x00\n\x1b[2J", "/" * 100_000, "a/" * 50_000, "./" * 50_000 + "d.jpg"]
    keys = ["a/" * 16_000 + f"{number}.jpg" for number in range(50)]
    found = match_images(wanted(*values), manifest("d.jpg", *keys), names="path")
    assert found.rows.to_list() == [None, None, None, None, 0]
    assert all(len(name) < 260 and name.isprintable() for name in found.missing.first)
    many = match_images(wanted(*map(str, range(150))), manifest(), names="path")
    assert (many.missing.count, len(many.missing.first)) == (150, 100)
    assert time.perf_counter() - started < 5


def test_ninety_thousand_items():
    keys = [f"item_images/{number % 100}/{number}.jpg" for number in range(91_717)]
    started = time.perf_counter()
    found = match_images(wanted(*(f"{number}.jpg" for number in range(91_717))), manifest(*keys), names="path")
    assert found.rows.to_list() == list(range(91_717))
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("name", "key"),
    [("a.jpg", "a.jpg"), ("./a.jpg", "a.jpg"), ("a\\b.jpg", "a/b.jpg"), ("//a/./b//c", "a/b/c"), ("../a", "../a")],
)
def test_a_path_as_a_key(name, key):
    assert image_path(name) == key

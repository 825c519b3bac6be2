"""`mmctr item-info`: tags of the item table, embeddings of the last run, at the organisers' place."""

import numpy as np
import polars as pl
import pytest

from flows.cli.main import main
from mmctr.embedding.pca import write_item_embeddings

PLACE = "MicroLens_1M_x1/item_info.parquet"
VECTORS = np.random.default_rng(0).normal(size=(4, 128)).astype(np.float32)
TAGS = [[5], [], [1, 2, 3, 4, 5, 6], None]


@pytest.fixture
def base(tmp_path):
    """Four items, whose embeddings a run wrote in another order."""
    ids = pl.Series("item_id", [1, 2, 3, 4])
    pl.DataFrame({"item_id": ids, "item_tags": TAGS}).write_parquet(tmp_path / "item_feature.parquet")
    write_item_embeddings(ids[::-1], VECTORS[::-1], tmp_path / "item_emb_task1_clip.parquet")
    return tmp_path


@pytest.fixture
def made(base, capsys):
    def made(*arguments):
        code = main(["item-info", str(base), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return made


def test_the_organisers_table(base, made):
    code, out, _ = made()
    assert code == 0
    assert "4, and row 0, which is padding; of 1 with more tags the last 5 are kept" in out
    table = pl.read_parquet(base / PLACE)
    assert table["item_id"].to_list() == [0, 1, 2, 3, 4]
    assert table["item_tags"].to_numpy()[1:].tolist() == [[0, 0, 0, 0, 5], [0] * 5, [2, 3, 4, 5, 6], [0] * 5]
    assert (table["item_emb_d128"].to_numpy()[1:] == VECTORS).all()
    assert made()[0] == 0  # its own file is written anew


def test_another_place(base, made):
    assert made("--out", str(base / "new/info.parquet"))[0] == 0
    assert (base / "new/info.parquet").is_file()
    assert not (base / PLACE).exists()


def test_the_organisers_own_file_stays_unless_it_is_said(base, made):
    place = base / PLACE
    place.parent.mkdir()
    pl.DataFrame({"item_id": [0]}).write_parquet(place)
    code, _, err = made()
    assert code == 2
    assert "--force" in err
    assert pl.read_parquet(place).columns == ["item_id"]
    assert made("--force")[0] == 0
    assert len(pl.read_parquet(place)) == 5


def rename_tags(base):
    pl.read_parquet(base / "item_feature.parquet").rename({"item_tags": "\x00genres"}).write_parquet(
        base / "item_feature.parquet"
    )


def text_tags(base):
    pl.DataFrame({"item_id": [1, 2, 3, 4], "item_tags": [["a"], [], [], []]}).write_parquet(
        base / "item_feature.parquet"
    )


def text_ids(base):
    write_item_embeddings(pl.Series(["a", "b", "c", "d"]), VECTORS, base / "item_emb_task1_clip.parquet")


def other_items(base):
    write_item_embeddings(pl.Series([1, 2, 3, 5]), VECTORS, base / "item_emb_task1_clip.parquet")


BROKEN = {
    "no run": (lambda base: (base / "item_emb_task1_clip.parquet").unlink(), "make it: mmctr run"),
    "no items": (lambda base: (base / "item_feature.parquet").unlink(), "reads the tags of the item table"),
    "no tags": (rename_tags, "item_tags is missing, it has item_id, "),
    "tags of words": (text_tags, "item_tags of item_feature.parquet must be lists of whole numbers"),
    "ids of words": (text_ids, "must be whole numbers"),
    "others": (other_items, "they differ, as one has changed since"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_missing_is_said_at_once(base, made, case):
    breaking, message = BROKEN[case]
    breaking(base)
    code, _, err = made()
    assert code == 2
    assert message in err
    assert "\x00" not in err
    assert not (base / PLACE).exists()


@pytest.mark.parametrize("out", ["item_feature.parquet", "item_emb_task1_clip.parquet", ".mmctr/x.parquet", "x.csv"])
def test_places_of_a_run_are_left_alone(base, made, out):
    before = (base / "item_feature.parquet").read_bytes()
    code, _, err = made("--out", str(base / out), "--force")
    assert code == 2
    assert "OUT must end" in err or "never writes over what a run reads or writes" in err
    assert (base / "item_feature.parquet").read_bytes() == before

"""`mmctr similar`: the nearest items by cosine of the published embeddings, exactly, with their titles."""

import json

import numpy as np
import polars as pl
import pytest

from flows.cli.main import main
from mmctr.embedding.pca import write_item_embeddings

VECTORS = np.array([[1, 0], [2, 0.1], [0, 1], [-1, 0], [0, 0], [1, 1]], dtype=np.float32)
TITLES = ["a cat", "two cats", None, "a dog\x1b[31m", "nothing", "both " * 100]


@pytest.fixture
def base(tmp_path):
    """Embeddings and titles of six items with the ids 10, 20, ... 60."""
    ids = pl.Series("item_id", range(10, 70, 10))
    write_item_embeddings(ids, VECTORS, tmp_path / "item_emb_task1_clip.parquet")
    pl.DataFrame({"item_id": ids, "item_title": TITLES}).write_parquet(tmp_path / "item_feature.parquet")
    return tmp_path


@pytest.fixture
def similar(base, capsys):
    def similar(*arguments):
        code = main(["similar", str(base), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return similar


def test_neighbours_are_those_of_a_slow_search(similar):
    code, out, _ = similar("10", "--json")
    found = json.loads(out)
    slow = {
        10 * (row + 1): vector @ VECTORS[0] / np.linalg.norm(vector) / np.linalg.norm(VECTORS[0])
        for row, vector in enumerate(VECTORS)
        if row != 0 and vector.any()
    }
    expected = sorted(slow.items(), key=lambda pair: -pair[1])
    assert code == 0
    assert [one["item_id"] for one in found["neighbours"]] == [item for item, _ in expected] == [20, 60, 30, 40]
    assert [one["similarity"] for one in found["neighbours"]] == pytest.approx([cosine for _, cosine in expected])
    assert (found["item_id"], found["title"], found["items"], found["without_content"]) == (10, "a cat", 6, 1)
    assert found["neighbours"][2]["title"] is None


def test_a_person_reads_titles_and_cosines(similar):
    code, out, _ = similar("10", "-k", "3")
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "10       cosine  a cat"
    assert lines[1] == "20        0.999  two cats"
    assert lines[2].startswith("60        0.707  both both")
    assert len(lines[2]) < 100
    assert lines[3] == "30        0.000  (no title)"
    assert lines[4] == "1 of 6 items have no content, so they are near to none"
    assert "\x1b" not in similar("10")[1]


REFUSALS = [
    (["41"], "ITEM_ID must be one of the 6 items of the last run; '41' is none; did you mean one of 40, 50, 30?"),
    (["abc"], "'abc' is none; use one of the item table"),
    (["9" * 5000], "is none; use one of the item table"),
    (["50"], "50 has no content, so its embedding is zero; choose another item"),
    (["10", "-k", "0"], "-k is the number of items to list, 1 or more; found 0"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSALS, ids=["near", "text", "long", "zero", "k"])
def test_what_cannot_be_done_is_refused_with_rule_value_and_remedy(similar, arguments, message):
    code, out, err = similar(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err) < 6000


def test_ids_of_text(similar, base):
    ids = pl.Series("item_id", [f"sku-{i}" for i in range(6)])
    write_item_embeddings(ids, VECTORS, base / "item_emb_task1_clip.parquet")
    pl.DataFrame({"item_id": ids, "item_title": TITLES}).write_parquet(base / "item_feature.parquet")
    assert similar("sku-0", "-k", "1")[1].splitlines()[1] == "sku-1     0.999  two cats"
    assert "did you mean one of sku-0, sku-1, sku-2?" in similar("sku")[2]
    assert "did you mean one of sku-5" in similar("sky-5")[2]
    assert "'0' is none" in similar("0")[2]


def test_more_than_there_are_and_no_item_table_are_no_fault(similar, base):
    (base / "item_feature.parquet").unlink()
    code, out, _ = similar("10", "-k", "1000")
    assert code == 0
    assert out.count("(no title)") == 5


def test_without_published_embeddings_the_run_that_makes_them_is_named(similar, base):
    path = base / "item_emb_task1_clip.parquet"
    path.write_bytes(b"PAR1garbage")
    code, _, err = similar("10")
    assert code == 2
    assert "must be item embeddings as a run publishes them" in err
    path.unlink()
    code, _, err = similar("10")
    assert code == 2
    assert f"is missing; make it: mmctr run {base}" in err

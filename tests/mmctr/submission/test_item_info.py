"""The organisers' item table: padding in row 0, tags padded on the left, rows by position."""

import numpy as np
import polars as pl
import pytest

from mmctr.common.errors import InputError
from mmctr.submission.item_info import is_ours, item_info, write_item_info

IDS = np.array([2, 3, 1])
VECTORS = np.arange(3 * 128, dtype=np.float32).reshape(3, 128) + 1
TAGS = np.array([7, 1, 2, 3, 4, 5, 6])  # item 2 has 7, item 3 has none, item 1 has 1 to 6
COUNTS = np.array([1, 0, 6])


def made(**changes):
    given = {"ids": IDS, "vectors": VECTORS, "tags": TAGS, "tag_counts": COUNTS, **changes}
    return item_info(given.pop("ids"), given.pop("vectors"), **given)


def test_rows_are_by_id_with_padding_first():
    table = made()
    assert table.schema == {
        "item_id": pl.Int64,
        "item_tags": pl.Array(pl.Int64, 5),
        "item_emb_d128": pl.Array(pl.Float32, 128),
    }
    assert table["item_id"].to_list() == [0, 1, 2, 3]
    expected = [[0] * 5, [2, 3, 4, 5, 6], [0, 0, 0, 0, 7], [0] * 5]
    assert table["item_tags"].to_numpy().tolist() == expected
    assert not table["item_emb_d128"].to_numpy()[0].any()
    assert (table["item_emb_d128"].to_numpy()[[2, 3, 1]] == VECTORS).all()


def test_tags_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, 200)
    ids, tags = 1 + rng.permutation(200), rng.integers(1, 10**6, counts.sum())
    table = item_info(ids, np.ones((200, 128), np.float32), tags=tags, tag_counts=counts)
    lists = np.split(tags, np.cumsum(counts)[:-1])
    for item, own in zip(ids.tolist(), lists, strict=True):
        last = own.tolist()[-5:]
        assert table["item_tags"][item].to_list() == [0] * (5 - len(last)) + last


REFUSALS = {
    "a gap": ({"ids": np.array([1, 2, 4])}, "1 to 3 without a gap; found 4 in place of 3"),
    "twice": ({"ids": np.array([1, 2, 2])}, "found 2 in place of 3"),
    "from 0": ({"ids": np.array([0, 1, 2])}, "found 0 in place of 1"),
    "narrow": ({"vectors": VECTORS[:, :64]}, "have 64; reduce them to 128"),
    "a tag of 0": ({"tags": np.array([7, 1, 2, 0, 4, 5, 6])}, "from 1 on, as 0 is padding; found 0"),
    "none": ({"ids": np.zeros(0, int)}, "a row an item; there is none"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_such_a_table_is_refused(case):
    changes, message = REFUSALS[case]
    with pytest.raises(InputError, match=message):
        made(**changes)


def test_only_our_own_file_is_written_over(tmp_path):
    path = tmp_path / "item_info.parquet"
    write_item_info(made(), path)
    assert is_ours(path)
    write_item_info(made()[:2], path)
    assert len(pl.read_parquet(path)) == 2
    for content in (pl.DataFrame({"item_id": [0]}), b"no parquet"):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content.write_parquet(path)
        before = path.read_bytes()
        with pytest.raises(InputError, match=r"item-info writes over no file but its own.*--force"):
            write_item_info(made(), path)
        assert path.read_bytes() == before
    write_item_info(made(), path, force=True)
    assert pl.read_parquet(path).equals(made())
    assert [file.name for file in tmp_path.iterdir()] == ["item_info.parquet"]

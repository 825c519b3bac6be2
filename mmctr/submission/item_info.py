"""`item_info.parquet`, the item table of the challenge's organisers, which their model of task 1 reads.

Their loader takes rows by position, so row i is the item with id i, and row 0 is padding. Tags are padded with 0 on the
left; of longer lists the last are kept, as FuxiCTR cuts where it pads.

Shapes: V items, D = 128 numbers of a vector, N tags of all items together.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from mmctr.common.errors import InputError
from mmctr.common.files import replacing
from mmctr.common.text import shown_value

PLACE = "MicroLens_1M_x1/item_info.parquet"  # below BASE_PATH, where the organisers' code looks for it
TAGS = "item_tags"  # column of the item table, and of this one
TAG_PLACES = 5
WIDTH = 128
MADE_BY = "mmctr.item_info"  # key of the file's metadata, by which a file of ours is known


def item_info(
    ids: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    *,
    tags: npt.NDArray[np.int64],
    tag_counts: npt.NDArray[np.int64],
) -> pl.DataFrame:
    """The table: `item_id` i64, `item_tags` array[i64, 5], `item_emb_d128` array[f32, 128], with V + 1 rows by id.

    Args:
        ids: (V,) the items, in any order.
        vectors: (V, D) their vectors.
        tags: (N,) tags of the first item, then of the second, and so on; each 1 or more.
        tag_counts: (V,) how many each item has.

    Raises:
        InputError: the ids are not 1 to V, the vectors are not 128 wide, or a tag is below 1.
    """
    if not len(ids):
        raise InputError("item_info.parquet has a row an item; there is none")
    order = np.argsort(ids)
    wrong = np.flatnonzero(ids[order] != np.arange(1, len(ids) + 1))
    if len(wrong):
        found = int(ids[order[wrong[0]]])
        raise InputError(
            f"the organisers' loader takes row i for item i, so ids must be 1 to {len(ids):,} without a gap; found "
            f"{shown_value(found)} in place of {wrong[0] + 1:,}; number the items anew"
        )
    if vectors.shape[1] != WIDTH:
        raise InputError(
            f"item_emb_d128 has {WIDTH} numbers; the item embeddings have {vectors.shape[1]}; reduce them to {WIDTH}"
        )
    if len(tags) and int(tags.min()) < 1:
        raise InputError(f"tags must be whole numbers from 1 on, as 0 is padding; found {shown_value(int(tags.min()))}")
    padded_vectors = np.zeros((len(ids) + 1, WIDTH), dtype=np.float32)
    padded_vectors[ids] = vectors
    padded_tags = np.zeros((len(ids) + 1, TAG_PLACES), dtype=np.int64)
    item = np.repeat(np.arange(len(ids)), tag_counts)  # (N,)
    from_end = np.cumsum(tag_counts)[item] - np.arange(len(tags))  # (N,) 1 is an item's last tag
    kept = from_end <= TAG_PLACES
    padded_tags[ids[item[kept]], TAG_PLACES - from_end[kept]] = tags[kept]
    return pl.DataFrame(
        {
            "item_id": np.arange(len(ids) + 1),
            TAGS: pl.Series(padded_tags, dtype=pl.Array(pl.Int64, TAG_PLACES)),
            "item_emb_d128": pl.Series(padded_vectors, dtype=pl.Array(pl.Float32, WIDTH)),
        }
    )


def write_item_info(table: pl.DataFrame, path: Path, *, force: bool = False) -> None:
    """Write the table whole or not at all, over nothing but an earlier one of ours unless `force` is set.

    Raises:
        InputError: there is another file.
    """
    only_new = not (force or is_ours(path))
    try:
        with replacing(path, only_new=only_new) as partial:
            table.write_parquet(partial, compression="zstd", metadata={MADE_BY: "1"})
    except FileExistsError:
        raise InputError(
            f"item-info writes over no file but its own; {path} is another's, perhaps the organisers'; name another "
            "place with --out, or add --force"
        ) from None


def is_ours(path: Path) -> bool:
    """Whether there is a file that `write_item_info` wrote."""
    try:
        return MADE_BY.encode() in (pq.read_metadata(path).metadata or {})
    except (OSError, ValueError):  # none, or no parquet
        return False

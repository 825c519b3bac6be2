"""Vectors of items before the reduction: fused from parts, such as title and image, and kept as a table.

Legend: n items, W the width of a part, E the width of an item's vector.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mmctr.common.errors import InputError
from mmctr.common.files import replacing
from mmctr.embedding.options import Fuse
from mmctr.embedding.space import Space

READ_ROWS, READ_BYTES = 256, 1 << 20  # at a time
SPACE, PARTS = b"space", b"parts"  # what the file says of itself


@dataclass(frozen=True)
class Part:
    """A part of an item's vector that is fused with others: its name, and how many numbers it has."""

    name: str
    width: int


@dataclass(frozen=True)
class ItemVectors:
    """Vectors of n items.

    Attributes:
        item_ids: (n,) i64 or str, ascending, all different.
        vectors: (n, E) float32; zero where an item has nothing to make one of.
        parts: what lies side by side in a vector, of the widths E in all; one part where nothing does.
        space: what the numbers mean.
    """

    item_ids: pl.Series
    vectors: npt.NDArray[np.float32]
    parts: tuple[Part, ...]
    space: Space


def fused_parts(parts: Sequence[Part], *, fuse: Fuse) -> tuple[Part, ...]:
    """What lies side by side in the vectors that `fuse_parts` makes of these parts.

    Raises:
        InputError: parts of different widths have no mean.
    """
    if fuse == "concat":
        return tuple(parts)
    if len({part.width for part in parts}) > 1:
        found = ", ".join(f"{part.name} has {part.width}" for part in parts)
        raise InputError(
            f"vectors that are fused by their mean must have one width; {found} numbers; put them side by side with "
            "`fuse = concat`"
        )
    return (Part(" and ".join(part.name for part in parts), parts[0].width),)


def fuse_parts(parts: Sequence[npt.NDArray[np.float32]], *, fuse: Fuse) -> npt.NDArray[np.float32]:
    """One vector for each of n items, (n, E), of parts (n, W), each of which is zero where an item has none.

    `fuse` makes the `mean` of the parts that an item has, which have one width, or puts all side by side (`concat`).
    """
    if len(parts) == 1:
        return parts[0]
    if fuse == "concat":
        return np.concatenate(parts, axis=1)
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    sources = np.stack([part.any(axis=1) for part in parts]).sum(axis=0)  # (n,)
    total /= np.maximum(sources, 1).astype(np.float32)[:, None]
    return total


def write_vectors(items: ItemVectors, path: Path) -> None:
    """Write `item_id` and `embedding` array[f32, E]; the file also says what the parts and the space are."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(items.vectors.reshape(-1)), items.vectors.shape[1])
    said = {
        SPACE: items.space.dumps().encode(),
        PARTS: json.dumps([[part.name, part.width] for part in items.parts]).encode(),
    }
    ids = items.item_ids.to_arrow()
    table = pa.table({"item_id": ids, "embedding": column}).replace_schema_metadata(said)
    with replacing(path) as partial:  # numbers at random are no smaller when they are compressed
        pq.write_table(table, partial, compression="none", use_dictionary=False, store_schema=True)


def read_vectors(path: Path) -> ItemVectors:
    """What `write_vectors` wrote."""
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=READ_BYTES) as file:
        said = file.schema_arrow.metadata
        width = file.schema_arrow.field("embedding").type.list_size
        vectors = np.empty((file.metadata.num_rows, width), np.float32)
        ids, start = [], 0
        for chunk in file.iter_batches(batch_size=READ_ROWS, use_threads=False):
            numbers = chunk.column(1).flatten().to_numpy(zero_copy_only=False)
            vectors[start : start + len(chunk)] = numbers.reshape(-1, width)
            ids.append(pl.Series("item_id", chunk.column(0)))
            start += len(chunk)
    return ItemVectors(
        item_ids=pl.concat(ids) if ids else pl.Series("item_id", dtype=pl.Int64),
        vectors=vectors,
        parts=tuple(Part(name, size) for name, size in json.loads(said[PARTS])),
        space=Space.loads(said[SPACE].decode()),
    )

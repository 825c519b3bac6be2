"""The item embedding table: which row belongs to which item, and what it starts from.

Legend: V items, D embedding width. Row 0 is the padding row: zeros, for padding and for ids that are unknown.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmctr.common.files import replacing

if TYPE_CHECKING:  # looking items up needs no Polars, which is 24 MB
    import polars as pl

PADDING_IDX = 0
DENSE_LOOKUP_LIMIT = 50_000_000  # ids up to here are looked up in one array of 4 bytes an id


@dataclass(frozen=True)
class ItemTable:
    """Item ids and their embedding rows.

    Attributes:
        item_ids: (V,) int64, all different; the item at position p owns row p + 1.
        weights: (V + 1, D) float32; row 0 is zero.
    """

    item_ids: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]

    @property
    def id_to_idx(self) -> Mapping[int, int]:
        """`{item_id: position + 1}`, for a reader's convenience; `lookup` is the fast way."""
        return {int(item_id): position + 1 for position, item_id in enumerate(self.item_ids)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the id map: equal digests mean that every item owns the same row."""
        return hashlib.sha256(self.item_ids.astype("<i8").tobytes()).hexdigest()

    @cached_property
    def _dense(self) -> npt.NDArray[np.int32] | None:
        highest = int(self.item_ids.max(initial=0))
        if highest > DENSE_LOOKUP_LIMIT:
            return None
        dense = np.zeros(highest + 2, dtype=np.int32)  # the last entry is that of every id out of range
        dense[self.item_ids] = np.arange(1, len(self.item_ids) + 1, dtype=np.int32)
        return dense

    @cached_property
    def _sorted(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        order = np.argsort(self.item_ids, kind="stable")
        return self.item_ids[order], (order + 1).astype(np.int32)

    def lookup(self, ids: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """Row of each id.

        Args:
            ids: any shape, integers.

        Returns:
            The same shape, int32 in 0..V; 0 for ids that are not in the table.
        """
        ids = ids.astype(np.int64, copy=False)  # unsigned ids would be searched for as floats
        if self._dense is not None:
            outside = len(self._dense) - 1
            return self._dense[np.where((ids >= 0) & (ids < outside), ids, outside)]
        keys, rows = self._sorted
        position = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
        return np.where(keys[position] == ids, rows[position], np.int32(PADDING_IDX))


def build_item_table(embeddings: "pl.DataFrame", *, column: str) -> ItemTable:
    """Put a zero padding row before the item embeddings.

    Args:
        embeddings: `item_id` i64 (unique) and `column`, a list or array of D float32.
        column: name of the embedding column.

    Raises:
        ValueError: an item is there twice, or the embeddings are not all of one width.
    """
    import polars as pl

    item_ids = embeddings["item_id"].to_numpy()
    if len(np.unique(item_ids)) != len(item_ids):
        raise ValueError("item_id must be unique in the embeddings, as a row is found by its id")
    widths = embeddings[column].cast(pl.List(pl.Float32)).list.len().unique().to_list()
    if len(widths) != 1:
        raise ValueError(f"all embeddings must have one width, found {sorted(widths)}")
    vectors = embeddings[column].explode().to_numpy().reshape(len(item_ids), widths[0])
    weights = np.zeros((len(item_ids) + 1, widths[0]), dtype=np.float32)
    weights[1:] = vectors
    return ItemTable(item_ids=item_ids.astype(np.int64), weights=weights)


def save_item_table(table: ItemTable, path: Path) -> None:
    """Write the table as an npz of plain arrays; the same table makes the same bytes."""
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, item_ids=table.item_ids, weights=table.weights)


def load_item_table(path: Path) -> ItemTable:
    """Read what `save_item_table` wrote; pickled content is refused by NumPy."""
    with np.load(path, allow_pickle=False) as arrays:
        return ItemTable(item_ids=arrays["item_ids"], weights=arrays["weights"])

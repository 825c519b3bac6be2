"""The item table: which row belongs to which item, what its embedding starts from, and its declared features.

Legend: V items, D embedding width, F and G columns of features (`mmctr.clicks.feature_encoding`). Row 0 is the padding
row, for padding and for ids that are unknown: zeros, and no feature is known of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mmctr.clicks.feature_encoding import Encoded
from mmctr.common.files import replacing
from mmctr.inputs.vocabulary import Given, Vocabulary, from_bytes, to_bytes

if TYPE_CHECKING:  # looking items up needs no Polars, which is 24 MB
    import polars as pl

PADDING_IDX = 0
IDS, BYTES, OFFSETS = "item_ids", "item_id_bytes", "item_id_offsets"  # arrays of a file: integers, or texts


@dataclass(frozen=True)
class ItemTable:
    """Item ids with what a model has of each item.

    Attributes:
        ids: V item ids; the item at position p owns row p + 1.
        weights: (V + 1, D) float32; row 0 is zero.
        features: of the items, (V + 1, F) and (V + 1, G); None where none are declared.
    """

    ids: Vocabulary
    weights: npt.NDArray[np.float32]
    features: Encoded | None = None

    @property
    def feature_ids(self) -> npt.NDArray[np.int32]:
        """(V + 1, F) rows of embedding tables."""
        return np.zeros((len(self.weights), 0), np.int32) if self.features is None else self.features.ids

    @property
    def feature_numbers(self) -> npt.NDArray[np.float32]:
        """(V + 1, G) numbers and their flags."""
        return np.zeros((len(self.weights), 0), np.float32) if self.features is None else self.features.numbers

    @property
    def id_to_idx(self) -> Mapping[int | str, int]:
        """`{item_id: position + 1}`, for a reader's convenience; `lookup` is the fast way."""
        ids = self.ids.values.tolist()
        return {item_id: position + 1 for position, item_id in enumerate(ids)}

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the id map: equal digests mean that every item owns the same row."""
        return self.ids.digest

    def lookup(self, ids: Given) -> npt.NDArray[np.int32]:
        """Row of each id, int32 in 0..V; 0 for ids that are not in the table (`Vocabulary.lookup`)."""
        return self.ids.lookup(ids)


def build_item_table(embeddings: "pl.DataFrame", *, column: str) -> ItemTable:
    """Put a zero padding row before the item embeddings.

    Args:
        embeddings: `item_id` i64 or str (unique) and `column`, a list or array of D float32.
        column: name of the embedding column.

    Raises:
        ValueError: an item is there twice, or the embeddings are not all of one width.
    """
    import polars as pl

    item_ids = embeddings["item_id"]
    if item_ids.n_unique() != len(item_ids):
        raise ValueError("item_id must be unique in the embeddings, as a row is found by its id")
    widths = embeddings[column].cast(pl.List(pl.Float32)).list.len().unique().to_list()
    if len(widths) != 1:
        raise ValueError(f"all embeddings must have one width, found {sorted(widths)}")
    vectors = embeddings[column].explode().to_numpy().reshape(len(item_ids), widths[0])
    weights = np.zeros((len(item_ids) + 1, widths[0]), dtype=np.float32)
    weights[1:] = vectors
    is_text = item_ids.dtype == pl.String
    ids = item_ids.to_arrow(compat_level=pl.CompatLevel.oldest()) if is_text else item_ids.to_numpy().astype(np.int64)
    return ItemTable(ids=Vocabulary(ids), weights=weights)


def save_item_table(table: ItemTable, path: Path) -> None:
    """Write the table as an npz of plain arrays, texts as bytes and offsets; the same table makes the same bytes."""
    values = table.ids.values
    ids = dict(zip((BYTES, OFFSETS), to_bytes(values), strict=True)) if table.ids.is_text else {IDS: values}
    arrays = {name: getattr(table, name) for name in ("weights", "feature_ids", "feature_numbers")}
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **ids, **arrays)


def load_item_table(path: Path) -> ItemTable:
    """Read what `save_item_table` wrote; pickled content is refused by NumPy."""
    with np.load(path, allow_pickle=False) as arrays:
        values = arrays[IDS] if IDS in arrays else from_bytes(arrays[BYTES], arrays[OFFSETS])
        features = Encoded(arrays["feature_ids"], arrays["feature_numbers"])
        return ItemTable(Vocabulary(values), arrays["weights"], features)

"""The sizes of a deep interest network. Imports little, as the settings read their defaults here."""

from collections.abc import Sequence
from dataclasses import dataclass

from mmctr.inputs.features import Feature
from mmctr.inputs.layout import MICROLENS_1M


@dataclass(frozen=True)
class Architecture:
    """The sizes that a DIN is built with (`mmctr.models.din.DIN.of`); the defaults are the challenge's baseline.

    Attributes:
        num_items: items of the embedding table, its padding row not counted.
        dim: width of an item's embedding.
        attention_hidden: widths of the attention MLP.
        tower_hidden: widths of the tower.
        dropout: probability after each hidden layer of both.
        freeze: keep the item table as it is set.
        row_features: features of a row, each but numbers with the `size` of its embedding table.
        item_features: features of an item, of the target and of each item of the history, with sizes as well.
    """

    num_items: int
    dim: int
    attention_hidden: Sequence[int] = (80, 40)
    tower_hidden: Sequence[int] = (256, 128)
    dropout: float = 0.0
    freeze: bool = False
    row_features: Sequence[Feature] = MICROLENS_1M.row_features
    item_features: Sequence[Feature] = MICROLENS_1M.item_features

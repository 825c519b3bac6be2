"""What a click model is built of, as a value. Imports little, as the settings read their defaults here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mmctr.inputs.features import Feature
from mmctr.inputs.layout import MICROLENS_1M

SEQUENCE, HEADS = f"{__package__}.sequence", f"{__package__}.heads"  # packages with a module for each kind of part
Content = Literal["trained", "frozen", "none"]


@dataclass(frozen=True)
class Part:
    """A sequence encoder or a head: the name of its module, and what its class is built with."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ItemOptions:
    """What a model sees of an item, as a target and in a history alike; the defaults are the challenge's baseline.

    Attributes:
        content: the item's vector is trained further, kept as it is set, or left out.
        content_width: of a linear projection of the vector; 0 takes it as it is.
        id_width: of an embedding of the item's id beside its vector; 0 has none.
        id_min_count: times that an item must be in the training rows, below which it has the row of unknown ids.
        id_dropout: probability that an id becomes the unknown one while training.
        id_mask_count: m; an id that is in the training rows c times becomes the unknown one with probability
            m / (m + c) while training, so that rare ids are learned the least.
        features: whether the declared features of items are read.
        history_width: of a vector made of the histories of the training rows (`mmctr.clicks.history_vectors`); 0 has
            none.
        history_count: whether the model reads how often an item is in the histories of the training rows.
        dropout: probability for each number of an item.
    """

    content: Content = "trained"
    content_width: int = 0
    id_width: int = 0
    id_min_count: int = 1
    id_dropout: float = 0.0
    id_mask_count: float = 0.0
    features: bool = True
    history_width: int = 0
    history_count: bool = False
    dropout: float = 0.0


TARGET_ATTENTION = Part("target_attention", {"hidden": (80, 40), "activation": "dice", "dropout": 0.0})
MLP = Part("mlp", {"hidden": (256, 128), "activation": "dice", "batch_norm": False, "dropout": 0.0})


@dataclass(frozen=True)
class Architecture:
    """What a `ClickModel` is built of; the defaults are the challenge's baseline, a deep interest network.

    Attributes:
        num_items: items of the embedding table, its padding row not counted.
        dim: width of an item's vector.
        item: what the model sees of an item.
        sequence: encoders of the history, side by side; with none the model sees the target alone.
        head: what makes the logit.
        feature_width: of the embeddings of all features; 0 has the width of each as it is declared.
        row_features: features of a row, each but numbers with the `size` of its embedding table.
        item_features: features of an item, of the target and of each item of the history, with sizes as well.
    """

    num_items: int
    dim: int
    item: ItemOptions = ItemOptions()
    sequence: Sequence[Part] = (TARGET_ATTENTION,)
    head: Part = MLP
    feature_width: int = 0
    row_features: Sequence[Feature] = MICROLENS_1M.row_features
    item_features: Sequence[Feature] = MICROLENS_1M.item_features

    @property
    def modules(self) -> list[str]:
        """The modules of its parts."""
        return [*(f"{SEQUENCE}.{part.kind}" for part in self.sequence), f"{HEADS}.{self.head.kind}"]

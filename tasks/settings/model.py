"""The section `model`: what a click model is built of. A part has a class here and a module of its kind in the library.

To add a part, write its module, and its settings as a class of the union below; a test holds that a class has the
options of its module, each with its range. The code of a part counts in the keys of the models that have it.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from mmctr.models.architecture import HEADS, MLP, SEQUENCE, TARGET_ATTENTION, Architecture, Content, ItemOptions, Part
from tasks.settings.base import Component, RunsOnly, Section

Width = Annotated[int, Field(ge=1, le=8192)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Activation = Literal["dice", "relu"]
Heads = Annotated[int, Field(ge=1, le=64)]
HeadWidth = Annotated[int, Field(ge=1, le=1024)]


class ItemConfig(Section):
    """What the model sees of an item, as a target and in a history alike."""

    content: Content = Field(
        ItemOptions.content, description="the item's vector is trained further, frozen as it is made, or none: left out"
    )
    content_width: int = Field(
        ItemOptions.content_width,
        ge=0,
        le=8192,
        description="numbers of a linear projection of the vector; 0 takes the vector as it is",
    )
    id_width: int = Field(
        ItemOptions.id_width, ge=0, le=8192, description="numbers of an embedding of the item's id; 0 for none"
    )
    id_min_count: int = Field(
        ItemOptions.id_min_count,
        ge=0,
        le=1_000_000,
        description="times that an item must be in train's rows, below which its id is an unknown one",
    )
    id_dropout: Probability = Field(
        ItemOptions.id_dropout, description="probability that an id becomes the unknown one while training"
    )
    id_mask_count: float = Field(
        ItemOptions.id_mask_count,
        ge=0,
        le=1_000_000,
        description="m: an id that is in train's rows c times becomes the unknown one with probability m / (m + c)",
    )
    features: bool = Field(ItemOptions.features, description="read the declared features of items")
    history_width: int = Field(
        ItemOptions.history_width,
        ge=0,
        le=1024,
        description="numbers of a vector of the item that is made of train's histories; 0 for none",
    )
    history_count: bool = Field(
        ItemOptions.history_count, description="read how often an item is in the histories of train"
    )
    dropout: Probability = Field(ItemOptions.dropout, description="probability for each number of an item")


class TargetAttentionConfig(Section):
    """An MLP weighs each history item for the target, and their weighted sum is the interest (DIN)."""

    kind: Annotated[Literal["target_attention"], Component(SEQUENCE)] = "target_attention"
    hidden: tuple[Width, ...] = Field(
        TARGET_ATTENTION.options["hidden"], min_length=1, max_length=100, description="widths of the MLP"
    )
    activation: Activation = Field(TARGET_ATTENTION.options["activation"], description="after each hidden layer")
    dropout: Probability = Field(TARGET_ATTENTION.options["dropout"], description="probability after each hidden layer")


class MultiHeadConfig(Section):
    """Each head weighs the history items for the target by a softmax and sums them up, whatever their order."""

    kind: Annotated[Literal["multi_head"], Component(SEQUENCE)] = "multi_head"
    heads: Heads = Field(4, description="number of heads")
    head_width: HeadWidth = Field(32, description="numbers that a head sums up")
    dropout: Probability = Field(0.0, description="probability of an attention weight")


class TransformerConfig(Section):
    """A transformer over the history and the target, with positions that count back from the target (BST)."""

    kind: Annotated[Literal["transformer"], Component(SEQUENCE)] = "transformer"
    layers: int = Field(2, ge=1, le=100, description="number of layers; the last one computes the target only")
    heads: Heads = Field(4, description="number of heads of a layer")
    head_width: HeadWidth = Field(32, description="numbers of a head; items are projected to heads times as many")
    feedforward: Width = Field(256, description="hidden numbers of the feed-forward network of a layer")
    positions: int = Field(
        64, ge=1, le=100_000, description="most recent items that have a position each; older ones share the last"
    )
    dropout: Probability = Field(0.1, description="probability for each number of a token, and within its networks")


class MeanConfig(Section):
    """The mean of the history items, whatever the target is."""

    kind: Annotated[Literal["mean"], Component(SEQUENCE)] = "mean"


class ProductConfig(Section):
    """The target times the mean of the history items, number by number; no weights."""

    kind: Annotated[Literal["product"], Component(SEQUENCE)] = "product"


class SimilarityConfig(Section):
    """How many history items are how similar to the target, by the cosine of their vectors (SimTier); no weights."""

    kind: Annotated[Literal["similarity"], Component(SEQUENCE)] = "similarity"
    bins: int = Field(16, ge=2, le=1000, description="ranges of equal width from -1 to 1, a count each")


class MlpConfig(Section):
    """A tower of hidden layers."""

    kind: Annotated[Literal["mlp"], Component(HEADS)] = "mlp"
    hidden: tuple[Width, ...] = Field(
        MLP.options["hidden"], min_length=1, max_length=100, description="widths of the tower"
    )
    activation: Activation = Field(MLP.options["activation"], description="after each hidden layer")
    batch_norm: bool = Field(MLP.options["batch_norm"], description="batch norm before each activation")
    dropout: Probability = Field(MLP.options["dropout"], description="probability after each hidden layer")


class CrossConfig(Section):
    """Layers that multiply the row by a linear map of it, beside or below a tower (DCN V2)."""

    kind: Annotated[Literal["cross"], Component(HEADS)] = "cross"
    layers: int = Field(3, ge=1, le=100, description="number of cross layers")
    rank: int = Field(0, ge=0, le=8192, description="of their matrices; 0 has whole ones")
    structure: Literal["parallel", "stacked"] = Field(
        "parallel", description="parallel: the tower reads the row; stacked: it reads what the cross layers make of it"
    )
    hidden: tuple[Width, ...] = Field(
        MLP.options["hidden"], min_length=1, max_length=100, description="widths of the tower"
    )
    activation: Activation = Field("relu", description="after each hidden layer of the tower")
    batch_norm: bool = Field(False, description="batch norm before each activation")
    dropout: Probability = Field(0.0, description="probability after each hidden layer")


class QuadraticConfig(Section):
    """Layers that multiply the row by linear maps of it and add it, without a tower (QIN)."""

    kind: Annotated[Literal["quadratic"], Component(HEADS)] = "quadratic"
    layers: int = Field(4, ge=1, le=100, description="number of layers")
    maps: int = Field(3, ge=1, le=100, description="linear maps of a layer; without dropout they are as one")
    batch_norm: bool = Field(True, description="batch norm after each product")
    dropout: Probability = Field(0.1, description="probability for each number of the maps, and of a layer")


SequenceConfig = Annotated[
    TargetAttentionConfig | MultiHeadConfig | TransformerConfig | MeanConfig | ProductConfig | SimilarityConfig,
    Field(discriminator="kind"),
]
HeadConfig = Annotated[MlpConfig | CrossConfig | QuadraticConfig, Field(discriminator="kind")]


class ModelConfig(Section):
    """What the model is built of; by default the challenge's baseline, a deep interest network."""

    item: ItemConfig = Field(default_factory=ItemConfig, description="what it sees of an item")
    sequence: tuple[SequenceConfig, ...] = Field(
        (TargetAttentionConfig(),),
        max_length=16,
        description="encoders of the history, side by side; an empty list for none",
    )
    head: HeadConfig = Field(default_factory=MlpConfig, description="what makes the logit")
    feature_width: int = Field(
        Architecture.feature_width,
        ge=0,
        le=1024,
        description="of the embeddings of all features; 0 has the width of each as it is declared",
    )

    @property
    def parts(self) -> dict[str, Any]:
        """The parameters of a `mmctr.models.architecture.Architecture` that are settings."""
        return {
            "item": ItemOptions(**self.item.model_dump()),
            "sequence": tuple(_part(one) for one in self.sequence),
            "head": _part(self.head),
            "feature_width": self.feature_width,
        }


class ModelParts(Section):
    """The parts of a model that is there already: found out by a run, and no setting of a user's. Their code counts."""

    modules: Annotated[tuple[str, ...], RunsOnly()] = ()  # the checkpoint, which counts, says them

    def components(self) -> list[str]:
        """The modules."""
        return list(self.modules)


def _part(config: Any) -> Part:
    return Part(config.kind, config.model_dump(exclude={"kind"}))

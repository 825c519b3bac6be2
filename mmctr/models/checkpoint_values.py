"""What the values of a checkpoint must be before anything is built from them, as its file may come from anywhere.

Each function raises ValueError, in words for a user, where a value is of another kind or size than is written.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mmctr.clicks.feature_encoding import Encoded, FeatureEncoding
from mmctr.common.text import shown_value
from mmctr.compute.numerics import is_finite
from mmctr.inputs.features import Feature
from mmctr.models.architecture import Architecture


def check_weights(weights: object) -> None:
    """Weights are finite numbers by name."""
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError(f"weights must be named tensors, found {shown_value(weights)}")
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not is_finite(tensor):
            raise ValueError(f"weights must be finite floating point tensors, {shown_value(name)} is not")


def check_sizes(sizes: Architecture, weights: dict[str, Tensor], *, num_items: int) -> None:
    """Sizes are those of the weights, so that no giant is built, and there are as many ids as items."""
    rows = {len(tensor) for tensor in weights.values() if tensor.ndim}
    for name in ("attention_hidden", "tower_hidden"):
        widths = getattr(sizes, name)
        if not isinstance(widths, list | tuple) or not widths or not all(_is_size(w) and w in rows for w in widths):
            raise ValueError(f"{name} must be widths of layers in the weights, found {shown_value(widths)}")
    table = weights.get("items.weight", torch.empty(0))
    if not _is_size(sizes.num_items) or not _is_size(sizes.dim) or table.shape != (sizes.num_items + 1, sizes.dim):
        found = shown_value((sizes.num_items, sizes.dim))
        raise ValueError(f"num_items and dim must be those of the item table {tuple(table.shape)}, found {found}")
    if type(sizes.dropout) not in (int, float) or not 0 <= sizes.dropout < 1 or type(sizes.freeze) is not bool:
        found = shown_value((sizes.dropout, sizes.freeze))
        raise ValueError(f"dropout must be in [0, 1) and freeze true or false, found {found}")
    if num_items != sizes.num_items:
        raise ValueError(f"item_ids must be {sizes.num_items} different ones, found {num_items}")


def check_features(
    features: Sequence[Feature], weights: dict[str, Tensor], *, encoding: FeatureEncoding, name: str
) -> None:
    """Features of the architecture are those of their encoding, and have their embedding tables among the weights."""
    if tuple(features) != encoding.sized:
        raise ValueError(f"{name} must be those of their encoding, found {shown_value(features)}")
    for number, feature in enumerate(feature for feature in features if feature.kind != "number"):
        shape = tuple(weights.get(f"{name}.tables.{number}.weight", torch.empty(0)).shape)
        if shape != (feature.size, feature.width):
            found = shown_value((feature.size, feature.width))
            raise ValueError(f"size and width of {name} must be those of their tables {shape}, found {found}")


def check_item_features(features: Encoded | None, encoding: FeatureEncoding, *, rows: int) -> None:
    """What is known of items is a row for each, of rows of embedding tables and of finite numbers."""
    like = encoding.unknown(rows=1)
    features = like if features is None else features
    for name, array, one in (
        ("item_feature_ids", features.ids, like.ids),
        ("item_feature_numbers", features.numbers, like.numbers),
    ):
        shape = (rows, one.shape[1])
        if array.shape != shape or array.dtype != one.dtype:
            raise ValueError(f"{name} must be {shape} of {one.dtype}, found {array.shape} of {array.dtype}")
    ends = [feature.size for feature in encoding.sized for _ in range(feature.id_columns)]
    if not ((features.ids >= 0) & (features.ids < np.array(ends, dtype=np.int64))).all():
        raise ValueError("item_feature_ids must be rows of the tables of item_features, one is none")
    if not np.isfinite(features.numbers).all():
        raise ValueError("item_feature_numbers must be finite, one is not")


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value < 2**31

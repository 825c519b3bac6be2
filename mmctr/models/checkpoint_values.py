"""What the values of a checkpoint must be before anything is built from them, as its file may come from anywhere.

Each function raises ValueError, in words for a user, where a value is of another kind or size than is written.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mmctr.clicks.feature_encoding import Encoded, FeatureEncoding
from mmctr.common.text import shown_value
from mmctr.compute.numerics import is_finite
from mmctr.inputs.features import Feature


def check_weights(weights: object) -> None:
    """Weights are finite numbers by name."""
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError(f"weights must be named tensors, found {shown_value(weights)}")
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not is_finite(tensor):
            raise ValueError(f"weights must be finite floating point tensors, {shown_value(name)} is not")


def check_features(features: Sequence[Feature], encoding: FeatureEncoding, *, name: str) -> None:
    """Features of the architecture are those of their encoding."""
    if tuple(features) != encoding.sized:
        raise ValueError(f"{name} must be those of their encoding, found {shown_value(features)}")


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

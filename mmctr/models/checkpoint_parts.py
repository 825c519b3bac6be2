"""Values of a checkpoint that are no tensors, as the plain parts that its file holds, and back."""

from dataclasses import asdict, fields
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from mmctr.clicks.feature_encoding import FeatureEncoding, FittedFeature
from mmctr.common.text import shown_value
from mmctr.inputs.features import Feature, Kind
from mmctr.inputs.layout import ClickColumns, Padding
from mmctr.inputs.vocabulary import Vocabulary, from_bytes, to_bytes
from mmctr.models.architecture import Architecture

BYTES, OFFSETS = "bytes", "offsets"
LONGEST_TAGS = 1024  # as the settings bound them


def value_parts(vocabulary: Vocabulary) -> Tensor | dict[str, Tensor]:
    """Values as an int64 tensor, or texts as their bytes and offsets."""
    if isinstance(vocabulary.values, np.ndarray):
        return torch.from_numpy(vocabulary.values)
    content, offsets = to_bytes(vocabulary.values)
    return {BYTES: torch.from_numpy(content), OFFSETS: torch.from_numpy(offsets)}


def values_in(parts: object, name: str) -> Vocabulary:
    """The values of `value_parts`.

    Raises:
        ValueError: the parts are others, or two values are equal.
    """
    if isinstance(parts, Tensor) and parts.dtype == torch.int64 and parts.ndim == 1:
        if len(parts.unique()) == len(parts):
            return Vocabulary(parts.numpy())
    elif isinstance(parts, dict) and parts.keys() == {BYTES, OFFSETS}:
        arrays = [parts[BYTES], parts[OFFSETS]]
        if all(isinstance(array, Tensor) for array in arrays):
            values = from_bytes(*(array.numpy() for array in arrays))
            if len(values.unique()) == len(values):
                return Vocabulary(values)
    raise ValueError(f"{name} must be different int64 numbers, or the bytes of different texts; found {_short(parts)}")


def encoding_parts(encoding: FeatureEncoding) -> list[dict[str, Any]]:
    """Features as declared, with what was fitted."""
    return [
        {
            "feature": asdict(fitted.feature),
            "values": None if fitted.vocabulary is None else value_parts(fitted.vocabulary),
            "mean": fitted.mean,
            "std": fitted.std,
        }
        for fitted in encoding.features
    ]


def encoding_in(parts: object, name: str) -> FeatureEncoding:
    """The encoding of `encoding_parts`.

    Raises:
        ValueError: the parts are others.
    """
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"{name} must be a list of features, found {_short(parts)}")
    return FeatureEncoding(tuple(_fitted(part, name) for part in parts))


def _fitted(part: dict[str, Any], name: str) -> FittedFeature:
    if part.keys() != {"feature", "values", "mean", "std"}:
        raise ValueError(f"{name} must be features with their values, mean and std, found {_short(list(part))}")
    feature, mean, std = _feature(part["feature"], name), part["mean"], part["std"]
    if type(mean) is not float or type(std) is not float or not np.isfinite((mean, std)).all() or std <= 0:
        raise ValueError(f"{name} must have a finite mean and a positive std, found {_short((mean, std))}")
    has_values = feature.kind != "number" and feature.size is None
    if has_values != (part["values"] is not None):
        raise ValueError(
            f"{name} must have the values of each feature without a size, {_short(feature.column)} differs"
        )
    vocabulary = values_in(part["values"], f"the values in {name}") if has_values else None
    return FittedFeature(feature, vocabulary, mean, std)


def _feature(part: object, name: str) -> Feature:
    """A feature whose values are of the kinds and within the bounds that the settings allow."""
    names = {field.name for field in fields(Feature)}
    if not isinstance(part, dict) or part.keys() != names:
        raise ValueError(f"{name} must have features with {', '.join(sorted(names))}; found {_short(part)}")
    feature = Feature(**part)
    texts = isinstance(feature.column, str) and isinstance(feature.separator, str) and feature.separator != ""
    sizes = _is_size(feature.width) and _is_size(feature.max_tags) and feature.max_tags <= LONGEST_TAGS
    sized = feature.size is None or (_is_size(feature.size) and feature.kind != "number")
    if not texts or not sizes or not sized or feature.kind not in get_args(Kind):
        raise ValueError(f"{name} must have features as they are declared, found {_short(part)}")
    return feature


def sizes_in(part: object) -> Architecture:
    """The architecture of a dictionary.

    Raises:
        ValueError, TypeError: it is another one.
    """
    if not isinstance(part, dict):
        raise ValueError(f"architecture must be named sizes, found {_short(part)}")
    features = {}
    for name in ("row_features", "item_features"):
        found = part.get(name)
        if not isinstance(found, list | tuple):
            raise ValueError(f"architecture must have a list of {name}, found {_short(found)}")
        features[name] = tuple(_feature(one, name) for one in found)
    return Architecture(**(part | features))


def columns_in(part: object) -> ClickColumns:
    """Names of columns, without features.

    Raises:
        ValueError: they are others.
    """
    names = {field.name for field in fields(ClickColumns)} - {"features"}
    if not isinstance(part, dict) or part.keys() != names or not all(isinstance(name, str) for name in part.values()):
        raise ValueError(f"columns must be the names {', '.join(sorted(names))}; found {_short(part)}")
    if part["padding"] not in get_args(Padding) or not part["history_separator"]:
        raise ValueError(f"columns must have a padding and a separator, found {_short(part)}")
    return ClickColumns(**part)


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value < 2**31


def _short(value: object) -> str:
    return shown_value(value, limit=80)

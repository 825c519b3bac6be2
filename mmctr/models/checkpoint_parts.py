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
from mmctr.models.architecture import Architecture, Content, ItemOptions, Part

BYTES, OFFSETS = "bytes", "offsets"
LONGEST_TAGS = 1024  # as the settings bound them
MOST_LAYERS, LARGEST_OPTION = 1000, 1_000_000


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


def architecture_in(part: object) -> Architecture:
    """The architecture of a dictionary, its values of the kinds that settings have.

    Raises:
        ValueError: it is another one.
    """
    values = _named(part, Architecture, "architecture")
    for name in ("num_items", "dim"):
        if not _is_size(values[name]):
            raise ValueError(f"{name} must be a whole number from 1, found {_short(values[name])}")
    if values["feature_width"] != 0 and not _is_size(values["feature_width"]):
        raise ValueError(f"feature_width must be a whole number, found {_short(values['feature_width'])}")
    for name in ("row_features", "item_features"):
        values[name] = tuple(_feature(one, name) for one in _listed(values[name], name))
    values["item"] = _item_in(values["item"])
    values["sequence"] = tuple(_part_in(one, "sequence") for one in _listed(values["sequence"], "sequence"))
    values["head"] = _part_in(values["head"], "head")
    return Architecture(**values)


def _item_in(part: object) -> ItemOptions:
    """What a model sees of an item."""
    values = _named(part, ItemOptions, "item")
    for name, default in asdict(ItemOptions()).items():
        value = values[name]
        low, high = 0, (1 if name.endswith("dropout") else LARGEST_OPTION)
        if type(value) is not type(default) or (not isinstance(value, str) and not low <= value <= high):
            raise ValueError(f"item must be as it is set, its {name} is {_short(value)}")
    if values["content"] not in get_args(Content):
        raise ValueError(f"content of item must be one of {', '.join(get_args(Content))}; found {_short(values)}")
    return ItemOptions(**values)


def _part_in(part: object, name: str) -> Part:
    """A part with its options: numbers within the bounds of settings, texts, and lists of widths."""
    values = _named(part, Part, name)
    options = values["options"]
    plain = isinstance(values["kind"], str) and isinstance(options, dict) and all(map(_is_option, options.values()))
    if not plain or options.get("layers", 0) > MOST_LAYERS:
        raise ValueError(f"{name} must be a kind with plain options, found {_short(part)}")
    lists = {option: tuple(value) for option, value in options.items() if isinstance(value, list)}
    return Part(values["kind"], {str(option): value for option, value in options.items()} | lists)


def _is_option(value: object) -> bool:
    if isinstance(value, list | tuple):
        return 0 < len(value) <= MOST_LAYERS and all(type(width) is int and _is_option(width) for width in value)
    if type(value) in (bool, str):
        return True
    return type(value) in (int, float) and 0 <= value <= LARGEST_OPTION  # type: ignore[operator]


def _named(part: object, kind: type, name: str) -> dict[str, Any]:
    """The values of a dictionary that has the fields of `kind` and no others."""
    names = {field.name for field in fields(kind)}
    if not isinstance(part, dict) or part.keys() != names:
        raise ValueError(f"{name} must have {', '.join(sorted(names))}; found {_short(part)}")
    return dict(part)


def _listed(part: object, name: str) -> list[Any]:
    """The parts of a list that is no longer than any that is in use."""
    if not isinstance(part, list | tuple) or len(part) > MOST_LAYERS:
        raise ValueError(f"architecture must have a list of {name}, found {_short(part)}")
    return list(part)


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

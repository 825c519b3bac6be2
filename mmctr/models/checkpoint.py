"""Checkpoints: weights with all that is needed to use them, loaded without running any code from the file.

A checkpoint brings its own id map and the encodings of its features, so it scores clicks on any data whose items it
knows; ids and values that are new to it are unknown ones, as they are in training. The file is one dictionary:

    format, architecture, weights, max_len, metrics      plain values, and the state dict
    columns                                              names of the click log's columns that it was trained with
    item_ids                                             int64, or bytes and offsets of texts
    row_encoding, item_encoding                          each feature as declared, its values or its mean and std
    item_feature_ids, item_feature_numbers               what is known of each item, beside its row of `TABLE`
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from mmctr.clicks.feature_encoding import Encoded, FeatureEncoding, fixed_encoding
from mmctr.clicks.item_table import ItemTable
from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.inputs.layout import ClickColumns
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint_parts import (
    architecture_in,
    columns_in,
    encoding_in,
    encoding_parts,
    value_parts,
    values_in,
)
from mmctr.models.checkpoint_values import check_features, check_item_features, check_weights
from mmctr.models.meta import check_fit
from mmctr.models.tensor_files import load_tensors, save_tensors

FORMAT = 4
TABLE = "items.content.weight"
MESSAGE = 400  # characters that are shown of what is wrong with a file, which may name what is in it


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Attributes:
        architecture: what to build.
        weights: its state dict, on the CPU.
        max_len: history items that it was trained with.
        ids: V item ids; the item at position p owns row p + 1 of the tables of items.
        metrics: validation figures of its epoch.
        columns: names of the columns of the click log that it was trained on, and its row features as declared.
        row_encoding, item_encoding: of the features.
        item_features: (V + 1, F) and (V + 1, G), as an `ItemTable` has them; None where none are declared.
    """

    architecture: Architecture
    weights: dict[str, Tensor]
    max_len: int
    ids: Vocabulary
    metrics: dict[str, float]
    columns: ClickColumns = field(default_factory=ClickColumns)
    row_encoding: FeatureEncoding = field(default_factory=lambda: fixed_encoding(ClickColumns.features))
    item_encoding: FeatureEncoding = field(default_factory=FeatureEncoding)
    item_features: Encoded | None = None

    @property
    def table(self) -> ItemTable:
        """The items with their features, and their embeddings as they were trained."""
        return ItemTable(self.ids, self.weights[TABLE].numpy(), self.item_features)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; `torch.load(path, weights_only=True)` reads it."""
    table, columns = checkpoint.table, asdict(checkpoint.columns)
    del columns["features"]  # the encoding has them
    save_tensors(
        {
            "format": FORMAT,
            "architecture": asdict(checkpoint.architecture),
            "weights": checkpoint.weights,
            "max_len": checkpoint.max_len,
            "metrics": checkpoint.metrics,
            "columns": columns,
            "item_ids": value_parts(checkpoint.ids),
            "row_encoding": encoding_parts(checkpoint.row_encoding),
            "item_encoding": encoding_parts(checkpoint.item_encoding),
            "item_feature_ids": torch.from_numpy(table.feature_ids),
            "item_feature_numbers": torch.from_numpy(table.feature_numbers),
        },
        path,
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: the file is missing, damaged, of another kind, or holds anything but tensors and plain values.
    """
    remedy = "use a checkpoint that this program wrote, or train again"
    try:
        content = load_tensors(path)
        if type(content.get("format")) is not int or content["format"] != FORMAT:
            found = shown_value(content.get("format"))
            raise ValueError(f"{path} has checkpoint format {found}, this program reads {FORMAT}")
        return _checkpoint_in(content)
    except KeyError as error:
        raise InputError(f"cannot load the checkpoint: {path} has no {error}; {remedy}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"cannot load the checkpoint: {str(error)[:MESSAGE]}; {remedy}") from error


def modules_of(path: Path) -> tuple[str, ...]:
    """The modules of the parts that the model in a checkpoint has.

    Raises:
        InputError: as `load_checkpoint` has it.
    """
    return tuple(load_checkpoint(path).architecture.modules)


def _checkpoint_in(content: dict[str, Any]) -> Checkpoint:
    """What a file of this format says, its values checked before anything is built from them."""
    row_encoding = encoding_in(content["row_encoding"], "row_encoding")
    checkpoint = Checkpoint(
        architecture=architecture_in(content["architecture"]),
        weights=content["weights"],
        max_len=content["max_len"],
        metrics=content["metrics"],
        ids=values_in(content["item_ids"], "item_ids"),
        columns=replace(columns_in(content["columns"]), features=row_encoding.declared),
        row_encoding=row_encoding,
        item_encoding=encoding_in(content["item_encoding"], "item_encoding"),
        item_features=Encoded(*(_array(content[name], name) for name in ("item_feature_ids", "item_feature_numbers"))),
    )
    check_weights(checkpoint.weights)
    if len(checkpoint.ids) != checkpoint.architecture.num_items:
        found = shown_value(checkpoint.architecture.num_items)
        raise ValueError(f"num_items must be the number of item_ids, {len(checkpoint.ids)}; found {found}")
    for name, encoding in (("row_features", row_encoding), ("item_features", checkpoint.item_encoding)):
        check_features(getattr(checkpoint.architecture, name), encoding, name=name)
    check_fit(checkpoint.architecture, checkpoint.weights)
    check_item_features(checkpoint.item_features, checkpoint.item_encoding, rows=len(checkpoint.ids) + 1)
    if type(checkpoint.max_len) is not int or not 1 <= checkpoint.max_len < 2**31:
        raise ValueError(f"max_len must be 1 or more, found {shown_value(checkpoint.max_len)}")
    if not isinstance(checkpoint.metrics, dict):
        raise ValueError(f"metrics must be named numbers, found {shown_value(checkpoint.metrics)}")
    return checkpoint


def _array(value: object, name: str) -> npt.NDArray[Any]:
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a tensor, found {shown_value(value)}")
    return value.numpy()


def restore_model(checkpoint: Checkpoint) -> ClickModel:
    """The trained model of `checkpoint`, in evaluation mode on the CPU; rows of items are those of `checkpoint.table`.

    Raises:
        InputError: the weights are those of another architecture.
    """
    try:
        check_fit(checkpoint.architecture, checkpoint.weights)
        model = ClickModel(checkpoint.architecture)
        model.load_state_dict(checkpoint.weights)
        model.items.set_features(checkpoint.table)
    except ValueError as error:
        raise InputError(f"the checkpoint cannot be used: {str(error)[:MESSAGE]}") from error
    return model.eval()

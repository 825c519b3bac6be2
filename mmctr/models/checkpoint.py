"""Checkpoints: weights with all that is needed to use them, loaded without running any code from the file.

A checkpoint brings its own id map, so it scores clicks on any data whose items it knows; ids that are new to it are
unknown items, as they are in training.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmctr.clicks.item_table import ItemTable
from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.compute.numerics import is_finite
from mmctr.inputs.layout import CHECKPOINT_FILE, MODELS_FOLDER
from mmctr.models.architecture import Architecture
from mmctr.models.din import DIN
from mmctr.models.tensor_files import load_tensors, save_tensors

FORMAT = 2
MESSAGE = 400  # characters that are shown of what is wrong with a file, which may name what is in it


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Attributes:
        architecture: what to build.
        weights: its state dict, on the CPU.
        max_len: history items that it was trained with.
        item_ids: (V,) int64, all different; the item at position p owns row p + 1 of `items.weight`.
        metrics: validation figures of its epoch.
    """

    architecture: Architecture
    weights: dict[str, Tensor]
    max_len: int
    item_ids: Tensor
    metrics: dict[str, float]

    @property
    def table(self) -> ItemTable:
        """The id map with the item embeddings as they were trained."""
        return ItemTable(item_ids=self.item_ids.numpy(), weights=self.weights["items.weight"].numpy())


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; `torch.load(path, weights_only=True)` reads it."""
    save_tensors(
        {
            "format": FORMAT,
            "architecture": asdict(checkpoint.architecture),
            "weights": checkpoint.weights,
            "max_len": checkpoint.max_len,
            "item_ids": checkpoint.item_ids,
            "metrics": checkpoint.metrics,
        },
        path,
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: the file is missing, damaged, of another kind, or holds anything but tensors and plain values.
    """
    remedy = f"use a checkpoint that this program wrote ({MODELS_FOLDER}/{CHECKPOINT_FILE}), or train again"
    try:
        content = load_tensors(path)
        if type(content.get("format")) is not int or content["format"] != FORMAT:
            found = shown_value(content.get("format"))
            raise ValueError(f"{path} has checkpoint format {found}, this program reads {FORMAT}")
        checkpoint = Checkpoint(
            architecture=Architecture(**content["architecture"]),
            **{name: content[name] for name in ("weights", "max_len", "item_ids", "metrics")},
        )
        _check_values(checkpoint)
        return checkpoint
    except KeyError as error:
        raise InputError(f"cannot load the checkpoint: {path} has no {error}; {remedy}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"cannot load the checkpoint: {str(error)[:MESSAGE]}; {remedy}") from error


def _check_values(checkpoint: Checkpoint) -> None:
    """Refuse values of another kind or size than `save_checkpoint` writes, before anything is built from them."""
    sizes, weights = checkpoint.architecture, checkpoint.weights
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError(f"weights must be named tensors, found {shown_value(weights)}")
    for name, tensor in weights.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or not is_finite(tensor):
            raise ValueError(f"weights must be finite floating point tensors, {shown_value(name)} is not")
    rows = {len(tensor) for tensor in weights.values() if tensor.ndim}  # sizes that exist, so that no giant is built
    for name in ("attention_hidden", "tower_hidden"):
        widths = getattr(sizes, name)
        if not isinstance(widths, list | tuple) or not widths or not all(_is_size(w) and w in rows for w in widths):
            raise ValueError(f"{name} must be widths of layers in the weights, found {shown_value(widths)}")
    table = weights.get("items.weight", torch.empty(0))
    if not _is_size(sizes.num_items) or not _is_size(sizes.dim) or table.shape != (sizes.num_items + 1, sizes.dim):
        found = shown_value((sizes.num_items, sizes.dim))
        raise ValueError(f"num_items and dim must be those of the item table {tuple(table.shape)}, found {found}")
    if not _is_size(checkpoint.max_len):
        raise ValueError(f"max_len must be 1 or more, found {shown_value(checkpoint.max_len)}")
    if type(sizes.dropout) not in (int, float) or not 0 <= sizes.dropout < 1 or type(sizes.freeze) is not bool:
        found = shown_value((sizes.dropout, sizes.freeze))
        raise ValueError(f"dropout must be in [0, 1) and freeze true or false, found {found}")
    if not _is_id_map(checkpoint.item_ids, size=sizes.num_items):
        found = shown_value(checkpoint.item_ids)
        raise ValueError(f"item_ids must be {sizes.num_items} different int64 numbers, found {found}")
    if not isinstance(checkpoint.metrics, dict):
        raise ValueError(f"metrics must be named numbers, found {shown_value(checkpoint.metrics)}")


def _is_size(value: object) -> bool:
    return type(value) is int and 1 <= value < 2**31


def _is_id_map(value: object, *, size: int) -> bool:
    if not isinstance(value, Tensor) or value.dtype != torch.int64 or value.shape != (size,):
        return False
    return len(value.unique()) == size


def restore_model(checkpoint: Checkpoint) -> DIN:
    """The trained model of `checkpoint`, in evaluation mode on the CPU; rows of items are those of `checkpoint.table`.

    Raises:
        InputError: the weights are those of another architecture.
    """
    model = DIN.of(checkpoint.architecture)
    try:
        model.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        raise InputError(
            f"the checkpoint's weights do not fit its architecture: {str(error).splitlines()[-1][:MESSAGE]}"
        ) from error
    return model.eval()

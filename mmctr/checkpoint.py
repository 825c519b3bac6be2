"""Checkpoints: weights with what is needed to use them, loaded without running any code from the file."""

import io
import pickle
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmctr.din import DIN
from mmctr.errors import InputError, first_line
from mmctr.files import write_bytes
from mmctr.item_table import ItemTable

FORMAT = 1


@dataclass(frozen=True)
class Architecture:
    """The sizes that a DIN is built with; see `mmctr.din.DIN`."""

    num_items: int
    dim: int
    attention_hidden: Sequence[int]
    tower_hidden: Sequence[int]
    dropout: float
    freeze: bool

    def build(self) -> DIN:
        """A DIN of this architecture with fresh weights."""
        return DIN(
            self.num_items,
            self.dim,
            attention_hidden=self.attention_hidden,
            tower_hidden=self.tower_hidden,
            dropout=self.dropout,
            freeze=self.freeze,
        )


@dataclass(frozen=True)
class Checkpoint:
    """A trained model.

    Attributes:
        architecture: what to build.
        weights: its state dict, on the CPU.
        max_len: history items that it was trained with.
        id_map_sha256: digest of the id map that its table belongs to (`ItemTable.digest`).
        metrics: validation figures of its epoch.
    """

    architecture: Architecture
    weights: dict[str, Tensor]
    max_len: int
    id_map_sha256: str
    metrics: dict[str, float]


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values with `torch.save`; the same content gives the same bytes."""
    buffer = io.BytesIO()  # the archive's inner folder is named after a file, but not after a buffer
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


def load_tensors(path: Path, *, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what `save_tensors` wrote, tensors and plain values only.

    Raises:
        ValueError: the file is damaged, or holds something else, such as code.
    """
    try:
        with warnings.catch_warnings():  # an unusual pickle protocol is warned of before it is refused
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a whole file of tensors: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not named tensors")
    return content


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint; `torch.load(path, weights_only=True)` reads it."""
    save_tensors(
        {
            "format": FORMAT,
            "architecture": {**asdict(checkpoint.architecture)},
            "weights": checkpoint.weights,
            "max_len": checkpoint.max_len,
            "id_map_sha256": checkpoint.id_map_sha256,
            "metrics": checkpoint.metrics,
        },
        path,
    )


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: the file is missing, damaged, of another kind, or holds anything but tensors and plain values.
    """
    remedy = "give a checkpoint that this program wrote (models_task1and2/task1and2_best.pt), or train again"
    try:
        content = load_tensors(path)
        if content.get("format") != FORMAT:
            raise ValueError(f"{path} has checkpoint format {content.get('format')!r}, this program reads {FORMAT}")
        return Checkpoint(
            architecture=Architecture(**content["architecture"]),
            **{name: content[name] for name in ("weights", "max_len", "id_map_sha256", "metrics")},
        )
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot load the checkpoint: {error}; {remedy}") from error


def restore_model(checkpoint: Checkpoint, *, table: ItemTable) -> DIN:
    """The trained model of `checkpoint`, in evaluation mode on the CPU.

    Raises:
        InputError: the item table has another id map, or the weights are those of another architecture.
    """
    if checkpoint.id_map_sha256 != table.digest:
        raise InputError(
            f"the checkpoint was trained with another id map ({checkpoint.id_map_sha256[:12]}, the item table has "
            f"{table.digest[:12]}); predict with the item table that it was trained with, or train again"
        )
    model = checkpoint.architecture.build()
    try:
        model.load_state_dict(checkpoint.weights)
    except RuntimeError as error:
        raise InputError(
            f"the checkpoint's weights do not fit its architecture: {str(error).splitlines()[-1]}"
        ) from error
    return model.eval()

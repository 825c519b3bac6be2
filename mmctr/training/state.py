"""A training as a file: what it needs to go on later, in another process, to the same bits.

No state of a random generator is needed between epochs, as each draws from the seed and its own number; within an epoch
that of dropout is kept.
"""

import logging
from dataclasses import asdict, dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmctr.common.text import first_line, shown_value
from mmctr.compute.numerics import is_finite
from mmctr.models.base import ClickModel
from mmctr.models.tensor_files import load_tensors, save_tensors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch; `epoch` counts from 1, `rows_per_second` is that of the process that ended it."""

    epoch: int
    train_loss: float
    valid_auc: float
    valid_logloss: float
    learning_rate: float
    rows_per_second: float


@dataclass(frozen=True)
class PartialEpoch:
    """How far an epoch has come: rows that were trained on, the sum of their losses, the generators of dropout."""

    rows: int
    loss_sum: float
    generators: dict[str, Tensor]


@dataclass
class TrainingState:
    """How far a training is: the finished epochs, the best one's weights on the CPU, and the epoch it is in."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    partial: PartialEpoch | None = None

    @property
    def best(self) -> Epoch:
        """The epoch with the highest validation AUC, the first of equals."""
        return self.history[self.best_epoch - 1]

    def add(self, epoch: Epoch, model: ClickModel) -> None:
        """Note an epoch that `model` has just finished, and its weights if it is the best so far."""
        self.history.append(epoch)
        if self.best_epoch == 0 or epoch.valid_auc > self.best.valid_auc:
            self.best_epoch = epoch.epoch
            for name, value in model.state_dict().items():
                if name in self.best_weights:  # in place, so that no two epochs' weights are there at once
                    self.best_weights[name].copy_(value)
                else:
                    self.best_weights[name] = value.to("cpu", copy=True)


def save_state(
    path: Path, model: ClickModel, optimizer: Optimizer, schedule: ReduceLROnPlateau, state: TrainingState
) -> None:
    """Write everything that `restore_state` needs, whole or not at all."""
    save_tensors(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": [asdict(epoch) for epoch in state.history],
            "best_epoch": state.best_epoch,
            "best_weights": state.best_weights,
            "partial": None if state.partial is None else vars(state.partial),
        },
        path,
    )


def restore_state(
    path: Path, model: ClickModel, optimizer: Optimizer, schedule: ReduceLROnPlateau, *, rows: int
) -> TrainingState:
    """Put the training on `rows` rows back to where `save_state` left it.

    A file that is damaged, of another model or not finite is reported and changes nothing: the training begins anew. An
    error of the machine (no permission, no memory) is raised, as the file may be good.
    """
    try:
        saved = load_tensors(path)
        _check_form(saved, model, optimizer, schedule, rows=rows)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        logger.warning("the saved training state cannot be used (%s); training begins anew", first_line(error))
        return TrainingState()
    for owner, name in ((model, "model"), (optimizer, "optimizer"), (schedule, "schedule")):
        owner.load_state_dict(saved[name])
    return TrainingState(
        history=[Epoch(**epoch) for epoch in saved["history"]],
        best_epoch=saved["best_epoch"],
        best_weights=saved["best_weights"],
        partial=None if saved["partial"] is None else PartialEpoch(**saved["partial"]),
    )


def _check_form(
    saved: dict[str, Any], model: ClickModel, optimizer: Optimizer, schedule: ReduceLROnPlateau, *, rows: int
) -> None:
    """Refuse what `save_state` does not write for these three, before any of it is put into them.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: in a few words.
    """
    weights = model.state_dict()
    _check_like(saved["model"], weights, "model")
    _check_like(saved["schedule"], schedule.state_dict(), "schedule")
    fresh = optimizer.state_dict()["param_groups"]
    _check_like(saved["optimizer"]["param_groups"], fresh, "optimizer")
    sizes = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, memory in saved["optimizer"]["state"].items():
        like = {"step": torch.zeros(()), "exp_avg": sizes[number], "exp_avg_sq": sizes[number]}
        _check_like(memory, like, f"optimizer's memory {number}")

    history, best, partial = saved["history"], saved["best_epoch"], saved["partial"]
    figures = asdict(Epoch(0, 0.0, 0.0, 0.0, 0.0, 0.0))
    _check_like(history, [figures] * len(history), "history")
    if [epoch["epoch"] for epoch in history] != list(range(1, len(history) + 1)):
        raise ValueError("history must be all epochs, one after the other")
    if type(best) is not int or not min(1, len(history)) <= best <= len(history):
        raise ValueError("best_epoch must be one of them")
    _check_like(saved["best_weights"], weights if history else {}, "best_weights")
    if partial is not None:
        known = {
            name: torch.get_rng_state() if name == "cpu" else other for name, other in partial["generators"].items()
        }
        _check_like(
            partial, {"rows": 0, "loss_sum": 0.0, "generators": {"cpu": torch.get_rng_state(), **known}}, "partial"
        )
        if not 0 < partial["rows"] < rows:
            raise ValueError(f"partial must be within the {rows} rows of an epoch")


def _check_like(found: Any, like: Any, name: str) -> None:
    """Refuse what differs from `like` in kind, names, shapes or types of its values, or is not finite."""
    if isinstance(like, Tensor):
        same = isinstance(found, Tensor) and (found.shape, found.dtype) == (like.shape, like.dtype)
        if not same or (found.is_floating_point() and not is_finite(found)):
            raise ValueError(f"{name} must be {tuple(like.shape)} finite numbers of {like.dtype}")
    elif isinstance(like, dict):
        if not isinstance(found, dict) or found.keys() != like.keys():
            raise ValueError(f"{name} must have other parts")
        for part, value in like.items():
            _check_like(found[part], value, f"{name} {part}")
    elif isinstance(like, list | tuple):
        if type(found) is not type(like) or len(found) != len(like):
            raise ValueError(f"{name} must have {len(like)} parts")
        for mine, other in zip(found, like, strict=True):
            _check_like(mine, other, name)
    elif type(found) is not type(like) or (isinstance(found, float) and isnan(found)):
        raise ValueError(f"{name} must be a {type(like).__name__}, found {shown_value(found)}")


def generators(device: torch.device) -> dict[str, Tensor]:
    """States of the random generators that dropout on `device` draws from."""
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_generators(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back to what `generators` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:  # a partial epoch of a CPU has none
        torch.cuda.set_rng_state(states["cuda"], device)

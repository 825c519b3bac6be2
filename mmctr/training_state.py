"""A training as a file: what it needs to go on later, in another process, to the same bits.

No state of a random generator is needed between epochs, as each draws from the seed and its own number; within an epoch
that of dropout is kept.
"""

import copy
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmctr.checkpoint import load_tensors, save_tensors
from mmctr.din import DIN

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; `epoch` counts from 1, `rows_per_second` is that of the process that ended it."""

    epoch: int
    train_loss: float
    valid_auc: float
    valid_logloss: float
    learning_rate: float
    rows_per_second: float


@dataclass(frozen=True)
class Begun:
    """How far an epoch has come: rows that were trained on, the sum of their losses, the generators of dropout."""

    rows: int
    loss_sum: float
    generators: dict[str, Tensor]


@dataclass
class Progress:
    """Where a training stands: the finished epochs, the best one's weights on the CPU, and the epoch it is in."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    begun: Begun | None = None

    @property
    def best(self) -> Epoch:
        """The epoch with the highest validation AUC, the first of equals."""
        return self.history[self.best_epoch - 1]

    def add(self, epoch: Epoch, model: DIN) -> None:
        """Note an epoch that `model` has just finished, and its weights if it is the best so far."""
        self.history.append(epoch)
        if self.best_epoch == 0 or epoch.valid_auc > self.best.valid_auc:
            self.best_epoch = epoch.epoch
            self.best_weights = {name: value.cpu().clone() for name, value in model.state_dict().items()}


def save_state(path: Path, model: DIN, optimizer: Optimizer, schedule: ReduceLROnPlateau, done: Progress) -> None:
    """Write everything that `restore_state` needs, whole or not at all."""
    save_tensors(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": [asdict(epoch) for epoch in done.history],
            "best_epoch": done.best_epoch,
            "best_weights": done.best_weights,
            "begun": None if done.begun is None else vars(done.begun),
        },
        path,
    )


def restore_state(path: Path, model: DIN, optimizer: Optimizer, schedule: ReduceLROnPlateau) -> Progress:
    """Put the training back to where `save_state` left it.

    A file that is damaged or of another model is reported and changes nothing: the training begins anew. An error of
    the machine (no permission, no memory) is raised, as the file may be good.
    """
    owners: tuple[Any, ...] = (model, optimizer, schedule)
    fresh = copy.deepcopy([owner.state_dict() for owner in owners])
    try:
        saved = load_tensors(path)
        done = Progress(
            history=[Epoch(**epoch) for epoch in saved["history"]],
            best_epoch=saved["best_epoch"],
            best_weights=saved["best_weights"],
            begun=None if saved["begun"] is None else Begun(**saved["begun"]),
        )
        _load(owners, [saved[name] for name in ("model", "optimizer", "schedule")])
    except torch.OutOfMemoryError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        logger.warning("the saved training state cannot be used (%s); training begins anew", error)
        _load(owners, fresh)
        return Progress()
    return done


def _load(owners: tuple[Any, ...], states: list[dict[str, Any]]) -> None:
    for owner, state in zip(owners, states, strict=True):
        owner.load_state_dict(state)


def generators(device: torch.device) -> dict[str, Tensor]:
    """States of the random generators that dropout on `device` draws from."""
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_generators(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back to what `generators` gave."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)

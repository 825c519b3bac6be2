"""A training as a file: what it needs to go on later, in another process, to the same bits.

No state of a random generator is needed between epochs, as each draws from the seed and its own number; within an epoch
that of dropout is kept.
"""

import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from mmctr.common.text import first_line
from mmctr.models.base import ClickModel
from mmctr.models.tensor_files import load_tensors, save_tensors
from mmctr.training.state_form import check_form
from mmctr.training.step import Learner

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Epoch:
    """The figures of one validation, at the end of an epoch or within it.

    Attributes:
        epoch: its number, from 1.
        train_loss: mean cross-entropy of the rows since the validation before, or since the epoch's beginning.
        valid_auc, valid_logloss: of the validation clicks.
        learning_rate: of the latest step.
        rows_per_second: of the process that ended it.
        valid_normalised_entropy: logloss by that of the base rate.
        valid_gauc: None where users are not known, or none has both classes.
        l2_loss: the L2 terms of the loss; None without them.
        step: steps of the optimizer so far, where validations are within epochs; None where each ends one.
    """

    epoch: int
    train_loss: float
    valid_auc: float
    valid_logloss: float
    learning_rate: float
    rows_per_second: float
    valid_normalised_entropy: float | None = None
    valid_gauc: float | None = None
    l2_loss: float | None = None
    step: int | None = None

    @property
    def figures(self) -> dict[str, float]:
        """Those that there are and that are the same each time that it is trained; its speed is not."""
        return {name: value for name, value in asdict(self).items() if value is not None and name != "rows_per_second"}

    @property
    def metrics(self) -> dict[str, float]:
        """What a checkpoint says of itself."""
        own = ("epoch", "step", "valid_auc", "valid_gauc", "valid_logloss", "valid_normalised_entropy")
        return {name: value for name, value in self.figures.items() if name in own}

    @property
    def number(self) -> int:
        """Its place on a curve: the step where validations are within epochs, and the epoch's number elsewhere."""
        return self.epoch if self.step is None else self.step

    @property
    def name(self) -> str:
        """The epoch in words, with the step where validations are within epochs."""
        return f"epoch {self.epoch}" + ("" if self.step is None else f", step {self.step:,}")


@dataclass(frozen=True)
class PartialEpoch:
    """How far an epoch has come.

    Attributes:
        epoch: its number, from 1.
        rows: that were trained on.
        loss_sum, loss_rows: sum of the losses of the rows since the latest validation, and how many these are.
        steps: since then.
        generators: states of those of dropout.
    """

    epoch: int
    rows: int = 0
    loss_sum: float = 0.0
    loss_rows: int = 0
    steps: int = 0
    generators: dict[str, Tensor] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """Mean loss of the rows since the latest validation."""
        return self.loss_sum / self.loss_rows


@dataclass
class TrainingState:
    """How far a training is: its validations, the weights at the best one on the CPU, and the epoch it is in.

    `best_number` is that of the best validation, from 1; 0 before the first.
    """

    history: list[Epoch] = field(default_factory=list)
    best_number: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    partial: PartialEpoch | None = None

    @property
    def best(self) -> Epoch:
        """The validation with the highest AUC, the first of equals."""
        return self.history[self.best_number - 1]

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        if self.partial is not None:
            return self.partial.epoch - 1
        return self.history[-1].epoch if self.history else 0

    def add(self, epoch: Epoch, model: ClickModel) -> None:
        """Note a validation of `model`, and its weights if it is the best so far."""
        self.history.append(epoch)
        if self.best_number == 0 or epoch.valid_auc > self.best.valid_auc:
            self.best_number = len(self.history)
            for name, value in model.state_dict().items():
                if name in self.best_weights:  # in place, so that no two epochs' weights are there at once
                    self.best_weights[name].copy_(value)
                else:
                    self.best_weights[name] = value.to("cpu", copy=True)


def save_state(path: Path, model: ClickModel, learner: Learner, state: TrainingState) -> None:
    """Write everything that `restore_state` needs, whole or not at all."""
    save_tensors(
        {
            "model": model.state_dict(),
            **learner.state_dict(),
            "history": [asdict(epoch) for epoch in state.history],
            "best_number": state.best_number,
            "best_weights": state.best_weights,
            "partial": None if state.partial is None else vars(state.partial),
        },
        path,
    )


def restore_state(path: Path, model: ClickModel, learner: Learner, *, rows: int) -> TrainingState:
    """Put the training on `rows` rows back to where `save_state` left it.

    A file that is damaged, of another model or not finite is reported and changes nothing: the training begins anew. An
    error of the machine (no permission, no memory) is raised, as the file may be good.
    """
    try:
        saved = load_tensors(path)
        check_form(saved, model, learner, rows=rows)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        logger.warning("the saved training state cannot be used (%s); training begins anew", first_line(error))
        return TrainingState()
    model.load_state_dict(saved["model"])
    learner.load_state_dict(saved)
    return TrainingState(
        history=[Epoch(**epoch) for epoch in saved["history"]],
        best_number=saved["best_number"],
        best_weights=saved["best_weights"],
        partial=None if saved["partial"] is None else PartialEpoch(**saved["partial"]),
    )


def generators(device: torch.device) -> dict[str, Tensor]:
    """States of the random generators that dropout on `device` draws from."""
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_generators(states: dict[str, Tensor], device: torch.device) -> None:
    """Put the generators back to what `generators` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:  # a partial epoch of a CPU has none
        torch.cuda.set_rng_state(states["cuda"], device)

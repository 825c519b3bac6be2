"""Whether a training still computes with finite numbers, without making a device wait for the answer at each step.

What is found is raised as FloatingPointError, and becomes the user's message in `diverged`.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mmctr.common.errors import InputError
from mmctr.compute.numerics import is_finite
from mmctr.training.recipe import Recipe
from mmctr.training.state import Epoch
from mmctr.training.step import Learner

TERMS = ("net_l2", "embedding_l2", "pairwise_weight")  # of the loss
LOOK_STEPS = 64  # steps after which their losses are looked at together


class DivergenceError(InputError):
    """A training has left the finite numbers; the message names the epoch and what of `Recipe` to change."""


def diverged(found: FloatingPointError, history: Sequence[Epoch], *, recipe: Recipe, epoch: int) -> DivergenceError:
    """The error of a training that diverged in `epoch`, after the validations of `history`."""
    names = ["learning_rate", "clip_norm", *(name for name in TERMS if getattr(recipe, name))]
    lower = [f"`{name}` ({getattr(recipe, name):g})" for name in names]
    remedy = f"lower {', '.join(lower[:-1])} or {lower[-1]}"
    before = [each for each in history if each.epoch < epoch]
    if before:
        best = max(each.valid_auc for each in before)
        remedy += f", or end before that epoch with `epochs = {epoch - 1}` (best validation AUC {best:.4f})"
    return DivergenceError(f"training must stay finite, it diverged in epoch {epoch}: {found}; {remedy}")


class Losses:
    """The losses of the latest steps, which are looked at now and then; the first that is not finite is named."""

    def __init__(self) -> None:
        self._latest: list[tuple[int, Tensor]] = []  # rows before the step, and its loss

    def add(self, loss: Tensor, *, rows: int) -> None:
        """Note the loss of a step, () on any device, before which `rows` rows of the epoch were trained on."""
        self._latest.append((rows, loss))
        if len(self._latest) >= LOOK_STEPS:
            self.look()

    def look(self) -> None:
        """Look at those that were not looked at yet.

        Raises:
            FloatingPointError: one of them is NaN or infinite.
        """
        if not self._latest:
            return
        losses = torch.stack([loss for _, loss in self._latest])
        wrong = (~losses.isfinite()).nonzero()
        if len(wrong):
            rows, loss = self._latest[int(wrong[0])]
            raise FloatingPointError(f"the loss of the step after {rows:,} rows is {float(loss)}")
        self._latest.clear()


def check_finite(model: nn.Module, learner: Learner) -> None:
    """Look at everything that a training state holds, before it replaces one that is good.

    Raises:
        FloatingPointError: a weight, a running average, its moving average or the optimizer's memory of one is NaN or
            infinite.
    """
    for name, tensor in _tensors(model, learner):
        if tensor.is_floating_point() and not is_finite(tensor):
            raise FloatingPointError(f"{name} is not finite")


def _tensors(model: nn.Module, learner: Learner) -> Iterator[tuple[str, Tensor]]:
    yield from model.state_dict().items()
    names: dict[Tensor, str] = {weight: name for name, weight in model.named_parameters()}
    for weight, memory in learner.optimizer.state.items():
        for kind, value in memory.items():
            if isinstance(value, Tensor):
                yield f"{kind} of {names[weight]}", value
    if learner.average is not None:
        for name, value in learner.average.values.items():
            yield f"the average of {name}", value

"""One step of the optimizer: smoothed labels, what else joins the loss, clipping, AdamW, the moving average."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import AdamW

from mmctr.clicks.batch import Batch
from mmctr.compute.numerics import autocast
from mmctr.models.base import ClickModel
from mmctr.training.average import WeightAverage
from mmctr.training.l2 import L2
from mmctr.training.pairwise import pairwise_loss
from mmctr.training.rate import Rate
from mmctr.training.recipe import Recipe


class Learner:
    """What changes a model's weights: AdamW and its rate, the L2 terms, and the moving average where there is one.

    Args:
        model: on the device to train on.
        recipe: how to train.
    """

    def __init__(self, model: ClickModel, *, recipe: Recipe) -> None:
        self.model = model
        self.optimizer = AdamW(trained(model), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
        self.rate, self.l2 = Rate(recipe), L2(model, recipe=recipe)
        self.average = WeightAverage(model, decay=recipe.ema_decay) if recipe.ema_decay else None
        self.clip_norm = recipe.clip_norm
        self.steps = 0

    @property
    def latest_rate(self) -> float:
        """The rate of the latest step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def begin(self) -> None:
        """Make the dense gradients that steps add to: the sparse one of the items is added in place, too."""
        for weight in trained(self.model):
            weight.grad = torch.zeros_like(weight)

    def step(self, loss: Tensor, *, share: float) -> None:
        """Lower `loss`, (), with `share` of the rows of all epochs trained on before."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate.at(self.steps, share=share)
        self.optimizer.zero_grad(set_to_none=False)
        loss.backward()
        self.l2.add_gradients()
        nn.utils.clip_grad_norm_(trained(self.model), self.clip_norm, foreach=True)
        self.optimizer.step()
        self.steps += 1
        if self.average is not None:
            self.average.update()

    def reset_embeddings(self, *, seed: int) -> None:
        """Draw the tables of ids and features anew; what AdamW remembers of them is gone, and an average begins anew.

        An average of tables before and after would be of two spaces, and so would that of the weights that read them.
        """
        self.model.reset_embeddings(seed)
        for table in self.model.id_tables():
            self.optimizer.state.pop(table.weight, None)
        if self.average is not None:
            self.average.begin_anew()

    def l2_loss(self) -> float | None:
        """The L2 terms of the loss; None where there are none.

        Raises:
            FloatingPointError: they are not finite.
        """
        found = self.l2.loss()
        if found is not None and not found.isfinite():
            raise FloatingPointError(f"the L2 terms of the loss are {float(found)}")
        return None if found is None else float(found)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Let the model have the weights that are evaluated and kept: their average, or those that it has."""
        with nullcontext() if self.average is None else self.average.in_place():
            yield

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs, beside the model's weights."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.rate.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was; the model has its weights from then already."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.rate.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.steps = state["steps"]


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The weights that are not frozen."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def train_step(model: ClickModel, batch: Batch, learner: Learner, *, recipe: Recipe, share: float = 0.0) -> Tensor:
    """One step on weights that have dense gradients already; returns the batch's mean cross-entropy alone.

    Of the terms that join it, the returned loss has none: it is to be compared with other recipes and with validation.
    """
    with autocast(model.device):
        logits = model(batch)
        loss = smoothed_loss(logits, batch.label, smoothing=recipe.label_smoothing)
        whole = loss
        if recipe.pairwise_weight:
            assert batch.label is not None
            assert batch.user is not None
            whole = loss + recipe.pairwise_weight * pairwise_loss(logits, batch.label, batch.user)
    learner.step(whole, share=share)
    return loss.detach()


def smoothed_loss(logits: Tensor, label: Tensor | None, *, smoothing: float) -> Tensor:
    """Mean binary cross-entropy of (B,) `logits` against (B,) labels drawn in from 0 and 1 by `smoothing`."""
    assert label is not None
    return binary_cross_entropy_with_logits(logits.float(), label * (1 - 2 * smoothing) + smoothing)

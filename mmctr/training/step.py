"""One step of the optimizer: smoothed labels, AdamW, clipping."""

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmctr.clicks.batch import Batch
from mmctr.compute.numerics import autocast
from mmctr.models.base import ClickModel
from mmctr.training.recipe import Recipe


def optimizer_and_schedule(model: ClickModel, *, recipe: Recipe) -> tuple[AdamW, ReduceLROnPlateau]:
    """AdamW on the weights that are trained, and the schedule that lowers its rate."""
    optimizer = AdamW(trained(model), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    schedule = ReduceLROnPlateau(
        optimizer, mode="max", factor=recipe.plateau_factor, patience=recipe.plateau_patience, threshold=0.0
    )
    return optimizer, schedule


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The weights that are not frozen."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def train_step(model: ClickModel, batch: Batch, optimizer: Optimizer, *, recipe: Recipe) -> Tensor:
    """One step of the optimizer on weights that have dense gradients already; returns the batch's mean loss."""
    with autocast(model.device):
        loss = smoothed_loss(model(batch), batch.label, smoothing=recipe.label_smoothing)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    nn.utils.clip_grad_norm_(trained(model), recipe.clip_norm, foreach=True)
    optimizer.step()
    return loss.detach()


def smoothed_loss(logits: Tensor, label: Tensor | None, *, smoothing: float) -> Tensor:
    """Mean binary cross-entropy of (B,) `logits` against (B,) labels drawn in from 0 and 1 by `smoothing`."""
    assert label is not None
    return binary_cross_entropy_with_logits(logits.float(), label * (1 - 2 * smoothing) + smoothing)

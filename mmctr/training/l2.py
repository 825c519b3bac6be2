"""L2 terms of the loss, apart for embedding tables and for all other weights."""

import torch
from torch import Tensor

from mmctr.models.base import ClickModel
from mmctr.training.recipe import Recipe


class L2:
    """`l2 / 2` times the sum of squares of the weights, whole tables at each step, whichever rows a batch touches.

    It is FuxiCTR's definition (`regularization_loss` of its models, version 2.3.7): what is in an embedding layer, a
    projection of given vectors included, has `embedding_l2`; every other trained weight has `net_l2`, biases, batch
    norm's scale and shift, and Dice's alpha included; frozen weights have none.

    Args:
        model: what its `embedding_weights` are counts as an embedding layer.
        recipe: with the two factors.
    """

    def __init__(self, model: ClickModel, *, recipe: Recipe) -> None:
        tables = {id(weight) for weight in model.embedding_weights()}
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        parts: list[tuple[float, list[Tensor]]] = [
            (recipe.embedding_l2, [weight for weight in weights if id(weight) in tables]),
            (recipe.net_l2, [weight for weight in weights if id(weight) not in tables]),
        ]
        self.parts = [(l2, weights) for l2, weights in parts if l2 and weights]

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the gradient of the terms to those of the weights, in place: `l2 * weight`, without autograd."""
        for l2, weights in self.parts:
            torch._foreach_add_([weight.grad for weight in weights if weight.grad is not None], weights, alpha=l2)

    @torch.no_grad()
    def loss(self) -> Tensor | None:
        """() float32 of the terms as they are now; None where there are none."""
        terms = [l2 / 2 * torch.stack(torch._foreach_norm(weights)).square().sum() for l2, weights in self.parts]
        return torch.stack(terms).sum() if terms else None

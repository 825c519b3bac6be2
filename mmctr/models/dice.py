"""Dice, the data-adaptive activation of the deep interest network."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Dice(nn.Module):
    """`f(s) = p(s) s + (1 - p(s)) alpha s` with `p(s) = sigmoid((s - E[s]) / sqrt(Var[s] + eps))`.

    Mean and variance are those of the batch while training and running averages afterwards; alpha is learned for each
    feature and starts at 0. Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
    section 5.3 (eps = 1e-8 as there).

    Input and output: (B, features) float. A batch of one row has no variance, and an empty one has no mean: both are
    normalised with the running averages, which they leave as they are.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, *, eps: float = 1e-8, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.alpha = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 0:  # PyTorch's kernel divides by the number of rows
            return x * self.alpha
        from_batch = self.training and len(x) > 1
        return _Dice.apply(
            x.to(self.alpha.dtype), self.alpha, self.running_mean, self.running_var, from_batch, self.momentum, self.eps
        )


class _Dice(torch.autograd.Function):
    """Dice with its gradient in closed form: half of the passes over x that autograd's chain of operations needs.

    With n the normalised x, p = sigmoid(n) and f = alpha + p (1 - alpha), y = x f. So dy/dalpha = x (1 - p), and dy/dx
    is f plus what batch norm's gradient makes of dy/dn = (1 - alpha) x p (1 - p).
    """

    @staticmethod
    def forward(  # the signature is PyTorch's
        ctx: Any,
        x: Tensor,
        alpha: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        from_batch: bool,
        momentum: float,
        eps: float,
    ) -> Tensor:
        normalised, *statistics = torch.native_batch_norm(
            x, None, None, running_mean, running_var, from_batch, momentum, eps
        )
        p = normalised.sigmoid_()
        ctx.save_for_backward(x, alpha, running_mean, running_var, p, *statistics)
        ctx.from_batch, ctx.eps = from_batch, eps
        return torch.addcmul(alpha, p, 1 - alpha).mul_(x)  # (B, features)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, alpha, running_mean, running_var, p, *statistics = ctx.saved_tensors
        for_x, for_alpha = ctx.needs_input_grad[:2]
        rest = grad * x
        rest.addcmul_(rest, p, value=-1)  # grad x (1 - p)
        grad_alpha = rest.sum(0) if for_alpha else None
        if not for_x:
            return None, grad_alpha, None, None, None, None, None
        through_p, _, _ = torch.ops.aten.native_batch_norm_backward(
            rest.mul_(p),
            x,
            1 - alpha,
            running_mean,
            running_var,
            *statistics,
            ctx.from_batch,
            ctx.eps,
            [True, False, False],
        )
        grad_x = through_p.addcmul_(grad, torch.addcmul(alpha, p, 1 - alpha))
        return grad_x, grad_alpha, None, None, None, None, None

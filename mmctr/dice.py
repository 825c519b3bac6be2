"""Dice, the data-adaptive activation of the deep interest network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        from_batch = self.training and len(x) > 1
        normalised = F.batch_norm(
            x, self.running_mean, self.running_var, training=from_batch, momentum=self.momentum, eps=self.eps
        )
        gate = torch.sigmoid(normalised)
        return x * (self.alpha + gate * (1 - self.alpha))  # (B, features)

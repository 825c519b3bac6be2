"""Losses of short trainings of one part of a model each, as the golden files of `tests/golden/parts` have them."""

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from mmctr.common.components import load_component

WIDTH, ROWS, STEPS = 10, 64, 20
HEADS = {
    "mlp": {"hidden": (8, 6), "activation": "relu", "batch_norm": True, "dropout": 0.2},
    "cross": {
        "layers": 2,
        "rank": 3,
        "structure": "parallel",
        "hidden": (8, 6),
        "activation": "dice",
        "batch_norm": False,
        "dropout": 0.1,
    },
    "quadratic": {"layers": 2, "maps": 3, "batch_norm": True, "dropout": 0.1},
}


def head(kind, **options):
    """A head as the golden files have it, but for `options`, with seeded weights."""
    torch.manual_seed(0)
    return load_component("mmctr.models.heads", kind)(WIDTH, **(HEADS[kind] | options))


def head_losses(kind):
    """One loss a step of a head that learns which rows lie where the product of two of their numbers is positive."""
    with torch.random.fork_rng(devices=[]):
        module = head(kind)
        optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        losses = []
        for _ in range(STEPS):
            x = torch.randn(ROWS, WIDTH)
            loss = binary_cross_entropy_with_logits(module(x), (x[:, 0] * x[:, 1] > 0).float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses

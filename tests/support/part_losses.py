"""Losses of short trainings of one part of a model each, as the golden files of `tests/golden/parts` have them."""

from dataclasses import replace

import numpy as np
import torch
from generated import architecture, click_split, item_table
from packed_rows import SEQUENCE
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from mmctr.common.components import load_component
from mmctr.models.architecture import Part
from mmctr.models.base import ClickModel

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


def sequence_losses(kind, *, steps=STEPS, told=True, rate=0.01, **options):
    """One loss a step of a model with this encoder alone, on clicks of targets that are like their history.

    Without `told` the model gets each history with the target of another row.
    """
    table = item_table(np.random.default_rng(0))
    split = click_split(np.random.default_rng(1), table, rows=steps * ROWS)
    vectors = normalize(torch.from_numpy(table.weights), dim=1)
    sizes = replace(architecture(table), sequence=[Part(kind, SEQUENCE[kind] | options)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ClickModel(sizes).train()
        model.set_items(table)
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight)  # a sparse gradient is added to it
        losses = []
        for start in range(0, len(split), ROWS):
            batch = split.slice(start, start + ROWS)
            alike = torch.linalg.vecdot(vectors[batch.history], vectors[batch.target][batch.row])
            label = (torch.zeros(ROWS).index_add(0, batch.row, alike) > 0).float()
            seen = batch if told else replace(batch, history=batch.history.flip(0))
            loss = binary_cross_entropy_with_logits(model(seen), label)
            optimizer.zero_grad(set_to_none=False)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return losses

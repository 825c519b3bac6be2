"""One pass over the training clicks, or the rest of one that was interrupted, and the look at the validation clicks.

Order and dropout are drawn from the seed and the epoch's number alone, so no state is needed between epochs; within an
epoch that of dropout is kept.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch.optim import Optimizer

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.placement import StreamedSplit
from mmctr.compute.memory import kept_memory
from mmctr.compute.numerics import deterministic
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.base import ClickModel
from mmctr.training.divergence import Losses, check_finite
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch, generators, set_generators
from mmctr.training.step import train_step, trained

SEED_STRIDE = 1_000_003  # a prime, so that seeds of different runs and epochs do not meet
SAVE_SECONDS = 60.0  # the most work that a killed training loses
BEGINNING = PartialEpoch(rows=0, loss_sum=0.0, generators={})


def train_epoch(
    model: ClickModel,
    train: ClickSplit | StreamedSplit,
    optimizer: Optimizer,
    *,
    recipe: Recipe,
    number: int,
    partial: PartialEpoch = BEGINNING,
    save: Callable[[PartialEpoch], None] = lambda _: None,
    save_seconds: float = SAVE_SECONDS,
    on_step: Callable[[int], None] = lambda _: None,
) -> float:
    """One pass over `train`, or the rest of a `partial` one; returns the mean loss of all rows.

    `save` is called every `save_seconds` with how far the epoch has come, and `on_step` after each step with its rows.

    Raises:
        FloatingPointError: a loss is not finite, or a weight that would be saved.
    """
    device, seed, rows = model.device, recipe.seed * SEED_STRIDE + number, partial.rows
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    loss_sum = torch.full((), partial.loss_sum, dtype=torch.float64, device=device)
    for weight in trained(model):
        weight.grad = torch.zeros_like(weight)  # the sparse gradient of the items is added to it in place
    losses = Losses()
    model.train()
    with deterministic(), kept_memory(), _dropout_of(seed, device, partial):
        saved = time.perf_counter()
        for batch in train.batches(recipe.batch_size, order=order[rows:]):
            loss = train_step(model, batch, optimizer, recipe=recipe)
            losses.add(loss, rows=rows)
            loss_sum += loss.double() * len(batch.target)
            rows += len(batch.target)
            on_step(len(batch.target))
            if time.perf_counter() - saved > save_seconds and rows < len(train):
                losses.look()
                check_finite(model, optimizer)
                save(PartialEpoch(rows, float(loss_sum), generators(device)))
                saved = time.perf_counter()
        losses.look()
    return float(loss_sum) / len(train)


@contextmanager
def _dropout_of(seed: int, device: torch.device, partial: PartialEpoch) -> Iterator[None]:
    """Let dropout draw from the seed, from where a partial epoch stopped; the generators are put back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        if partial.generators:
            set_generators(partial.generators, device)
        yield


def evaluate(model: ClickModel, valid: ClickSplit | StreamedSplit, *, recipe: Recipe) -> tuple[float, float]:
    """AUC and logloss of `valid`.

    Raises:
        FloatingPointError: a logit is not finite.
    """
    assert valid.label is not None
    logits = predict_logits(model, valid, batch_size=recipe.batch_size)
    if not np.isfinite(logits).all():
        raise FloatingPointError("a logit of the validation clicks is not finite")
    labels = valid.label.cpu().numpy()
    return auc(labels, logits), logloss(labels, logits)

"""A part of an epoch up to the next validation: all of it, or some steps, or the rest of one that was interrupted.

Order and dropout are drawn from the seed and the epoch's number alone, so no state is needed between epochs; within an
epoch that of dropout is kept.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.placement import StreamedSplit
from mmctr.compute.memory import kept_memory
from mmctr.compute.numerics import deterministic
from mmctr.evaluation.metrics import Figures, figures_of
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.base import ClickModel
from mmctr.training.divergence import Losses, check_finite
from mmctr.training.pairwise import ends_of_batches, users_in_turn
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch, generators, set_generators
from mmctr.training.step import Learner, train_step

SEED_STRIDE = 1_000_003  # a prime, so that seeds of different runs and epochs do not meet
SAVE_SECONDS = 60.0  # the most work that a killed training loses


def train_epoch(
    model: ClickModel,
    train: ClickSplit | StreamedSplit,
    learner: Learner,
    *,
    recipe: Recipe,
    partial: PartialEpoch,
    save: Callable[[PartialEpoch], None] = lambda _: None,
    save_seconds: float = SAVE_SECONDS,
    on_step: Callable[[int], None] = lambda _: None,
) -> PartialEpoch:
    """Train from `partial` on to the next validation; returns how far the epoch has come then.

    `save` is called every `save_seconds` with how far the epoch has come, and `on_step` after each step with its rows.

    Raises:
        FloatingPointError: a loss is not finite, or a weight that would be saved.
    """
    device, seed, rows = model.device, epoch_seed(recipe, partial.epoch), partial.rows
    order, ends = _order(train, recipe=recipe, seed=seed, done=rows)
    loss_sum, steps = torch.full((), partial.loss_sum, dtype=torch.float64, device=device), partial.steps
    losses = Losses()
    if rows == 0 and recipe.reset_embeddings and partial.epoch > 1:
        learner.reset_embeddings(seed=seed)
    learner.begin()
    model.train()

    def reached() -> PartialEpoch:
        loss_rows = partial.loss_rows + rows - partial.rows
        return PartialEpoch(partial.epoch, rows, float(loss_sum), loss_rows, steps, generators(device))

    with deterministic(), kept_memory(), _dropout_of(seed, device, partial):
        saved = time.perf_counter()
        for batch in train.batches(recipe.batch_size, order=order, ends=ends):
            share = (partial.epoch - 1 + rows / len(train)) / recipe.epochs
            loss = train_step(model, batch, learner, recipe=recipe, share=share)
            losses.add(loss, rows=rows)
            loss_sum += loss.double() * len(batch.target)
            rows, steps = rows + len(batch.target), steps + 1
            on_step(len(batch.target))
            if steps == recipe.validate_steps:
                break
            if time.perf_counter() - saved > save_seconds and rows < len(train):
                losses.look()
                check_finite(model, learner)
                save(reached())
                saved = time.perf_counter()
        losses.look()
        return reached()


def epoch_seed(recipe: Recipe, epoch: int) -> int:
    """Seed of all that is drawn for an epoch."""
    return recipe.seed * SEED_STRIDE + epoch


def _order(
    train: ClickSplit | StreamedSplit, *, recipe: Recipe, seed: int, done: int
) -> tuple[Tensor, list[int] | None]:
    """Row numbers of an epoch after the first `done` ones, and the ends of batches where they are not of one size."""
    if not recipe.pairwise_weight:
        return torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))[done:], None
    assert train.user is not None
    user = train.user.cpu()
    order = users_in_turn(user, seed=seed)[done:]
    return order, ends_of_batches(user[order].numpy(), recipe.batch_size)


@contextmanager
def _dropout_of(seed: int, device: torch.device, partial: PartialEpoch) -> Iterator[None]:
    """Let dropout draw from the seed, from where a partial epoch stopped; the generators are put back afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        if partial.generators:
            set_generators(partial.generators, device)
        yield


def evaluate(model: ClickModel, valid: ClickSplit | StreamedSplit, *, recipe: Recipe) -> Figures:
    """The figures of `valid`.

    Raises:
        FloatingPointError: a logit is not finite.
    """
    assert valid.label is not None
    logits = predict_logits(model, valid, batch_size=recipe.batch_size)
    if not np.isfinite(logits).all():
        raise FloatingPointError("a logit of the validation clicks is not finite")
    user = None if valid.user is None else valid.user.cpu().numpy()
    return figures_of(valid.label.cpu().numpy(), logits, user=user)

"""The training recipe: smoothed labels, AdamW, clipping, a plateau schedule and early stopping on validation AUC.

Every epoch draws its order and its dropout from the seed and the epoch's number alone, and the whole training is saved
after each epoch and each minute within one, so that a training that was killed goes on as if it had never stopped.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmctr.clicks.batch import Batch, ClickSplit
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.placement import StreamedSplit, placed_together
from mmctr.common.errors import InputError
from mmctr.compute.memory import kept_memory
from mmctr.compute.numerics import autocast, deterministic
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.checkpoint import Architecture, Checkpoint
from mmctr.models.din import DIN
from mmctr.training.divergence import Losses, check_finite, diverged
from mmctr.training.progress import TrainingProgress
from mmctr.training.recipe import Recipe
from mmctr.training.state import Begun, Epoch, Progress, generators, restore_state, save_state, set_generators
from mmctr.training.warm_start import start_from

SEED_STRIDE = 1_000_003  # a prime, so that seeds of different runs and epochs do not meet
SAVE_SECONDS = 60.0  # the most work that a killed training loses

logger = logging.getLogger(__name__)


def train_din(
    table: ItemTable,
    train: ClickSplit,
    valid: ClickSplit,
    *,
    architecture: Architecture,
    recipe: Recipe,
    max_len: int,
    device: str,
    earlier: Checkpoint | None = None,
    state: Path | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_rows: Callable[[int, int], None] = lambda *_: None,
    progress: bool | None = None,
) -> tuple[Checkpoint, list[Epoch]]:
    """Train a DIN that starts from `table` and give its best epoch as a checkpoint, with the figures of all.

    Initial weights are drawn from the recipe's seed, or are those of an `earlier` model (`warm_start`). `max_len`
    is what the splits were loaded with. The other arguments are those of `fit`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = architecture.build()
    model.set_item_table(torch.from_numpy(table.weights))
    if earlier is not None:
        start_from(model, table, earlier)
    done = fit(
        model.to(device),
        train,
        valid,
        recipe=recipe,
        state=state,
        on_epoch=on_epoch,
        on_rows=on_rows,
        progress=progress,
    )
    best = done.best
    checkpoint = Checkpoint(
        architecture=architecture,
        weights=done.best_weights,
        max_len=max_len,
        item_ids=torch.from_numpy(table.item_ids),
        metrics={"epoch": best.epoch, "valid_auc": best.valid_auc, "valid_logloss": best.valid_logloss},
    )
    return checkpoint, done.history


def fit(
    model: DIN,
    train: ClickSplit,
    valid: ClickSplit,
    *,
    recipe: Recipe,
    state: Path | None = None,
    save_seconds: float = SAVE_SECONDS,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_rows: Callable[[int, int], None] = lambda *_: None,
    progress: bool | None = None,
) -> Progress:
    """Train `model` in place and keep the weights of its best epoch.

    Args:
        model: on the device to train on; its weights are those of the last epoch afterwards.
        train: packed split with labels; it lies on the model's device meanwhile if it fits there, as `valid` does.
        valid: packed split with labels, both classes among them.
        recipe: how to train.
        state: file that holds the training meanwhile. Where it exists, training goes on from it.
        save_seconds: how often it is written within an epoch; it is written after each epoch too.
        on_epoch: called after each epoch, once its state is safe, and at the start for those of an earlier process.
        on_rows: called after each step with the rows that were trained on and those of all epochs that are allowed.
        progress: show a bar over all epochs; None shows it on a terminal, and lines in the log elsewhere.

    Returns:
        The epochs, those of an earlier process included, with the best epoch's weights on the CPU.

    Raises:
        InputError: the weights that it starts from are not finite.
        DivergenceError: a loss, a logit or a weight is not finite any more; `state` stays the last good one.
    """
    train_rows, valid_rows = placed_together([train, valid], model.device)
    optimizer, schedule = optimizer_and_schedule(model, recipe=recipe)
    try:
        check_finite(model, optimizer)
    except FloatingPointError as found:
        raise InputError(f"a training must start from finite weights: {found}; make the item vectors again") from None
    done = Progress()
    if state is not None and state.exists():
        done = restore_state(state, model, optimizer, schedule, rows=len(train))

    def save(begun: Begun | None) -> None:
        done.begun = begun
        if state is not None:
            save_state(state, model, optimizer, schedule, done)

    def one_epoch(number: int) -> Epoch:
        rate, trained = optimizer.param_groups[0]["lr"], done.begun.rows if done.begun else 0
        started = time.perf_counter()
        shown.begin(number)
        loss = train_epoch(
            model,
            train_rows,
            optimizer,
            recipe=recipe,
            number=number,
            begun=done.begun,
            save=save,
            save_seconds=save_seconds,
            on_step=shown.add,
        )
        speed = (len(train) - trained) / (time.perf_counter() - started)
        figures = evaluate(model, valid_rows, recipe=recipe)
        check_finite(model, optimizer)
        return Epoch(number, loss, *figures, rate, speed)

    for epoch in done.history:
        on_epoch(epoch)
    before = len(done.history) * len(train) + (done.begun.rows if done.begun else 0)
    with TrainingProgress(rows=len(train), epochs=recipe.epochs, done=before, show=progress, on_rows=on_rows) as shown:
        while len(done.history) < recipe.epochs and len(done.history) - done.best_epoch < recipe.patience:
            try:
                epoch = one_epoch(len(done.history) + 1)
            except FloatingPointError as found:
                raise diverged(found, done.history, recipe=recipe) from None
            schedule.step(epoch.valid_auc)
            done.add(epoch, model)
            save(None)
            on_epoch(epoch)
    if len(done.history) < recipe.epochs:
        logger.info(
            "stopped early after epoch %d of %d: none after epoch %d had a better validation AUC (patience %d)",
            *(len(done.history), recipe.epochs, done.best_epoch, recipe.patience),
        )
    return done


def optimizer_and_schedule(model: DIN, *, recipe: Recipe) -> tuple[AdamW, ReduceLROnPlateau]:
    """AdamW on the weights that are trained, and the schedule that lowers its rate."""
    optimizer = AdamW(trained(model), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    schedule = ReduceLROnPlateau(
        optimizer, mode="max", factor=recipe.plateau_factor, patience=recipe.plateau_patience, threshold=0.0
    )
    return optimizer, schedule


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The weights that are not frozen."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def evaluate(model: DIN, valid: ClickSplit | StreamedSplit, *, recipe: Recipe) -> tuple[float, float]:
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


def train_epoch(
    model: DIN,
    train: ClickSplit | StreamedSplit,
    optimizer: Optimizer,
    *,
    recipe: Recipe,
    number: int,
    begun: Begun | None = None,
    save: Callable[[Begun], None] = lambda _: None,
    save_seconds: float = SAVE_SECONDS,
    on_step: Callable[[int], None] = lambda _: None,
) -> float:
    """One pass over `train`, or the rest of one that was `begun`.

    The order of rows and dropout are drawn from the seed and the epoch's `number`. `save` is called every
    `save_seconds` with how far the epoch has come, and `on_step` after each step with its rows. Returns the mean loss
    of all rows.

    Raises:
        FloatingPointError: a loss is not finite, or a weight that would be saved.
    """
    device, seed = model.device, recipe.seed * SEED_STRIDE + number
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    rows = begun.rows if begun else 0
    loss_sum = torch.full((), begun.loss_sum if begun else 0.0, dtype=torch.float64, device=device)
    for weight in trained(model):
        weight.grad = torch.zeros_like(weight)  # the sparse gradient of the items is added to it in place
    losses = Losses()
    model.train()
    with deterministic(), kept_memory(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        if begun:
            set_generators(begun.generators, device)
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
                save(Begun(rows, float(loss_sum), generators(device)))
                saved = time.perf_counter()
        losses.look()
    return float(loss_sum) / len(train)


def train_step(model: DIN, batch: Batch, optimizer: Optimizer, *, recipe: Recipe) -> Tensor:
    """One step of the optimizer on weights that have dense gradients already; gives the batch's mean loss."""
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

"""The training recipe: smoothed labels, AdamW, clipping, a plateau schedule and early stopping on validation AUC.

Every epoch draws its order and its dropout from the seed and the epoch's number alone, and leaves its whole state in
a file, so that a training that was killed goes on at its next epoch as if it had never stopped.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from tqdm import tqdm

from mmctr.checkpoint import load_tensors, save_tensors
from mmctr.click_split import ClickSplit
from mmctr.din import DIN
from mmctr.metrics import auc, logloss
from mmctr.prediction import autocast, predict_logits

logger = logging.getLogger(__name__)

SEED_STRIDE = 1_000_003  # a prime, so that seeds of different runs and epochs do not meet
CLIP_NORM = 5.0


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the mission's.

    Attributes:
        epochs: upper bound.
        batch_size: rows a step.
        learning_rate, weight_decay: of AdamW (Loshchilov and Hutter, ICLR 2019).
        label_smoothing: e; the loss sees `label * (1 - 2 e) + e`.
        clip_norm: bound on the gradient's L2 norm.
        patience: epochs without a better validation AUC after which training stops.
        plateau_factor, plateau_patience: the rate is multiplied by the factor after more than this many such epochs.
        seed: of the order of rows and of dropout.
    """

    epochs: int = 20
    batch_size: int = 4096
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.01
    clip_norm: float = CLIP_NORM
    patience: int = 3
    plateau_factor: float = 0.5
    plateau_patience: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave; `epoch` counts from 1, `rows_per_second` is that of training alone."""

    epoch: int
    train_loss: float
    valid_auc: float
    valid_logloss: float
    learning_rate: float
    rows_per_second: float


@dataclass
class Progress:
    """Where a training stands between two epochs."""

    history: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def best(self) -> Epoch:
        """The epoch with the highest validation AUC, the first of equals."""
        return self.history[self.best_epoch - 1]


def fit(
    model: DIN,
    train: ClickSplit,
    valid: ClickSplit,
    *,
    recipe: Recipe,
    state: Path | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    progress: bool | None = None,
) -> Progress:
    """Train `model` in place and keep the weights of its best epoch.

    Args:
        model: on the device to train on; its weights are those of the last epoch afterwards.
        train: packed split with labels; it is moved to the model's device, as `valid` is.
        valid: packed split with labels, both classes among them.
        recipe: how to train.
        state: file that holds the training between epochs. Where it exists, training goes on from it.
        on_epoch: called after each epoch, once its state is safe, and at the start for those of an earlier process.
        progress: show a bar for each epoch; None shows it on a terminal only.

    Returns:
        The epochs, those of an earlier process included, with the best epoch's weights on the CPU.
    """
    device = model.items.weight.device
    train, valid = train.to(device), valid.to(device)
    optimizer = torch.optim.AdamW(
        [weight for weight in model.parameters() if weight.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=recipe.plateau_factor, patience=recipe.plateau_patience, threshold=0.0
    )
    done = Progress()
    if state is not None and state.exists():
        done = _restore(state, model, optimizer, schedule)
    for epoch in done.history:
        on_epoch(epoch)
    with _deterministic():
        while len(done.history) < recipe.epochs and len(done.history) - done.best_epoch < recipe.patience:
            epoch = _run_epoch(len(done.history) + 1, model, train, valid, optimizer, recipe=recipe, progress=progress)
            schedule.step(epoch.valid_auc)
            done.history.append(epoch)
            if done.best_epoch == 0 or epoch.valid_auc > done.best.valid_auc:
                done.best_epoch = epoch.epoch
                done.best_weights = {name: value.cpu().clone() for name, value in model.state_dict().items()}
            if state is not None:
                _save(state, model, optimizer, schedule, done)
            on_epoch(epoch)
    return done


def _run_epoch(
    number: int,
    model: DIN,
    train: ClickSplit,
    valid: ClickSplit,
    optimizer: torch.optim.Optimizer,
    *,
    recipe: Recipe,
    progress: bool | None,
) -> Epoch:
    learning_rate = optimizer.param_groups[0]["lr"]
    started = time.perf_counter()
    loss = train_epoch(model, train, optimizer, recipe=recipe, number=number, progress=progress)
    seconds = time.perf_counter() - started
    assert valid.label is not None
    logits = predict_logits(model, valid, batch_size=recipe.batch_size)
    labels = valid.label.cpu().numpy()
    return Epoch(
        epoch=number,
        train_loss=loss,
        valid_auc=auc(labels, logits),
        valid_logloss=logloss(labels, logits),
        learning_rate=learning_rate,
        rows_per_second=len(train) / seconds,
    )


def train_epoch(
    model: DIN,
    train: ClickSplit,
    optimizer: torch.optim.Optimizer,
    *,
    recipe: Recipe,
    number: int,
    progress: bool | None,
) -> float:
    """One pass over `train` in an order drawn from the seed and the epoch's `number`; returns the mean loss."""
    device = model.items.weight.device
    seed = recipe.seed * SEED_STRIDE + number
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed)).to(device)
    total = torch.zeros((), dtype=torch.float64, device=device)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    bar = tqdm(
        total=len(train),
        desc=f"epoch {number}",
        unit="row",
        unit_scale=True,
        disable=None if progress is None else not progress,
    )
    model.train()
    with bar, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for batch in train.batches(recipe.batch_size, order=order):
            with autocast(device):
                loss = smoothed_loss(model(batch), batch.label, smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, recipe.clip_norm, foreach=True)
            optimizer.step()
            total += loss.detach().double() * len(batch.target)
            bar.update(len(batch.target))
    return float(total) / len(train)


def smoothed_loss(logits: Tensor, label: Tensor | None, *, smoothing: float) -> Tensor:
    """Mean binary cross-entropy of (B,) `logits` against (B,) labels drawn in from 0 and 1 by `smoothing`."""
    assert label is not None
    return binary_cross_entropy_with_logits(logits.float(), label * (1 - 2 * smoothing) + smoothing)


@contextmanager
def _deterministic() -> Iterator[None]:
    """Ask PyTorch for kernels that give the same bits in every run, and take the setting back afterwards."""
    before, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def _save(path: Path, model: DIN, optimizer: Any, schedule: Any, done: Progress) -> None:
    save_tensors(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "history": [asdict(epoch) for epoch in done.history],
            "best_epoch": done.best_epoch,
            "best_weights": done.best_weights,
        },
        path,
    )


def _restore(path: Path, model: DIN, optimizer: Any, schedule: Any) -> Progress:
    """Load what `_save` wrote; a file that cannot be used is reported, and training begins anew."""
    device = model.items.weight.device
    fresh = copy.deepcopy((optimizer.state_dict(), schedule.state_dict())), model.state_dict()
    try:
        saved = load_tensors(path, device=device)
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        model.load_state_dict(saved["model"])
        history = [Epoch(**epoch) for epoch in saved["history"]]
        weights = {name: value.cpu() for name, value in saved["best_weights"].items()}
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        logger.warning("the saved training state cannot be used (%s); training begins anew", error)
        (optimizer_state, schedule_state), _ = fresh
        optimizer.load_state_dict(optimizer_state)
        schedule.load_state_dict(schedule_state)
        return Progress()
    return Progress(history=history, best_epoch=saved["best_epoch"], best_weights=weights)

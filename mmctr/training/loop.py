"""The training recipe: smoothed labels, AdamW, clipping, a plateau schedule and early stopping on validation AUC.

Every epoch draws its order and its dropout from the seed and the epoch's number alone, and the whole training is saved
after each validation and each minute between, so that a training that was killed goes on as if it had never stopped.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.feature_encoding import FeatureEncoding, fixed_encoding
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.placement import placed_together
from mmctr.clicks.users import check_users_known
from mmctr.inputs.features import MAX_LEN
from mmctr.inputs.layout import ClickColumns
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint import Checkpoint
from mmctr.models.items.fitting import fit_item_encoder
from mmctr.training.epoch import SAVE_SECONDS
from mmctr.training.progress import TrainingProgress
from mmctr.training.recipe import Recipe
from mmctr.training.state import Epoch, TrainingState
from mmctr.training.trainer import Trainer
from mmctr.training.warm_start import start_from


def train_model(
    table: ItemTable,
    train: ClickSplit,
    valid: ClickSplit,
    *,
    architecture: Architecture,
    recipe: Recipe,
    device: str,
    max_len: int = MAX_LEN,
    columns: ClickColumns = ClickColumns(),  # noqa: B008 it is frozen
    row_encoding: FeatureEncoding | None = None,
    item_encoding: FeatureEncoding = FeatureEncoding(),  # noqa: B008
    earlier: Checkpoint | None = None,
    state: Path | None = None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_rows: Callable[[int, int], None] = lambda *_: None,
    progress: bool | None = None,
) -> tuple[Checkpoint, list[Epoch]]:
    """Train a model that starts from `table` and return its best validation as a checkpoint, with all figures.

    Initial weights are drawn from the recipe's seed, or are those of an `earlier` model (`warm_start`). `max_len`,
    `columns` and `row_encoding` are what the splits were loaded with, and `item_encoding` is that of the features in
    `table`; the checkpoint keeps them. The other arguments are those of `fit`.
    """
    row_encoding = fixed_encoding(columns.features) if row_encoding is None else row_encoding
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = ClickModel(architecture)
        model.set_items(table)
        fit_item_encoder(model.items, train)
    if earlier is not None:
        start_from(model, table, earlier, row_encoding=row_encoding, item_encoding=item_encoding)
    model.to(device)
    reached = fit(
        model, train, valid, recipe=recipe, state=state, on_epoch=on_epoch, on_rows=on_rows, progress=progress
    )
    best = reached.best
    checkpoint = Checkpoint(
        architecture=architecture,
        weights=reached.best_weights,
        max_len=max_len,
        ids=table.ids,
        metrics=best.metrics,
        columns=columns,
        row_encoding=row_encoding,
        item_encoding=item_encoding,
        item_features=table.features,
    )
    return checkpoint, reached.history


def fit(
    model: ClickModel,
    train: ClickSplit,
    valid: ClickSplit,
    *,
    recipe: Recipe,
    state: Path | None = None,
    save_seconds: float = SAVE_SECONDS,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    on_rows: Callable[[int, int], None] = lambda *_: None,
    progress: bool | None = None,
) -> TrainingState:
    """Train `model` in place and keep the weights at its best validation.

    Args:
        model: on the device to train on; its weights are those of the last step afterwards, not averaged.
        train: packed split with labels; it is on the model's device meanwhile if it fits there, as `valid` is.
        valid: packed split with labels, both classes among them.
        recipe: how to train.
        state: file that holds the training meanwhile. Where it exists, training resumes from it.
        save_seconds: how often it is written within an epoch; it is written after each validation too.
        on_epoch: called after each validation, once its state is safe, and at the start for those of an earlier
            process.
        on_rows: called after each step with the rows that were trained on and those of all epochs that are allowed.
        progress: show a bar over all epochs; None shows it on a terminal, and lines in the log elsewhere.

    Returns:
        The validations, those of an earlier process included, with the weights at the best one on the CPU.

    Raises:
        InputError: the weights that it starts from are not finite, or a pairwise loss lacks users.
        DivergenceError: a loss, a logit or a weight is not finite any more; `state` stays the last good one.
    """
    check_users_known(train.user is not None, pairwise_weight=recipe.pairwise_weight)
    train_rows, valid_rows = placed_together([train, valid], model.device)
    trainer = Trainer(model, recipe=recipe, path=state, rows=len(train))
    for epoch in trainer.state.history:
        on_epoch(epoch)
    done = trainer.rows_done
    with TrainingProgress(rows=len(train), epochs=recipe.epochs, done=done, show=progress, on_rows=on_rows) as shown:
        while not trainer.is_over:
            shown.begin(trainer.reached.epoch)
            on_epoch(trainer.run(train_rows, valid_rows, save_seconds=save_seconds, on_step=shown.add))
    trainer.log_end()
    return trainer.state

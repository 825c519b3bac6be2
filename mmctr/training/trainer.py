"""A training under way: the model, its optimizer and schedule, and the file that it resumes from after a crash."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.placement import StreamedSplit
from mmctr.common.errors import InputError
from mmctr.models.base import ClickModel
from mmctr.training.divergence import check_finite, diverged
from mmctr.training.epoch import BEGINNING, evaluate, train_epoch
from mmctr.training.recipe import Recipe
from mmctr.training.state import Epoch, PartialEpoch, TrainingState, restore_state, save_state
from mmctr.training.step import optimizer_and_schedule

logger = logging.getLogger(__name__)


class Trainer:
    """Trains `model` in place, an epoch at a time, on splits of `rows` rows.

    Args:
        model: on the device to train on.
        recipe: how to train.
        path: of the state; None saves nothing. Where the file exists, training resumes from it.
        rows: of the training split.

    Raises:
        InputError: the weights that it starts from are not finite.
    """

    def __init__(self, model: ClickModel, *, recipe: Recipe, path: Path | None, rows: int) -> None:
        self.model, self.recipe, self.path, self.rows = model, recipe, path, rows
        self.optimizer, self.schedule = optimizer_and_schedule(model, recipe=recipe)
        try:
            check_finite(model, self.optimizer)
        except FloatingPointError as found:
            raise InputError(
                f"a training must start from finite weights: {found}; make the item vectors again"
            ) from None
        self.state = TrainingState()
        if path is not None and path.exists():
            self.state = restore_state(path, model, self.optimizer, self.schedule, rows=rows)

    @property
    def epochs(self) -> int:
        """Finished ones."""
        return len(self.state.history)

    @property
    def rows_done(self) -> int:
        """Rows that were trained on, those of all finished epochs and of a partial one."""
        return self.epochs * self.rows + (self.state.partial or BEGINNING).rows

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the last ones were no better."""
        return self.epochs >= self.recipe.epochs or self.epochs - self.state.best_epoch >= self.recipe.patience

    def run_epoch(
        self,
        train: ClickSplit | StreamedSplit,
        valid: ClickSplit | StreamedSplit,
        *,
        save_seconds: float,
        on_step: Callable[[int], None],
    ) -> Epoch:
        """Train one epoch, or the rest of a partial one, lower the rate on a plateau, and save the state.

        Raises:
            DivergenceError: a loss, a logit or a weight is not finite any more; the file stays the last good one.
        """
        number, rate = self.epochs + 1, self.optimizer.param_groups[0]["lr"]
        partial, started = self.state.partial or BEGINNING, time.perf_counter()
        try:
            loss = train_epoch(
                self.model,
                train,
                self.optimizer,
                recipe=self.recipe,
                number=number,
                partial=partial,
                save=self._save,
                save_seconds=save_seconds,
                on_step=on_step,
            )
            speed = (self.rows - partial.rows) / (time.perf_counter() - started)
            valid_auc, valid_logloss = evaluate(self.model, valid, recipe=self.recipe)
            check_finite(self.model, self.optimizer)
        except FloatingPointError as found:
            raise diverged(found, self.state.history, recipe=self.recipe) from None
        epoch = Epoch(number, loss, valid_auc, valid_logloss, rate, speed)
        self.schedule.step(valid_auc)
        self.state.add(epoch, self.model)
        self._save(None)
        return epoch

    def _save(self, partial: PartialEpoch | None) -> None:
        self.state.partial = partial
        if self.path is not None:
            save_state(self.path, self.model, self.optimizer, self.schedule, self.state)

    def log_early_end(self) -> None:
        """Say in the log why there were fewer epochs than allowed."""
        if self.epochs < self.recipe.epochs:
            logger.info(
                "stopped early after epoch %d of %d: none after epoch %d had a better validation AUC (patience %d)",
                *(self.epochs, self.recipe.epochs, self.state.best_epoch, self.recipe.patience),
            )

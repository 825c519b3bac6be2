"""A training under way: the model, what changes its weights, and the file that it resumes from after a crash."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.placement import StreamedSplit
from mmctr.common.errors import InputError
from mmctr.models.base import ClickModel
from mmctr.training.divergence import check_finite, diverged
from mmctr.training.epoch import evaluate, train_epoch
from mmctr.training.recipe import Recipe
from mmctr.training.state import Epoch, PartialEpoch, TrainingState, restore_state, save_state
from mmctr.training.step import Learner

logger = logging.getLogger(__name__)


class Trainer:
    """Trains `model` in place, from one validation to the next, on splits of `rows` rows.

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
        self.learner = Learner(model, recipe=recipe)
        try:
            check_finite(model, self.learner)
        except FloatingPointError as found:
            raise InputError(
                f"a training must start from finite weights: {found}; make the item vectors again"
            ) from None
        self.state = TrainingState()
        if path is not None and path.exists():
            self.state = restore_state(path, model, self.learner, rows=rows)

    @property
    def reached(self) -> PartialEpoch:
        """The epoch it is in, as far as that has come."""
        return self.state.partial or PartialEpoch(self.state.epochs + 1)

    @property
    def rows_done(self) -> int:
        """Rows that were trained on, those of all finished epochs and of a partial one."""
        return self.state.epochs * self.rows + self.reached.rows

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or the last validations were no better."""
        since_best = len(self.state.history) - self.state.best_number
        return self.state.epochs >= self.recipe.epochs or since_best >= self.recipe.patience

    def run(
        self,
        train: ClickSplit | StreamedSplit,
        valid: ClickSplit | StreamedSplit,
        *,
        save_seconds: float,
        on_step: Callable[[int], None],
    ) -> Epoch:
        """Train to the next validation, lower the rate on a plateau, and save the state.

        Raises:
            DivergenceError: a loss, a logit or a weight is not finite any more; the file stays the last good one.
        """
        begun, started = self.reached, time.perf_counter()
        try:
            reached = train_epoch(
                self.model,
                train,
                self.learner,
                recipe=self.recipe,
                partial=begun,
                save=self._save,
                save_seconds=save_seconds,
                on_step=on_step,
            )
            speed = (reached.rows - begun.rows) / (time.perf_counter() - started)
            check_finite(self.model, self.learner)
            with self.learner.averaged():
                epoch = self._validated(reached, valid, rows_per_second=speed)
                self.state.add(epoch, self.model)
        except FloatingPointError as found:
            raise diverged(found, self.state.history, recipe=self.recipe, epoch=begun.epoch) from None
        self.learner.rate.validated(epoch.valid_auc)
        is_whole = reached.rows == self.rows
        self._save(None if is_whole else replace(reached, loss_sum=0.0, loss_rows=0, steps=0))
        return epoch

    def _validated(self, reached: PartialEpoch, valid: ClickSplit | StreamedSplit, *, rows_per_second: float) -> Epoch:
        """The figures of the weights that the model has."""
        found, l2_loss = evaluate(self.model, valid, recipe=self.recipe), self.learner.l2_loss()
        return Epoch(
            epoch=reached.epoch,
            train_loss=reached.loss,
            valid_auc=found.auc,
            valid_logloss=found.logloss,
            learning_rate=self.learner.latest_rate,
            rows_per_second=rows_per_second,
            valid_normalised_entropy=found.normalised_entropy,
            valid_gauc=found.gauc,
            l2_loss=l2_loss,
            step=self.learner.steps if self.recipe.validate_steps else None,
        )

    def _save(self, partial: PartialEpoch | None) -> None:
        self.state.partial = partial
        if self.path is not None:
            save_state(self.path, self.model, self.learner, self.state)

    def log_end(self) -> None:
        """Say in the log why there were fewer epochs than allowed, and that probabilities are worse than a constant."""
        state, recipe = self.state, self.recipe
        if state.epochs < recipe.epochs:
            logger.info(
                "stopped early after %s of %d: none after %s had a better validation AUC (patience %d)",
                *(state.history[-1].name, recipe.epochs, state.best.name, recipe.patience),
            )
        entropy = state.best.valid_normalised_entropy
        if entropy is not None and entropy > 1:
            logger.warning(
                "the best model (%s, validation AUC %.4f) gives probabilities that are worse than the base rate alone: "
                "logloss %.4f is %.2f times that of the base rate (normalised entropy), mostly as a model is too sure "
                "of itself; regularise it (`net_l2`, `embedding_l2`, `weight_decay`, dropout), lower `learning_rate` "
                "or `epochs`, or use its predictions as a ranking alone",
                *(state.best.name, state.best.valid_auc, state.best.valid_logloss, entropy),
            )

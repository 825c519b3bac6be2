"""The learning rate over a training: warm-up, and a plateau, a cosine or nothing."""

import math
from typing import Any

from mmctr.training.recipe import Recipe

LEAST_FALL = 1e-8  # a smaller one on a plateau is left out, as PyTorch's ReduceLROnPlateau has it


class Rate:
    """The rate of each step.

    On a plateau of the validation AUC it falls as with PyTorch's ReduceLROnPlateau of mode max and threshold 0. The
    cosine is that of Loshchilov and Hutter, ICLR 2017, without restarts. Warm-up multiplies what there is.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.level = recipe.learning_rate
        self.best, self.worse = -math.inf, 0  # best validation AUC, and validations since

    def at(self, step: int, *, share: float) -> float:
        """The rate of the step after `step` others, with `share` of the rows of all epochs trained on before it."""
        rate = self.level
        if self.recipe.schedule == "cosine":
            rate *= (1 + math.cos(math.pi * share)) / 2
        if step < self.recipe.warmup_steps:
            rate *= (step + 1) / self.recipe.warmup_steps
        return rate

    def validated(self, valid_auc: float) -> None:
        """Note a validation, and fall on a plateau."""
        if self.recipe.schedule != "plateau":
            return
        if valid_auc > self.best:
            self.best, self.worse = valid_auc, 0
        else:
            self.worse += 1
        if self.worse > self.recipe.plateau_patience:
            lower, self.worse = self.level * self.recipe.plateau_factor, 0
            self.level = lower if self.level - lower > LEAST_FALL else self.level

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""
        return {"level": self.level, "best": self.best, "worse": self.worse}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was."""
        self.level, self.best, self.worse = state["level"], state["best"], state["worse"]

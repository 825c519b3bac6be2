"""What a file of a training must hold, before any of it is put into the training that is to go on."""

from itertools import pairwise
from math import isnan
from typing import Any

import torch
from torch import Tensor

from mmctr.common.text import shown_value
from mmctr.compute.numerics import is_finite
from mmctr.models.base import ClickModel
from mmctr.training.step import Learner

FIGURES = {
    "epoch": 1,
    "train_loss": 0.0,
    "valid_auc": 0.0,
    "valid_logloss": 0.0,
    "learning_rate": 0.0,
    "rows_per_second": 0.0,
    "valid_normalised_entropy": 0.0,
    "valid_gauc": 0.0,
    "l2_loss": 0.0,
    "step": 1,
}  # of a validation
OPTIONAL = ("valid_normalised_entropy", "valid_gauc", "l2_loss", "step")  # those that may be missing: None


def check_form(saved: dict[str, Any], model: ClickModel, learner: Learner, *, rows: int) -> None:
    """Refuse what `save_state` does not write for these two.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: in a few words.
    """
    weights = model.state_dict()
    _check_like(saved["model"], weights, "model")
    own = learner.state_dict()
    for name in own.keys() - {"optimizer"}:
        _check_like(saved[name], own[name], name)
    _check_optimizer(saved["optimizer"], learner)
    _check_history(saved, weights)
    if saved["partial"] is not None:
        _check_partial(saved["partial"], saved["history"], rows=rows)


def _check_optimizer(saved: dict[str, Any], learner: Learner) -> None:
    _check_like(saved["param_groups"], learner.optimizer.state_dict()["param_groups"], "optimizer")
    sizes = [weight for group in learner.optimizer.param_groups for weight in group["params"]]
    for number, memory in saved["state"].items():
        like = {"step": torch.zeros(()), "exp_avg": sizes[number], "exp_avg_sq": sizes[number]}
        _check_like(memory, like, f"optimizer's memory {number}")


def _check_history(saved: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """The validations: epochs one after the other, one validation of each, or several at later and later steps."""
    history, best = saved["history"], saved["best_number"]
    for figures in history:
        missing = {name: None for name in OPTIONAL if figures[name] is None}
        _check_like(figures, FIGURES | missing, "history")
    places = [(0, 0), *((figures["epoch"], figures["step"] or 0) for figures in history)]
    in_turn = all(first < second and second[0] - first[0] <= 1 for first, second in pairwise(places))
    if not in_turn or (history and history[0]["epoch"] != 1):
        raise ValueError("history must be all epochs, one after the other")
    if type(best) is not int or not min(1, len(history)) <= best <= len(history):
        raise ValueError("best_number must be one of them")
    _check_like(saved["best_weights"], weights if history else {}, "best_weights")


def _check_partial(partial: dict[str, Any], history: list[dict[str, Any]], *, rows: int) -> None:
    """The epoch it is in: the next one, or that of the latest validation."""
    state = torch.get_rng_state()
    known = {name: state if name == "cpu" else other for name, other in partial["generators"].items()}
    counts = {"epoch": 1, "rows": 0, "loss_sum": 0.0, "loss_rows": 0, "steps": 0}
    _check_like(partial, {**counts, "generators": {"cpu": state, **known}}, "partial")
    latest = history[-1]["epoch"] if history else 0
    if partial["epoch"] not in (latest, latest + 1) or not 0 < partial["rows"] < rows:
        raise ValueError(f"partial must be within the {rows} rows of an epoch, the next one")
    if not 0 <= partial["loss_rows"] <= partial["rows"] or partial["steps"] < 0:
        raise ValueError("partial must count rows and steps of its epoch")


def _check_like(found: Any, like: Any, name: str) -> None:
    """Refuse what differs from `like` in kind, names, shapes or types of its values, or is not finite."""
    if isinstance(like, Tensor):
        same = isinstance(found, Tensor) and (found.shape, found.dtype) == (like.shape, like.dtype)
        if not same or (found.is_floating_point() and not is_finite(found)):
            raise ValueError(f"{name} must be {tuple(like.shape)} finite numbers of {like.dtype}")
    elif isinstance(like, dict):
        if not isinstance(found, dict) or found.keys() != like.keys():
            raise ValueError(f"{name} must have other parts")
        for part, value in like.items():
            _check_like(found[part], value, f"{name} {part}")
    elif isinstance(like, list | tuple):
        if type(found) is not type(like) or len(found) != len(like):
            raise ValueError(f"{name} must have {len(like)} parts")
        for mine, other in zip(found, like, strict=True):
            _check_like(mine, other, name)
    elif type(found) is not type(like) or (isinstance(found, float) and isnan(found)):
        raise ValueError(f"{name} must be a {type(like).__name__}, found {shown_value(found)}")

"""Peers that are no click models of this project: how popular an item is, and LightGBM on counts and features.

Legend: R rows of a split, V items of the table, D width of their vectors.
"""

import time
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from quality_data import Opened
from quality_model import Outcome
from side_by_side import MissingPeer

from mmctr.clicks.batch import ClickSplit

LEAVES, FOLDS = 31, 5
RATE = 1  # the column of the rate of positives
SMOOTHING = 20.0  # rows of the average item that the rate of an item begins with
Floats = npt.NDArray[np.float64]


def popularity(data: Opened, *, seed: int) -> Outcome:  # noqa: ARG001 the signature is that of all peers
    """How often an item is a target of train or in its histories, as the logit of a rate that is fitted to train.

    It has no seed: all of them are equal.
    """
    started = time.process_time()
    logs = np.log1p(in_histories(data))
    x = [logs[split.target.numpy()] for split in (data.train, data.valid, data.test)]
    slope, offset = _logistic(x[0], data.train.label.numpy().astype(np.float64))
    took = {"cpu_seconds": time.process_time() - started, "parameters": 2}
    return Outcome(slope * x[1] + offset, slope * x[2] + offset, took)


def in_histories(data: Opened) -> Floats:
    """(V + 1,) in how many history places of train each item is."""
    return np.bincount(data.train.history.numpy(), minlength=len(data.items.weights)).astype(np.float64)


def _logistic(x: Floats, y: Floats) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(x[:, None], y)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def lightgbm(data: Opened, *, seed: int) -> Outcome:
    """Gradient boosted trees, stopped early on the AUC of valid.

    Where train's negatives come from other items than those of valid, the rate of positives misleads: the trees are
    grown with it and without it, and those that are better on valid count.

    Raises:
        MissingPeer: LightGBM is not installed.
    """
    try:
        library = import_module("lightgbm")
    except ImportError as error:
        raise MissingPeer(f"LightGBM 4.7 (pip install '.[bench]'): {error}") from None
    started = time.process_time()
    table = {name: columns(data, getattr(data, name), is_train=name == "train") for name in ("train", "valid", "test")}
    fitted = {column: _trees(library, table, data, without=column, seed=seed) for column in (None, RATE)}
    column, model = max(fitted.items(), key=lambda one: one[1].best_score_["valid_0"]["auc"])
    took = {"cpu_seconds": time.process_time() - started, "parameters": model.booster_.num_trees() * LEAVES}
    scores = [model.predict(_without(table[name], column), raw_score=True) for name in ("valid", "test")]
    return Outcome(*scores, took)


def _trees(library: ModuleType, table: dict[str, Floats], data: Opened, *, without: int | None, seed: int) -> Any:
    model = library.LGBMClassifier(
        n_estimators=2000,
        learning_rate=0.05,
        num_leaves=LEAVES,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        reg_lambda=1.0,
        metric="auc",
        random_state=seed,
        n_jobs=1,
        verbose=-1,
    )
    return model.fit(
        _without(table["train"], without),
        data.train.label.numpy(),
        eval_X=_without(table["valid"], without),
        eval_y=data.valid.label.numpy(),
        callbacks=[library.early_stopping(50, verbose=False)],
    )


def _without(table: Floats, column: int | None) -> Floats:
    return table if column is None else np.delete(table, column, axis=1)


def columns(data: Opened, split: ClickSplit, *, is_train: bool) -> Floats:
    """(R, ...) counts, similarities and features of each row.

    How often the target is in train's histories, its smoothed rate of positives, the length of the history, how popular
    its items are, the greatest and the mean cosine of their vectors with the target's and the share above a half, and
    the features of target and row.
    """
    target, rows = split.target.numpy(), len(split)
    row = np.repeat(np.arange(rows), np.diff(split.offsets.numpy()))
    history, lengths = split.history.numpy(), np.maximum(np.diff(split.offsets.numpy()), 1)
    logs = np.log1p(in_histories(data))
    vectors = data.items.weights / np.maximum(np.linalg.norm(data.items.weights, axis=1, keepdims=True), 1e-12)
    cosine = np.einsum("nd,nd->n", vectors[target[row]], vectors[history]).astype(np.float64)
    greatest = np.full(rows, -1.0)
    np.maximum.at(greatest, row, cosine)
    found = [
        logs[target],
        _rate(data, split, is_train=is_train),
        np.diff(split.offsets.numpy()),
        np.bincount(row, weights=logs[history], minlength=rows) / lengths,
        greatest,
        np.bincount(row, weights=cosine, minlength=rows) / lengths,
        np.bincount(row, weights=(cosine > 0.5), minlength=rows) / lengths,
        *data.items.feature_ids[target].T,
        *data.items.feature_numbers[target].T,
        *split.feature_ids.numpy().T,
        *split.feature_numbers.numpy().T,
    ]
    return np.column_stack(found)


def _rate(data: Opened, split: ClickSplit, *, is_train: bool) -> Floats:
    """(R,) share of positives among train's rows with the same target, drawn in to the average.

    For a row of train it is that of the rows of other users, a fifth of them left out at a time: its own label would
    tell on itself.
    """
    target = split.target.numpy()
    if not is_train:
        return _rates(data, np.ones(len(data.train), dtype=bool))[target]
    fold, found = data.users["train"] % FOLDS, np.zeros(len(split))
    for number in range(FOLDS):
        found[fold == number] = _rates(data, fold != number)[target[fold == number]]
    return found


def _rates(data: Opened, chosen: npt.NDArray[np.bool_]) -> Floats:
    """(V + 1,) smoothed share of positives of each target among the `chosen` rows of train."""
    label, target = data.train.label.numpy()[chosen].astype(np.float64), data.train.target.numpy()[chosen]
    size = len(data.items.weights)
    positives, rows = np.bincount(target, weights=label, minlength=size), np.bincount(target, minlength=size)
    return (positives + SMOOTHING * label.mean()) / (rows + SMOOTHING)

"""How good a trained model is on clicks with labels, whichever data it was trained on, and how far two differ."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from mmctr.clicks.item_table import PADDING_IDX
from mmctr.clicks.placement import placed
from mmctr.clicks.split import load_split
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.prediction import predict_logits
from mmctr.inputs.files import Files
from mmctr.inputs.layout import ClickColumns, HeldOut
from mmctr.models.checkpoint import Checkpoint, restore_model

NORMAL_95 = 1.96  # standard errors on either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Score:
    """Figures on one split, and the (n,) labels and logits that they come from."""

    auc: float
    logloss: float
    labels: npt.NDArray[np.generic] = field(repr=False, compare=False)
    logits: npt.NDArray[np.floating] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Answers:
    """What a model says of (R,) rows: logits; which targets it knows; the labels, where they were read."""

    logits: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.float32] | None


def answer(
    checkpoint: Checkpoint,
    clicks: Files,
    *,
    device: str,
    columns: ClickColumns | None = None,
    with_label: bool = False,
    held_out: HeldOut | None = None,
    batch_size: int = 8192,
) -> Answers:
    """Logits of `checkpoint` for every row of a click log, in its order.

    The model is served as it would be in production: with its own id map and encodings, so that items and values that
    it does not know are unknown.

    Args:
        checkpoint: the model.
        clicks: the files of the click log.
        device: to compute on.
        columns: names of the log's columns; None are those that the model was trained with. Its features are always
            read by their own names.
        with_label: read the labels too.
        held_out: which part of the rows, where users are held out; None reads all.
        batch_size: rows a step.

    Raises:
        InputError: the files cannot be read, a feature is missing, or the weights do not fit their architecture.
    """
    split = load_split(
        clicks,
        table=checkpoint.table,
        columns=checkpoint.columns if columns is None else replace(columns, features=checkpoint.columns.features),
        encoding=checkpoint.row_encoding,
        max_len=checkpoint.max_len,
        with_label=with_label,
        held_out=held_out,
    )
    model = restore_model(checkpoint).to(device)
    return Answers(
        logits=predict_logits(model, placed(split, model.device), batch_size=batch_size),
        known=split.target.numpy() != PADDING_IDX,
        labels=None if split.label is None else split.label.numpy(),
    )


def score_checkpoint(
    checkpoint: Checkpoint,
    clicks: Files,
    *,
    device: str,
    columns: ClickColumns | None = None,
    held_out: HeldOut | None = None,
    batch_size: int = 8192,
) -> Score:
    """AUC and logloss of `checkpoint` on a click log with labels of both classes; arguments as those of `answer`.

    Raises:
        InputError: as `answer` has it.
    """
    found = answer(
        checkpoint, clicks, device=device, columns=columns, with_label=True, held_out=held_out, batch_size=batch_size
    )
    labels, logits = found.labels, found.logits
    assert labels is not None
    return Score(auc=auc(labels, logits), logloss=logloss(labels, logits), labels=labels, logits=logits)


def auc_difference_interval(
    labels: npt.NDArray[np.generic], first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> tuple[float, float]:
    """95 % interval of AUC(first) - AUC(second), two models' scores of the same rows.

    The variance is that of DeLong et al. 1988 for paired scores, by mid-ranks (Sun and Xu 2014): nothing is drawn. With
    less than two rows of a class the interval is everything.

    Args:
        labels: (n,) of 0 and 1.
        first: (n,) scores of one model, finite.
        second: (n,) scores of the other one.
    """
    positives, negatives = _classes(labels)
    if min(positives, negatives) < 2:
        return -1.0, 1.0
    ours, theirs = _shares(labels, first), _shares(labels, second)
    of_positives, of_negatives = (mine - other for mine, other in zip(ours, theirs, strict=True))
    difference, half = float(of_positives.mean()), NORMAL_95 * _deviation(of_positives, of_negatives)
    return difference - half, difference + half


def auc_standard_error(labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating]) -> float:
    """Standard error of the AUC of (n,) finite `scores`, by DeLong et al. 1988; rows are taken to be independent.

    Raises:
        ValueError: there are less than two rows of a class.
    """
    positives, negatives = _classes(labels)
    if min(positives, negatives) < 2:
        raise ValueError(f"two rows of each class are needed, found {positives} positive and {negatives} negative ones")
    return _deviation(*_shares(labels, scores))


def _classes(labels: npt.NDArray[np.generic]) -> tuple[int, int]:
    """Positive and negative rows."""
    positives = int(labels.astype(bool).sum())
    return positives, len(labels) - positives


def _shares(
    labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Of each positive row the share of negatives that it is ranked above, of each negative one that of positives."""
    positive = labels.astype(bool)
    positives, negatives = _classes(labels)
    ranks = rankdata(scores)
    of_positives = (ranks[positive] - rankdata(scores[positive])) / negatives
    return of_positives, 1 - (ranks[~positive] - rankdata(scores[~positive])) / positives


def _deviation(of_positives: npt.NDArray[np.float64], of_negatives: npt.NDArray[np.float64]) -> float:
    """Standard deviation of the mean of both."""
    return float(np.sqrt(sum(shares.var(ddof=1) / len(shares) for shares in (of_positives, of_negatives))))

"""AUC, gAUC, logloss and normalised entropy of a split, exact, in float64."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


def auc(labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve: the chance that a positive row is ranked above a negative one, ties counting half.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) logits or probabilities; only their order matters.

    Raises:
        ValueError: only one class is there, or a score is NaN.
    """
    positive = labels.astype(bool)
    if np.isnan(scores).any():
        raise ValueError("AUC needs scores without NaN")
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        raise ValueError(f"AUC needs both classes, found {positives} positive and {negatives} negative rows")
    order = np.argsort(scores)
    ranked, hits = scores[order], positive[order]
    last_of_tie = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    hits_upto = np.cumsum(hits)[last_of_tie]  # positives at or below each distinct score
    rows_upto = last_of_tie + 1
    tie_hits = np.diff(hits_upto, prepend=0)
    misses_upto = rows_upto - hits_upto
    tie_misses = np.diff(misses_upto, prepend=0)
    doubled = tie_hits * (2 * misses_upto - tie_misses)  # integers: twice the pairs that are ordered rightly
    return float(int(doubled.sum()) / (2 * positives * negatives))


def logloss(labels: npt.NDArray[np.generic], logits: npt.NDArray[np.floating]) -> float:
    """Mean binary cross-entropy in nats of (n,) `logits` against (n,) `labels` of 0 and 1."""
    z = logits.astype(np.float64)
    return float(np.mean(np.logaddexp(0.0, z) - labels.astype(np.float64) * z))


def normalised_entropy(labels: npt.NDArray[np.generic], logits: npt.NDArray[np.floating]) -> float:
    """Logloss of (n,) `logits` divided by that of the base rate of (n,) `labels`: 1 is as good as a constant.

    Source: He et al., "Practical lessons from predicting clicks on ads at Facebook", ADKDD 2014, section 3.

    Raises:
        ValueError: only one class is there.
    """
    rate = float(np.mean(labels.astype(np.float64)))
    if not 0 < rate < 1:
        raise ValueError(f"normalised entropy needs both classes, found a share of {rate:g} positive rows")
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return logloss(labels, logits) / float(entropy)


def grouped_auc(
    labels: npt.NDArray[np.generic], scores: npt.NDArray[np.floating], groups: npt.NDArray[np.integer]
) -> float | None:
    """gAUC: the mean AUC within each group, weighted by its rows, over the groups that have both classes.

    Source: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018, section 6.2, where a group
    is a user and a row is an impression.

    Args:
        labels: (n,) of 0 and 1.
        scores: (n,) logits or probabilities; only their order within a group matters.
        groups: (n,) number of each row's group.

    Returns:
        None where no group has both classes.

    Raises:
        ValueError: a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("gAUC needs scores without NaN")
    order = np.lexsort((scores, groups))
    group, ranked, hits = groups[order], scores[order], labels[order].astype(bool)
    if not len(group):
        return None
    last_of_group = np.append(group[1:] != group[:-1], True)
    last_of_tie = np.flatnonzero(last_of_group | np.append(ranked[1:] != ranked[:-1], True))
    ends = np.flatnonzero(last_of_group)
    rows = np.diff(ends, prepend=-1)
    positives = np.diff(np.cumsum(hits)[ends], prepend=0)
    negatives = rows - positives

    tie_rows = np.diff(last_of_tie, prepend=-1)
    hits_upto = np.cumsum(hits)[last_of_tie]
    tie_hits = np.diff(hits_upto, prepend=0)
    misses_upto = last_of_tie + 1 - hits_upto
    of_tie = np.searchsorted(ends, last_of_tie)  # the group of each tie
    misses_before = np.append(0, np.cumsum(negatives)[:-1])[of_tie]  # those of the groups before it
    doubled = tie_hits * (2 * (misses_upto - misses_before) - (tie_rows - tie_hits))
    ordered = np.bincount(of_tie, weights=doubled, minlength=len(ends)) / 2  # pairs of each group in the right order
    both = (positives > 0) & (negatives > 0)
    if not both.any():
        return None
    return float(np.average(ordered[both] / (positives[both] * negatives[both]), weights=rows[both]))


@dataclass(frozen=True)
class Figures:
    """How good logits are; `gauc` is None where users are not known, or none has both classes."""

    auc: float
    logloss: float
    normalised_entropy: float
    gauc: float | None


def figures_of(
    labels: npt.NDArray[np.generic],
    logits: npt.NDArray[np.floating],
    *,
    user: npt.NDArray[np.integer] | None = None,
) -> Figures:
    """All figures of (n,) finite `logits` against (n,) `labels` of both classes; `user` numbers the users of the rows.

    Raises:
        ValueError: as `auc` has it.
    """
    return Figures(
        auc=auc(labels, logits),
        logloss=logloss(labels, logits),
        normalised_entropy=normalised_entropy(labels, logits),
        gauc=None if user is None else grouped_auc(labels, logits, user),
    )

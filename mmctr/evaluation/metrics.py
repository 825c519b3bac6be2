"""AUC and logloss of a split, exact, in float64."""

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

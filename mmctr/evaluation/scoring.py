"""How good a trained model is on clicks with labels, whichever data it was trained on, and how far two differ."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from mmctr.clicks.placement import placed
from mmctr.clicks.split import load_split
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.checkpoint import Checkpoint, restore_model

NORMAL_95 = 1.96  # standard errors on either side that hold 95 % of a normal distribution


@dataclass(frozen=True)
class Score:
    """Figures on one split, and the (n,) labels and logits that they come from."""

    auc: float
    logloss: float
    labels: npt.NDArray[np.generic] = field(repr=False, compare=False)
    logits: npt.NDArray[np.floating] = field(repr=False, compare=False)


def score_checkpoint(checkpoint: Checkpoint, clicks: Path, *, device: str, batch_size: int = 8192) -> Score:
    """AUC and logloss of `checkpoint` on the click log in the parquet file `clicks`, which has labels of both classes.

    The model is served as it would be in production: with its own id map, so that items it does not know are unknown.

    Raises:
        InputError: the file cannot be read, or the checkpoint's weights do not fit its architecture.
    """
    split = load_split(clicks, table=checkpoint.table, max_len=checkpoint.max_len, with_label=True)
    assert split.label is not None
    labels = split.label.numpy()
    model = restore_model(checkpoint).to(device)
    logits = predict_logits(model, placed(split, model.device), batch_size=batch_size)
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
    positive = labels.astype(bool)
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if min(positives, negatives) < 2:
        return -1.0, 1.0
    of_positives, of_negatives = np.zeros(positives), np.zeros(negatives)  # differences of each row's share in the AUC
    for sign, scores in ((1, first), (-1, second)):
        ranks = rankdata(scores)
        of_positives += sign * (ranks[positive] - rankdata(scores[positive])) / negatives
        of_negatives += sign * (1 - (ranks[~positive] - rankdata(scores[~positive])) / positives)
    variance = of_positives.var(ddof=1) / positives + of_negatives.var(ddof=1) / negatives
    difference, half = float(of_positives.mean()), NORMAL_95 * float(np.sqrt(variance))
    return difference - half, difference + half

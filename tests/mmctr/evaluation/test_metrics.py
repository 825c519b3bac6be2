import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from mmctr.evaluation.metrics import auc, logloss


@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=40))
def test_auc_counts_pairs(rows):
    labels = np.array([label for label, _ in rows], dtype=np.float32)
    scores = np.array([score for _, score in rows], dtype=np.float32)
    positive, negative = scores[labels == 1], scores[labels == 0]
    if len(positive) == 0 or len(negative) == 0:
        with pytest.raises(ValueError, match="both classes"):
            auc(labels, scores)
        return
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs), abs=1e-15)


def test_auc_and_logloss_equal_scikit_learn():
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.25
    logits = (rng.normal(size=20_000) + labels).astype(np.float32).round(2)  # rounded, so that there are many ties
    assert auc(labels, logits) == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    assert logloss(labels, logits) == pytest.approx(log_loss(labels, probabilities), abs=1e-12)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([0, 1]), np.array([0.5, np.nan]))

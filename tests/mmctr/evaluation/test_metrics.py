import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from mmctr.evaluation.metrics import auc, figures_of, grouped_auc, logloss, normalised_entropy


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


def test_gauc_of_a_frame_by_hand():
    users = np.array([7, 7, 7, 7, 2, 2, 2, 5, 5, 9])
    labels = np.array([1, 0, 0, 0, 1, 1, 0, 1, 1, 0])
    scores = np.array([0.5, 0.1, 0.6, 0.5, 0.9, 0.2, 0.4, 0.3, 0.2, 0.7])
    # user 7: 0.5 above 0.1, below 0.6, tied with 0.5: 1.5 of 3; user 2: one of two; 5 and 9 have one class
    assert grouped_auc(labels, scores, users) == pytest.approx((4 * 0.5 + 3 * 0.5) / 7)
    scores[0] = 0.55
    assert grouped_auc(labels, scores, users) == pytest.approx((4 * 2 / 3 + 3 * 0.5) / 7)
    assert grouped_auc(labels, scores, np.arange(10)) is None
    assert grouped_auc(labels[:0], scores[:0], users[:0]) is None


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(-2, 2)), max_size=60),
)
def test_gauc_is_the_mean_of_scikit_learns_auc_of_users_weighted_by_their_rows(rows):
    users, labels, scores = (np.array([row[at] for row in rows]) for at in range(3))
    aucs, weights = [], []
    for user in np.unique(users):
        own = users == user
        if 0 < labels[own].sum() < own.sum():
            aucs.append(roc_auc_score(labels[own], scores[own]))
            weights.append(own.sum())
    found = grouped_auc(labels.astype(np.float32), scores.astype(np.float32), users.astype(np.int32))
    assert found == (pytest.approx(np.average(aucs, weights=weights), abs=1e-12) if aucs else None)


def test_gauc_of_one_user_is_the_auc():
    rng = np.random.default_rng(1)
    labels, scores = rng.random(5000) < 0.3, rng.normal(size=5000).astype(np.float32).round(1)
    assert grouped_auc(labels, scores, np.zeros(5000, np.int32)) == pytest.approx(auc(labels, scores), abs=1e-12)


def test_gauc_refuses_nan():
    with pytest.raises(ValueError, match="gAUC needs scores without NaN"):
        grouped_auc(np.array([0, 1]), np.array([0.5, np.nan]), np.array([0, 0]))


def test_normalised_entropy_is_the_logloss_over_that_of_the_base_rate():
    labels = np.array([1, 0, 0, 0])
    base = np.log(0.25 / 0.75)
    assert normalised_entropy(labels, np.full(4, base)) == pytest.approx(1.0)
    logits = np.array([2.0, -1.0, -3.0, 0.5])
    probabilities = 1 / (1 + np.exp(-logits))
    expected = log_loss(labels, probabilities) / log_loss(labels, np.full(4, 0.25))
    assert normalised_entropy(labels, logits) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="both classes"):
        normalised_entropy(np.ones(3), np.zeros(3))


def test_figures_have_no_gauc_without_users():
    labels, logits = np.array([1, 0, 1, 0]), np.array([2.0, 1.0, -1.0, -2.0])
    alone, grouped = figures_of(labels, logits), figures_of(labels, logits, user=np.array([0, 0, 1, 1]))
    assert (alone.auc, alone.gauc) == (0.75, None)
    assert (grouped.auc, grouped.gauc, grouped.logloss) == (0.75, 1.0, alone.logloss)

import numpy as np
import pytest
import torch

import mmctr.clicks.history_vectors
from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.history_vectors import SPREAD, history_vectors


def split_of(histories):
    rows = len(histories)
    return ClickSplit(
        history=torch.tensor([item for history in histories for item in history], dtype=torch.int32),
        offsets=torch.tensor(np.cumsum([0, *map(len, histories)])),
        target=torch.ones(rows, dtype=torch.int32),
        feature_ids=torch.zeros(rows, 0, dtype=torch.int32),
        feature_numbers=torch.zeros(rows, 0),
        label=None,
    )


def two_groups(rng, *, rows=300):
    """Histories of items 1 to 10, or of items 11 to 20; item 21 is in one history alone, and 22 in none."""
    histories = [(rng.permutation(10)[: rng.integers(2, 6)] + 1 + 10 * (row % 2)).tolist() for row in range(rows)]
    return [*histories, [21], []]


def test_items_of_the_same_histories_are_near_each_other():
    vectors = history_vectors(split_of(two_groups(np.random.default_rng(0))), items=22, width=4)
    assert (vectors.shape, vectors.dtype) == ((23, 4), np.float32)
    assert not vectors[[0, 21, 22]].any()
    unit = vectors[1:21] / np.linalg.norm(vectors[1:21], axis=1, keepdims=True)
    same = np.kron(np.eye(2), np.ones((10, 10))).astype(bool)
    assert (unit @ unit.T)[same].mean() > (unit @ unit.T)[~same].mean() + 0.5
    assert np.allclose(np.sqrt((vectors[1:21] ** 2).mean(axis=1)), SPREAD)


def test_they_are_the_singular_vectors_of_what_rows_and_items_share(monkeypatch):
    monkeypatch.setattr(mmctr.clicks.history_vectors, "ITERATIONS", 40)  # the directions are of nearly one strength
    rng = np.random.default_rng(1)
    liking = rng.dirichlet(np.full(20, 0.3), 40)  # of kinds of rows for items: directions of different strengths
    histories = [rng.choice(20, rng.integers(2, 7), p=liking[row % 40]) + 1 for row in range(2000)]
    matrix = np.zeros((len(histories), 20))
    frequency = np.bincount(np.concatenate(histories), minlength=21)[1:]
    for row, history in enumerate(histories):
        np.add.at(matrix[row], history - 1, 1 / np.sqrt(len(history) * frequency[history - 1]))
    _, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = right[1:4].T * values[1:4]
    expected *= SPREAD * np.sqrt(3) / np.linalg.norm(expected, axis=1, keepdims=True)
    found = history_vectors(split_of(histories), items=20, width=3)[1:]
    assert np.allclose(found @ found.T, expected @ expected.T, atol=1e-3)


@pytest.mark.parametrize("chunk", [1, 7, 10**6])
def test_chunks_do_not_matter_and_the_same_clicks_give_the_same_bytes(monkeypatch, chunk):
    split = split_of(two_groups(np.random.default_rng(2)))
    whole = history_vectors(split, items=22, width=5)
    assert np.array_equal(whole, history_vectors(split, items=22, width=5))
    monkeypatch.setattr(mmctr.clicks.history_vectors, "CHUNK_ROWS", chunk)
    assert np.allclose(whole, history_vectors(split, items=22, width=5), atol=1e-5)


@pytest.mark.parametrize("histories", [[[]], [[1]], [[1, 1]], [[1, 2], [2, 1]], [[1, 2, 3], [3, 2, 1], [1], [2]]])
def test_few_items_have_few_directions(histories):
    vectors = history_vectors(split_of(histories), items=4, width=8)
    assert np.isfinite(vectors).all()
    assert (np.abs(vectors) > 0).any(axis=0).sum() <= 2

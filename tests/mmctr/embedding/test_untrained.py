"""Vectors to begin with: small, different, and each item's own."""

import hashlib

import numpy as np
import polars as pl

from mmctr.embedding.untrained import SCALE, untrained_vectors


def test_an_items_vector_depends_on_no_other_item() -> None:
    ids = pl.Series([5, 1, 900_000_000_000, 7])
    vectors = untrained_vectors(ids, dim=16, seed=3)
    np.testing.assert_array_equal(vectors[[1, 3]], untrained_vectors(pl.Series([1, 7]), dim=16, seed=3))
    np.testing.assert_array_equal(vectors, untrained_vectors(ids.cast(pl.String), dim=16, seed=3))
    assert len(np.unique(vectors, axis=0)) == 4
    assert (vectors != untrained_vectors(ids, dim=16, seed=4)).any(axis=1).all()


def test_numbers_are_small_and_spread_evenly() -> None:
    vectors = untrained_vectors(pl.Series([f"sku-{n}" for n in range(3_000)]), dim=64, seed=0)
    assert vectors.dtype == np.float32
    assert np.abs(vectors).max() <= SCALE
    assert abs(vectors.mean()) < 1e-3
    assert abs(vectors.std() - SCALE / 3**0.5) < 1e-3
    similar = vectors @ vectors.T / np.linalg.norm(vectors, axis=1) ** 2
    assert np.abs(similar[~np.eye(3_000, dtype=bool)]).max() < 0.8


def test_the_bytes_are_these_on_every_machine() -> None:
    made = untrained_vectors(pl.Series(["a", "b", "ü"]), dim=8, seed=2025)
    assert hashlib.sha256(made.astype("<f4").tobytes()).hexdigest()[:16] == "05c04b60caeaabd6"
    assert untrained_vectors(pl.Series([], dtype=pl.Int64), dim=8, seed=0).shape == (0, 8)

"""Vectors of items out of the histories that they are in: items of the same histories come to lie near each other.

Legend: R rows of the split, N history items of all rows together, V items of the table, W numbers of a vector.
"""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from mmctr.clicks.batch import ClickSplit

ITERATIONS = 6  # of the subspace; directions of nearly the same strength may still be mixed then, and need not be told
OVERSAMPLE = 8  # directions beside those that are kept
CHUNK_ROWS = 100_000  # rows that are multiplied together: 40 MB at W = 40
SPREAD = 0.3  # root mean square of a vector's numbers
SEED = 0


def history_vectors(split: ClickSplit, *, items: int, width: int) -> npt.NDArray[np.float32]:
    """(V + 1, W) vectors of all items, of one length; those of items in fewer than two histories are zero.

    They are the right singular vectors of the rows x items matrix that has 1 / sqrt(n f) where a history of n items
    holds an item that all histories hold f times, which is the cosine of rows and items by what they share (latent
    semantic analysis: Deerwester et al., JASIS 1990). The first pair says how frequent an item is alone, and is left
    out. They are found by iterating a subspace with a seeded start (Halko et al., SIAM Review 2011), in about
    4 N (W + 8) multiplications an iteration and without a matrix of R x W numbers. No label is read.

    Args:
        split: of which the histories are read; items are rows 1 to V of the table.
        items: V.
        width: W. Where there are fewer directions than that, the other numbers are zero.
    """
    frequency = np.bincount(split.history.numpy(), minlength=items + 1)
    known = np.flatnonzero(frequency > 1)
    vectors = np.zeros((items + 1, width), dtype=np.float32)
    kept = min(width, len(known) - 1)
    if kept < 1:
        return vectors
    shared = _Shared(split, known=known, frequency=frequency)
    subspace = np.random.default_rng(SEED).standard_normal((len(known), min(kept + 1 + OVERSAMPLE, len(known))))
    for _ in range(ITERATIONS):
        subspace = shared.times(np.linalg.qr(subspace)[0])
    subspace = np.linalg.qr(subspace)[0]
    values, turns = np.linalg.eigh(subspace.T @ shared.times(subspace))  # ascending
    strongest = slice(-2, -kept - 2, -1)
    scaled = (subspace @ turns)[:, strongest] * np.sqrt(np.maximum(values[strongest], 0))
    scaled *= np.where(scaled[np.abs(scaled).argmax(axis=0), np.arange(kept)] < 0, -1, 1)  # else either sign would do
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    vectors[known, :kept] = scaled / np.maximum(lengths, 1e-12) * SPREAD * np.sqrt(width)
    return vectors


class _Shared:
    """The items x items matrix of what their histories share, which is only ever multiplied with."""

    def __init__(
        self, split: ClickSplit, *, known: npt.NDArray[np.integer], frequency: npt.NDArray[np.integer]
    ) -> None:
        column = np.full(len(frequency), -1, dtype=np.int32)
        column[known] = np.arange(len(known), dtype=np.int32)
        history, offsets = split.history.numpy(), split.offsets.numpy()
        columns = column[history]
        is_known = columns >= 0
        ends = np.concatenate([[0], np.cumsum(is_known)])[offsets]
        lengths = np.repeat(np.diff(ends), np.diff(ends))
        columns = columns[is_known]
        weights = 1 / np.sqrt(lengths * frequency[known][columns].astype(np.float64))
        self.rows = csr_array((weights, columns, ends), shape=(len(split), len(known)))

    def times(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The product with a (known items, k) matrix, by a few rows at a time."""
        found = np.zeros_like(matrix)
        for start in range(0, self.rows.shape[0], CHUNK_ROWS):
            rows = self.rows[start : start + CHUNK_ROWS]
            found += rows.T @ (rows @ matrix)
        return found

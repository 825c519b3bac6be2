"""Negatives: items that a user has no event with in the whole log, a number of different ones for each positive.

Legend: P positives, K negatives each.
"""

import numpy as np
import numpy.typing as npt

from mmctr.inputs.from_logs.hashing import Keys, keyed, unit
from mmctr.inputs.from_logs.partitions import Part
from mmctr.inputs.from_logs.pools import Pool

ROUNDS = 40  # of drawing again what cannot stay, before all items are looked at
POSITIVES_AT_ONCE = 65_536
Integers = npt.NDArray[np.int64]


def draw_negatives(part: Part, positives: Integers, *, pool: Pool, number: int, seed: int) -> Integers:
    """(P, K) items for these events of a part; a row of -1 where fewer than K can be found.

    What is drawn depends on the seed, the user and the event's place among the user's, and on nothing else.
    """
    own = _Own(part)
    chunks = [
        _draw(part, positives[start : start + POSITIVES_AT_ONCE], own=own, pool=pool, number=number, seed=seed)
        for start in range(0, len(positives), POSITIVES_AT_ONCE)
    ]
    return np.concatenate(chunks) if chunks else np.zeros((0, number), np.int64)


class _Own:
    """The items of each user of a part."""

    def __init__(self, part: Part) -> None:
        self._width = int(part.code.max(initial=0)) + 1
        self._pairs = np.unique(part.user * self._width + part.code)

    def has(self, user: Integers, item: Integers) -> npt.NDArray[np.bool_]:
        """Whether each user has an event with the item, element by element."""
        pair = user * self._width + item
        at = np.minimum(np.searchsorted(self._pairs, pair), len(self._pairs) - 1)
        return (item < self._width) & (self._pairs[at] == pair)

    def items(self, user: int) -> Integers:
        """All items of a user."""
        low, high = np.searchsorted(self._pairs, [user * self._width, (user + 1) * self._width])
        return self._pairs[low:high] - user * self._width


def _draw(part: Part, positives: Integers, *, own: _Own, pool: Pool, number: int, seed: int) -> Integers:
    keys, user, time = keyed(part.keys[positives], seed), part.user[positives], part.time[positives]
    drawn = np.full((len(positives), number), -1)
    open_rows = np.arange(len(positives))
    for attempt in range(ROUNDS):
        row, place = np.nonzero(drawn[open_rows] < 0)
        row = open_rows[row]
        item = pool.draw(time[row], unit(keyed(keys[row], attempt * number + place)))
        item[own.has(user[row], item)] = -1
        drawn[row, place] = item
        _clear_repeats(drawn, open_rows)
        open_rows = open_rows[(drawn[open_rows] < 0).any(axis=1)]
        if not len(open_rows):
            break
    for at in open_rows.tolist():
        drawn[at] = _exact(keys[at], own.items(int(user[at])), pool=pool, time=int(time[at]), number=number)
    return drawn


def _clear_repeats(drawn: Integers, rows: Integers) -> None:
    """Set an item that its row has already to -1."""
    for later in range(1, drawn.shape[1]):
        repeats = (drawn[rows, :later] == drawn[rows, later, None]).any(axis=1)
        drawn[rows[repeats], later] = -1


def _exact(key: np.uint64, own: Integers, *, pool: Pool, time: int, number: int) -> Integers:
    """(K,) items among all that are possible, or -1 where there are too few.

    The K smallest of exponential variables whose rates are weights are a draw without replacement by these weights.
    """
    weights = np.where(np.isin(pool.codes, own), 0.0, pool.weights(time))
    possible = np.flatnonzero(weights)
    if len(possible) < number:
        return np.full(number, -1)
    candidate_keys: Keys = keyed(np.full(len(possible), key), -1 - possible)
    waits = -np.log1p(-unit(candidate_keys)) / weights[possible]
    return pool.codes[possible[np.argsort(waits, kind="stable")[:number]]]

"""Draws among the items that were live at a time: between their first and their last event, both included.

Legend: V items, Q queries.
"""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


class LiveItems:
    """Items with the times of their first and last events.

    Sorted by first event, those that have begun by a time are a prefix. Those that have ended before it are in the
    prefix too, and come first when the prefix is ordered by last event. So the items that are live are the rest of
    that order, and the one at any place of it is found with a wavelet matrix (Claude, Navarro and Ordóñez, 2015) in
    as many steps as the number of items has bits.
    """

    def __init__(self, first: Integers, last: Integers) -> None:
        by_first, by_last = np.argsort(first, kind="stable"), np.argsort(last, kind="stable")
        self._first, self._last, self._by_last = first[by_first], last[by_last], by_last
        rank = np.empty(len(first), np.int64)
        rank[by_last] = np.arange(len(first))
        self._bits = max(1, len(first).bit_length())
        self._zeros: list[npt.NDArray[np.int32]] = []  # of each bit from the highest: zeros before each place
        values = rank[by_first]
        for bit in reversed(range(self._bits)):
            zero = (values >> bit) & 1 == 0
            self._zeros.append(np.concatenate([[0], np.cumsum(zero)]).astype(np.int32))
            values = np.concatenate([values[zero], values[~zero]])

    def count(self, times: Integers) -> Integers:
        """(Q,) how many items are live at each time."""
        return np.searchsorted(self._first, times, "right") - np.searchsorted(self._last, times, "left")

    def pick(self, times: Integers, place: Integers) -> Integers:
        """(Q,) the live item at `place` (from 0, below `count`) in the order of last events."""
        start, end = np.zeros(len(times), np.int64), np.searchsorted(self._first, times, "right")
        place = place + np.searchsorted(self._last, times, "left")
        rank = np.zeros(len(times), np.int64)
        for bit, zeros in zip(reversed(range(self._bits)), self._zeros, strict=True):
            low, high = zeros[start].astype(np.int64), zeros[end].astype(np.int64)
            one = place >= high - low
            place = np.where(one, place - (high - low), place)
            start = np.where(one, zeros[-1] + start - low, low)
            end = np.where(one, zeros[-1] + end - high, high)
            rank |= one.astype(np.int64) << bit
        return self._by_last[rank]

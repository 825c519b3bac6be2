"""What negatives are drawn from: the items of the events up to a split, uniformly, by popularity, or those then live.

Train draws from train's events alone, valid from those of train and valid, test from all. Legend: V items, Q draws.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mmctr.inputs.from_logs.live import LiveItems

Integers = npt.NDArray[np.int64]
NEVER = np.iinfo(np.int64)


@dataclass
class Tally:
    """Of each item, how many events a split has, when the first, and when the last. (V,) int64 each."""

    items: int
    count: Integers = field(init=False)
    first: Integers = field(init=False)
    last: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.count = np.zeros(self.items, np.int64)
        self.first, self.last = np.full(self.items, NEVER.max), np.full(self.items, NEVER.min)

    def add(self, code: Integers, time: Integers) -> None:
        """Events of items at times."""
        self.count += np.bincount(code, minlength=self.items)
        np.minimum.at(self.first, code, time)
        np.maximum.at(self.last, code, time)

    def with_earlier(self, earlier: "Tally") -> "Tally":
        """Both together."""
        both = Tally(self.items)
        both.count = self.count + earlier.count
        both.first, both.last = np.minimum(self.first, earlier.first), np.maximum(self.last, earlier.last)
        return both


@dataclass(frozen=True, eq=False)
class Pool:
    """Items that have an event, and how one is drawn: `uniform`, `popularity` or `live`."""

    tally: Tally
    by: str

    @cached_property
    def codes(self) -> Integers:
        """The items that have an event."""
        return np.flatnonzero(self.tally.count)

    @cached_property
    def _cumulated(self) -> Integers:
        return np.cumsum(self.tally.count[self.codes])

    @cached_property
    def _live(self) -> LiveItems:
        return LiveItems(self.tally.first[self.codes], self.tally.last[self.codes])

    def draw(self, times: Integers, numbers: npt.NDArray[np.float64]) -> Integers:
        """(Q,) an item for each row's time and number in [0, 1); -1 where none is live."""
        if not len(self.codes):
            return np.full(len(times), -1)
        if self.by == "live":
            count = self._live.count(times)
            place = np.minimum((numbers * count).astype(np.int64), np.maximum(count - 1, 0))
            found = count > 0
            drawn = np.full(len(times), -1)
            drawn[found] = self.codes[self._live.pick(times[found], place[found])]
            return drawn
        if self.by == "popularity":
            ticket = (numbers * self._cumulated[-1]).astype(np.int64)
            return self.codes[np.searchsorted(self._cumulated, ticket, "right")]
        return self.codes[(numbers * len(self.codes)).astype(np.int64)]

    def weights(self, time: int) -> npt.NDArray[np.float64]:
        """Of each of `codes`, how likely it is beside the others for a row at this time."""
        if self.by == "popularity":
            return self.tally.count[self.codes].astype(np.float64)
        if self.by == "live":
            return ((self.tally.first[self.codes] <= time) & (self.tally.last[self.codes] >= time)).astype(np.float64)
        return np.ones(len(self.codes))

"""Which split an event belongs to: by its time, or by a seeded hash of its user."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmctr.common.errors import InputError
from mmctr.inputs.from_logs.clock import Clock
from mmctr.inputs.from_logs.hashing import keyed, unit
from mmctr.inputs.from_logs.options import Rules
from mmctr.inputs.from_logs.partitions import Part, Sorted

NAMES = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)
BINS = 1 << 16
Times = Callable[[], Iterable[npt.NDArray[np.int64]]]
_FOR_SPLIT = -7  # keeps the split's numbers apart from those of negatives


@dataclass(frozen=True)
class Split:
    """The rule of one log: `cuts` are the first times of valid and test; without them users are split."""

    rules: Rules
    cuts: tuple[int, int] | None

    def of(self, part: Part) -> npt.NDArray[np.int8]:
        """(E,) 0 for train, 1 for valid, 2 for test."""
        if self.cuts is not None:
            return np.searchsorted(np.array(self.cuts), part.time, "right").astype(np.int8)
        number = unit(keyed(keyed(part.user_keys, self.rules.seed), _FOR_SPLIT))
        below_test, below_valid = number < self.rules.test, number < self.rules.test + self.rules.valid
        return np.where(below_test, TEST, np.where(below_valid, VALID, TRAIN)).astype(np.int8)


def split_of(rules: Rules, *, clock: Clock, whole: Sorted, times: Times) -> Split:
    """The split of a log; `times` goes through the times of all its events.

    Raises:
        InputError: the cuts are no times, or not in their order.
    """
    if rules.split == "users":
        return Split(rules, None)
    if rules.valid_from:
        valid = clock.parse(rules.valid_from, option="--valid-from")
        test = clock.parse(rules.test_from, option="--test-from")
        if not valid < test:
            raise InputError(
                f"test begins after valid; found --valid-from {rules.valid_from} and --test-from {rules.test_from}"
            )
        return Split(rules, (valid, test))
    ranks = [round(whole.events * (1 - rules.valid - rules.test)), round(whole.events * (1 - rules.test))]
    valid, test = (time_at(min(rank, whole.events - 1), times, whole) for rank in ranks)
    return Split(rules, (valid, test))


def time_at(rank: int, times: Times, whole: Sorted) -> int:
    """The time at a place, counted from 0, in the order of time, whatever number of times there are.

    Each look at all of them counts BINS bins and goes on in the one with that place.
    """
    low, high = whole.first, whole.last
    while low < high:
        width = (high - low) // BINS + 1
        counts = np.zeros(BINS, np.int64)
        for some in times():
            inside = some[(some >= low) & (some <= high)]
            counts += np.bincount((inside - low) // width, minlength=BINS)
        place = int(np.searchsorted(np.cumsum(counts), rank, "right"))
        rank -= int(counts[:place].sum())
        low, high = low + place * width, min(high, low + (place + 1) * width - 1)
    return low

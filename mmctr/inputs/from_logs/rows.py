"""From events to rows: which events become rows, and what each row's history is.

Legend: E events of a part, R rows, N ids in all histories together.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mmctr.inputs.from_logs.options import Rules
from mmctr.inputs.from_logs.partitions import Part

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histories:
    """The histories of all events of a part: slices of one array of items, the most recent last.

    Attributes:
        items: of all events that may be in histories, by user and time.
        start, end: (E,) of the slice of each event.
    """

    items: Integers
    start: Integers
    end: Integers

    def lists(self, events: Integers) -> tuple[Integers, npt.NDArray[np.int32]]:
        """(N,) items, and (R + 1,) offsets, of the histories of these events."""
        lengths = self.end[events] - self.start[events]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.start[events] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return self.items[places], offsets.astype(np.int32)


def histories_of(part: Part, rules: Rules) -> Histories:
    """What each event's user did strictly before the event's time, the `max_len` most recent.

    Events of one user at one time are in no history of each other; among them the order is that of the items.
    """
    counted = part.positive if rules.history == "positives" else np.ones(len(part.events), np.bool_)
    before = np.concatenate([[0], np.cumsum(counted)])
    end = before[part.time_start]
    start = np.maximum(before[part.user_start], end - rules.max_len)
    return Histories(part.code[counted], start, end)


def chosen_events(
    part: Part, split: npt.NDArray[np.int8], histories: Histories, rules: Rules
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(E,) which events have enough history, and which of these become rows: the last ones of a user in a split."""
    enough = histories.end - histories.start >= rules.min_history
    if not rules.last:
        return enough, enough
    new = (np.diff(part.user, prepend=-1) != 0) | (np.diff(split, prepend=-1) != 0)
    group = np.cumsum(new) - 1
    in_group = np.bincount(group, weights=enough).astype(np.int64)
    upto_group = np.cumsum(in_group)[group]
    return enough, enough & (upto_group - np.cumsum(enough) < rules.last)

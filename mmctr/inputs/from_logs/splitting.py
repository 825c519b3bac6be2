"""The two looks at the sorted events: what each split has, then the rows of each split.

Legend: E events of a part, R rows of one of its splits, K negatives each.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmctr.common.errors import InputError
from mmctr.inputs.from_logs.clock import Clock
from mmctr.inputs.from_logs.hashing import keyed
from mmctr.inputs.from_logs.negatives import draw_negatives
from mmctr.inputs.from_logs.options import Request, Rules
from mmctr.inputs.from_logs.partitions import Part, parts
from mmctr.inputs.from_logs.pools import Pool, Tally
from mmctr.inputs.from_logs.record import TEST_LABELS, SplitCounts
from mmctr.inputs.from_logs.rows import Histories, chosen_events, histories_of
from mmctr.inputs.from_logs.splits import NAMES, TEST, Split
from mmctr.inputs.from_logs.write import Rows, SplitFile, columns_of
from mmctr.inputs.vocabulary import Vocabulary

MOST_LEFT_OUT = 0.1  # share of a split's positives that may have too few possible negatives
_FOR_ORDER = -8  # keeps the numbers that order rows apart from those of negatives and splits
Integers = npt.NDArray[np.int64]


@dataclass
class SplitTally:
    """What one split has, before rows are made of it."""

    events: int = 0
    positives: int = 0
    users: int = 0
    items: Tally | None = None  # where negatives are drawn


def tally_splits(work: Path, *, split: Split, items: Vocabulary, request: Request) -> list[SplitTally]:
    """Count the events of each split.

    Raises:
        InputError: a split has none, or not both classes, or there are too few items to draw negatives from.
    """
    negatives = request.rules.negatives
    tallies = [SplitTally(items=Tally(len(items)) if negatives else None) for _ in NAMES]
    for part in parts(work):
        number = split.of(part)
        begins = (np.diff(part.user, prepend=-1) != 0) | (np.diff(number, prepend=-1) != 0)
        for which, tally in enumerate(tallies):
            inside = number == which
            tally.events += int(inside.sum())
            tally.positives += int((inside & part.positive).sum())
            tally.users += int((inside & begins).sum())
            if tally.items is not None:
                tally.items.add(part.code[inside], part.time[inside])
    for name, tally in zip(NAMES, tallies, strict=True):
        _check_tally(name, tally, all_users=sum(one.users for one in tallies), request=request)
    return tallies


def _check_tally(name: str, tally: SplitTally, *, all_users: int, request: Request) -> None:
    rules = request.rules
    if not tally.events:
        if rules.split == "users":
            raise InputError(
                f"each split needs users; {name} has none of {all_users}; choose other shares (--valid, --test), "
                "another --seed, or split by time (--split time)"
            )
        raise InputError(
            f"each split needs events; {name} has none; choose other times or shares (--valid-from and --test-from, or "
            "--valid and --test), or split by users (--split users)"
        )
    if request.log.label and tally.positives in (0, tally.events):
        only = "positives" if tally.positives else "negatives"
        raise InputError(
            f"each split needs both classes; {name} has {only} alone in {tally.events} events; where the whole log is "
            "so, leave --label out and have negatives drawn (--negatives 3), else choose other splits or another "
            "--positive-from"
        )
    if tally.items is not None and int(np.count_nonzero(tally.items.count)) <= rules.negatives and name == "train":
        raise InputError(
            f"--negatives must be less than the number of items in train; found {rules.negatives} with "
            f"{int(np.count_nonzero(tally.items.count))} items; use a smaller one"
        )


@dataclass
class _Counts:
    """What became of the events of a split."""

    without_history: int = 0
    short_history: int = 0
    not_last: int = 0
    too_few_negatives: int = 0


def write_splits(
    folder: Path,
    work: Path,
    *,
    split: Split,
    items: Vocabulary,
    clock: Clock,
    tallies: list[SplitTally],
    advance: Callable[[], object],
) -> dict[str, SplitCounts]:
    """Write the rows of all splits, part by part.

    Raises:
        InputError: a split has no rows or not both classes, or too many positives have too few possible negatives.
    """
    rules, pools = split.rules, _pools(tallies, split.rules)
    counts = [_Counts() for _ in NAMES]
    with ExitStack() as stack:
        files = [
            stack.enter_context(SplitFile(folder / f"{name}.parquet", folder / TEST_LABELS if which == TEST else None))
            for which, name in enumerate(NAMES)
        ]
        for part in parts(work):
            histories, number = histories_of(part, rules), split.of(part)
            times = clock.column(part.time)
            for which, file in enumerate(files):
                events = _events(part, number, which, histories, rules, counts[which])
                rows = _rows(part, events, pool=pools[which], rules=rules, counts=counts[which])
                counts[which].without_history += int((histories.end == histories.start)[rows.event].sum())
                for some in rows.slices(histories):
                    file.add(columns_of(some, part.events, histories, items=items, times=times), some.label)
            advance()
    return {
        name: _finished(name, file, tally, count, rules)
        for name, file, tally, count in zip(NAMES, files, tallies, counts, strict=True)
    }


def _pools(tallies: list[SplitTally], rules: Rules) -> list[Pool | None]:
    """What each split draws from: its own events and those of the splits before it."""
    pools: list[Pool | None] = []
    upto: Tally | None = None
    for tally in tallies:
        if tally.items is None:
            pools.append(None)
            continue
        upto = tally.items if upto is None else tally.items.with_earlier(upto)
        pools.append(Pool(upto, rules.negatives_from))
    return pools


def _events(
    part: Part, number: npt.NDArray[np.int8], which: int, histories: Histories, rules: Rules, counts: _Counts
) -> Integers:
    """The events of one split that become rows."""
    inside = number == which
    long_enough, chosen = chosen_events(part, number, histories, rules)
    counts.short_history += int((inside & ~long_enough).sum())
    counts.not_last += int((inside & long_enough & ~chosen).sum())
    return np.flatnonzero(inside & chosen)


def _rows(part: Part, events: Integers, *, pool: Pool | None, rules: Rules, counts: _Counts) -> Rows:
    """The rows of these events; those of one event in an order that says nothing of their labels."""
    if pool is None:
        return Rows(events, part.code[events], part.positive[events].astype(np.int8))
    negatives = draw_negatives(part, events, pool=pool, number=rules.negatives, seed=rules.seed)
    possible = (negatives >= 0).all(axis=1)
    counts.too_few_negatives += int((~possible).sum())
    events, negatives = events[possible], negatives[possible]
    targets = np.concatenate([part.code[events, None], negatives], axis=1)  # (R, 1 + K), the positive first
    keys = keyed(keyed(part.keys[events], rules.seed), _FOR_ORDER)
    order = np.argsort(keyed(keys[:, None], np.arange(targets.shape[1])), axis=1)
    return Rows(
        event=np.repeat(events, targets.shape[1]),
        target=np.take_along_axis(targets, order, axis=1).reshape(-1),
        label=(order == 0).astype(np.int8).reshape(-1),
    )


def _finished(name: str, file: SplitFile, tally: SplitTally, counts: _Counts, rules: Rules) -> SplitCounts:
    left, most = counts.too_few_negatives, MOST_LEFT_OUT * tally.positives
    if left > most:
        raise InputError(
            f"each positive needs {rules.negatives} different items that its user has no event with"
            f"{', live at its time' if rules.negatives_from == 'live' else ''}; in {name} {left} of {tally.positives} "
            "positives have fewer; use fewer --negatives, or another --negatives-from"
        )
    if not 0 < file.positives < file.rows:
        raise InputError(
            f"each split needs rows of both classes; {name} has {file.rows} rows, {file.positives} of them positives; "
            "choose other splits, or a smaller --min-history"
        )
    return SplitCounts(rows=file.rows, positives=file.positives, users=tally.users, events=tally.events, **vars(counts))

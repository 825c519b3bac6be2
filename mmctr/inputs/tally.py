"""How often a rule is broken, and where first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.common.text import shown, shown_value
from mmctr.inputs.numbers import Mask
from mmctr.inputs.vocabulary import Values


@dataclass(frozen=True)
class Rows:
    """The place of each value: its row, counted from 1 in its file, and the file's name where there are several."""

    numbers: npt.NDArray[np.int64]
    file: str = ""

    def __getitem__(self, chosen: Mask) -> "Rows":
        return Rows(self.numbers[chosen], self.file)

    def repeat(self, counts: npt.NDArray[np.int64]) -> "Rows":
        """The row that each entry of lists belongs to."""
        return Rows(np.repeat(self.numbers, counts), self.file)

    def shown(self, at: int) -> str:
        """A place in words."""
        return f"row {self.numbers[at]}" + (f" of {shown(self.file)}" if self.file else "")


@dataclass
class Findings:
    """What was seen of one column.

    Attributes:
        name: of the column, as it is shown.
        counts, firsts: by rule, how often it is broken and where first.
        distinct: values that must not repeat, and their rows.
        classes: the labels that are there.
    """

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    firsts: dict[str, str] = field(default_factory=dict)
    distinct: list[tuple[Values, Rows]] = field(default_factory=list)
    classes: set[int] = field(default_factory=set)

    def note(self, rule: str, broken: Mask, rows: Rows, value: Callable[[int], Any] | None = None) -> None:
        """Count the broken ones; `rule` has `{count}` where their number is shown, `value` returns what one is."""
        count = int(np.count_nonzero(broken))
        if not count:
            return
        if rule not in self.counts:
            at = int(broken.argmax())
            self.firsts[rule] = rows.shown(at) + ("" if value is None else f" with {shown_value(value(at), limit=60)}")
        self.counts[rule] = self.counts.get(rule, 0) + count

    def problems(self) -> list[str]:
        """A sentence for each broken rule."""
        self._note_repetitions()
        found = [
            f"{self.name} {rule.format(count=count)}; the first is {self.firsts[rule]}"
            for rule, count in self.counts.items()
        ]
        if len(self.classes) == 1 and self.classes <= {0, 1}:
            found.append(f"{self.name} must have both classes, 1 class is there: all rows have {self.classes.pop():d}")
        return found

    def _note_repetitions(self) -> None:
        if not self.distinct:
            return
        values = pl.concat([pl.Series(part) for part, _ in self.distinct])
        repeats = (~values.is_first_distinct()).to_numpy()
        start = 0
        for part, rows in self.distinct:
            broken, own = repeats[start : start + len(part)], values[start : start + len(part)]
            self.note("must be unique, {count} rows repeat an earlier one", broken, rows, own.__getitem__)
            start += len(part)
        self.distinct.clear()

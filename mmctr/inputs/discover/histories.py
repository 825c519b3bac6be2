"""Which column of a table is a history: ids of items that were clicked before, in a list or in one text."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmctr.inputs.discover.choice import share_of
from mmctr.inputs.discover.names import HISTORY, ITEM, ROW, TAGS, USER, is_id, says, words_of
from mmctr.inputs.discover.sample import Column, Sample

SEPARATORS = (" ", ",", ";", "|", "\t", "^")
MOSTLY = 0.5  # share from which on "most" is said
LIKELY = 0.2  # share of a column's values that histories of a sample hold as well, where both are of the same items


@dataclass(frozen=True)
class History:
    """A column of histories, how its ids are separated where it is text, and whether its name says what it is."""

    column: Column
    separator: str
    entries: frozenset[str]
    is_named: bool

    @property
    def ids(self) -> frozenset[str]:
        """Its entries but for padding."""
        return self.entries - {"0", ""}


def history_of(sample: Sample) -> History | None:
    """The history of a click log; None for a table that is none.

    A name is certain. Without one it is a list of values that a column of this table has too, in a table that has 0
    and 1 and no id of its own: an item table has such lists as well, of tags.
    """
    found = list(_lists(sample))
    named = [one for one in found if one.is_named]
    if named:
        return max(named, key=lambda one: share_of(_targets(sample, one), one.ids))
    own_id = any(column.is_unique and not _names_rows(column) for column in sample.columns)
    has_label = any(column.shape == "flag" for column in sample.columns)
    rest = [one for one in found if share_of(_targets(sample, one), one.ids) >= LIKELY]
    return rest[0] if rest and has_label and not own_id else None


def _lists(sample: Sample) -> Iterator[History]:
    for column in sample.columns:
        tags = says(column.name, TAGS)
        named = says(column.name, HISTORY) and not tags
        if column.shape == "ids" and not tags:
            yield History(column, " ", column.values, named)
        if column.shape == "text" and not tags and not column.is_unique:
            separator = separator_of(column)
            if separator is not None and (named or not says(column.name, ITEM) or is_id(column.name)):
                entries = frozenset(part.strip() for text in column.values for part in text.split(separator))
                yield History(column, separator, entries, named)


def _names_rows(column: Column) -> bool:
    """Whether a column is called as ids of rows or users are, which a click log may have."""
    return says(column.name, USER) or words_of(column.name) <= ROW


def separator_of(column: Column) -> str | None:
    """What is between the ids of most texts; None for texts that are no lists."""
    texts = column.values
    counts = {mark: sum(mark in text.strip() for text in texts) for mark in SEPARATORS}
    mark = max(counts, key=lambda one: counts[one])
    return mark if texts and counts[mark] >= MOSTLY * len(texts) else None


def _targets(sample: Sample, history: History) -> frozenset[str]:
    """Values of the column that is most like the history: the largest share of them is in it."""
    scalars = [column for column in sample.columns if column.shape in ("integer", "text")]
    rest = [column.values for column in scalars if column.name != history.column.name]
    return max(rest, key=lambda values: (share_of(values, history.ids), len(values)), default=frozenset())

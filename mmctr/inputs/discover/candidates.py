"""Columns that could be features, with the kind that their type and their number of different values suggest."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mmctr.inputs.discover.histories import separator_of
from mmctr.inputs.discover.names import TAGS, is_id, says
from mmctr.inputs.discover.sample import Column, Sample
from mmctr.inputs.features import Feature, Kind

FEW = 50  # different whole numbers that are rather names of something than amounts
REPEATED = 4  # rows that a text is there on average, from which on it is rather a category than a text


@dataclass(frozen=True)
class Candidate:
    """A column, and the kind of feature that it may be; None where it can be none."""

    column: str
    kind: Kind | None
    why: str
    separator: str = Feature.separator


def candidates(sample: Sample, *, taken: Collection[str], also_in: Sequence[Sample] = ()) -> list[Candidate]:
    """What the columns of a table could be that have no other part in a layout.

    Args:
        sample: of the table.
        taken: names of columns that have a part.
        also_in: other tables that must have the column too.
    """
    found = []
    for column in sample.columns:
        missing = [other.name for other in also_in if other.column(column.name) is None]
        if column.name in taken or column.shape in ("vector", "time"):
            continue
        separator = separator_of(column) if column.shape == "text" and says(column.name, TAGS) else None
        if missing:
            found.append(Candidate(column.name, None, f"{', '.join(missing)} does not have it"))
        elif separator is not None:
            why = f"texts with {separator!r} in most of them, in {column.rows:,} rows"
            found.append(Candidate(column.name, "tags", why, separator))
        else:
            found.append(Candidate(column.name, *_guess(column)))
    return found


def _guess(column: Column) -> tuple[Kind | None, str]:
    different, rows = len(column.values), f"{column.rows:,} rows"
    if column.shape == "ids":
        return "tags", f"lists of {different:,} different values in {rows}"
    if column.shape == "number":
        return "number", f"numbers, {different:,} different ones in {rows}"
    if column.shape == "flag":
        return "category", f"0 and 1 in {rows}"
    if not different:
        return None, f"no value in {rows}"
    if column.shape == "integer" and different > FEW and not is_id(column.name):
        return "number", f"whole numbers, {different:,} different ones in {rows}"
    if different * REPEATED > len(column.texts) and different > FEW:
        return None, f"{different:,} different values in {rows}, hardly one twice"
    what = "whole numbers" if column.shape == "integer" else "texts"
    return "category", f"{what}, {different:,} different ones in {rows}"

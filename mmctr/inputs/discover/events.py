"""Which table is a raw log: one event a row, of a user, an item and a time, and no histories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmctr.inputs.discover.histories import MOSTLY
from mmctr.inputs.discover.names import ITEM, LABEL, RATING, TIME, USER, is_id, says
from mmctr.inputs.discover.sample import Column, Sample


@dataclass(frozen=True)
class Events:
    """A raw log and its columns; `label` is empty where each event is a positive."""

    sample: Sample
    user: str
    item: str
    time: str
    label: str
    is_rating: bool
    time_unit: str  # of times that are numbers, as `mmctr prepare` calls it; empty for others


def raw_logs(samples: Sequence[Sample], *, item_ids: Callable[[Column], float]) -> list[Events]:
    """The raw logs among the tables that are no click logs, the largest first.

    Args:
        samples: the tables.
        item_ids: share of a column's values that are ids in the item table, 0 where there is none.
    """
    found = [events for sample in samples if (events := _events(sample, item_ids)) is not None]
    return sorted(found, key=lambda one: sum(path.stat().st_size for path in one.sample.table.files), reverse=True)


def _events(sample: Sample, item_ids: Callable[[Column], float]) -> Events | None:
    columns = sample.columns
    ids = [column for column in columns if column.shape in ("integer", "text")]
    users = sorted((one for one in ids if says(one.name, USER)), key=lambda one: is_id(one.name), reverse=True)
    times = [one for one in columns if one.shape == "time" or (one.shape == "integer" and says(one.name, TIME))]
    times = sorted(times, key=lambda one: says(one.name, TIME), reverse=True)
    taken = {one.name for one in (*users[:1], *times[:1])}
    named = [one for one in ids if one.name not in taken and (says(one.name, ITEM) or item_ids(one) >= MOSTLY)]
    items = sorted(named, key=lambda one: (says(one.name, ITEM), is_id(one.name), item_ids(one)), reverse=True)
    if not (users and items and times) or items[0].is_unique:
        return None
    taken.add(items[0].name)
    flags = [one for one in columns if one.shape == "flag" and says(one.name, LABEL)]
    ratings = [one for one in columns if one.shape in ("integer", "number") and says(one.name, RATING)]
    label = next((one.name for one in (*flags, *ratings) if one.name not in taken), "")
    is_rating = bool(label) and not flags
    return Events(sample, users[0].name, items[0].name, times[0].name, label, is_rating, _unit(times[0]))


def _unit(time: Column) -> str:
    """The unit in which times are of this century, counted from 1970 on."""
    if time.shape != "integer" or not time.texts:
        return ""
    digits = len(max(time.values, key=len).lstrip("-"))
    return "s" if digits <= 10 else "ms" if digits <= 13 else "us" if digits <= 16 else "ns"

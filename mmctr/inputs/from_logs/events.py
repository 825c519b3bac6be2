"""The events of a log as one kind of table, whatever its files hold, and what was dropped on the way.

`user`, `item` (Int64 or String), `time` (Int64, a clock's ticks), `label` (Int8, 0 or 1), and the columns of context
as they are. Legend: R rows of a batch.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import polars.exceptions

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_names
from mmctr.inputs.from_logs.clock import Clock, clock_of
from mmctr.inputs.from_logs.ids import ids_of
from mmctr.inputs.from_logs.log_files import names_of, read_log
from mmctr.inputs.from_logs.options import LogFormat
from mmctr.inputs.from_logs.place import Place, flat_text
from mmctr.inputs.from_logs.values import context_of, labels_of, ticks_of

BATCH_ROWS = 500_000
CONTEXT = "context."  # begins the name of a column of context, so that it is none of the others


@dataclass
class Reading:
    """What reading has seen so far.

    Attributes:
        rows: of the log.
        dropped: rows that are no events, by reason.
        clock: of the log's times, once there was one.
        kinds: type of each column in the log's first rows, which the others follow.
    """

    rows: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    clock: Clock | None = None
    kinds: dict[str, pl.DataType] = field(default_factory=dict)


def read_events(
    files: Sequence[Path], log: LogFormat, seen: Reading, *, item_kind: pl.DataType | None = None
) -> Iterator[pl.DataFrame]:
    """The events, about BATCH_ROWS at a time.

    Events without user, item or time are dropped and counted.

    Args:
        files: of the log, all of one kind.
        log: its columns.
        seen: is filled in.
        item_kind: Int64 or String where an item table decides which.

    Raises:
        InputError: a column is missing or of a type that it cannot have; a time, label or id that cannot be used.
    """
    for path in files:
        _check_names(path, log)
    for path in files:
        row = 1
        for frame in _batches(path, log):
            yield _events(frame, log, seen, place=Place(path, row), item_kind=item_kind)
            row += len(frame)


def _columns(log: LogFormat) -> list[str]:
    return [log.user, log.item, log.time, *([log.label] if log.label else []), *(one.name for one in log.context)]


def _check_names(path: Path, log: LogFormat) -> None:
    names = names_of(path, log)
    options = {log.user: "--user", log.item: "--item", log.time: "--time", log.label: "--label"}
    for name in _columns(log):
        if name not in names:
            raise InputError(
                f"{path}: column {shown(name)} is missing; it has {shown_names(names)}; name the right one with "
                f"{options.get(name, '--context')}"
            )


def _batches(path: Path, log: LogFormat) -> Iterator[pl.DataFrame]:
    waiting: list[pl.DataFrame] = []
    rows = 0
    for chunk in read_log(path, log, columns=_columns(log)):
        waiting.append(chunk)
        rows += len(chunk)
        if rows >= BATCH_ROWS:
            yield pl.concat(waiting)
            waiting, rows = [], 0
    if rows:
        yield pl.concat(waiting)


def _events(
    frame: pl.DataFrame, log: LogFormat, seen: Reading, *, place: Place, item_kind: pl.DataType | None
) -> pl.DataFrame:
    times = flat_text(frame[log.time])
    if seen.clock is None and times.null_count() < len(times):
        seen.clock = clock_of(times, log)
    columns = {
        "user": ids_of(frame[log.user], option="--user", place=place),
        "item": ids_of(frame[log.item], option="--item", place=place, kind=item_kind),
        "time": ticks_of(times, seen.clock, place=place),
        "label": labels_of(frame[log.label], log, place=place) if log.label else _all_positive(len(frame)),
        **{
            f"{CONTEXT}{one.name}": context_of(frame[one.name], one.kind, tag_separator=log.tag_separator, place=place)
            for one in log.context
        },
    }
    events = pl.DataFrame([_as_first(column, name, seen, place=place).alias(name) for name, column in columns.items()])
    seen.rows += len(events)
    for name in ("user", "item", "time"):
        before = len(events)
        events = events.filter(pl.col(name).is_not_null())
        seen.dropped[f"without {name}"] = seen.dropped.get(f"without {name}", 0) + before - len(events)
    return events


def _all_positive(rows: int) -> pl.Series:
    return pl.repeat(1, rows, dtype=pl.Int8, eager=True)


def _as_first(column: pl.Series, name: str, seen: Reading, *, place: Place) -> pl.Series:
    """A column in the type that it had in the log's first rows."""
    if column.dtype == pl.Null:
        return column.cast(seen.kinds.get(name, pl.Int64 if name in ("user", "item") else pl.Null))
    kind = seen.kinds.setdefault(name, column.dtype)
    if column.dtype == kind:
        return column
    if name.startswith(CONTEXT):
        with suppress(polars.exceptions.PolarsError):
            return column.cast(kind)
    rule = f"must have one type in all files of a log, {shown(str(kind), limit=80)} before"
    raise place.refuse_type(column, rule=rule, remedy="write one type")

"""The events of a log by user, in files of one part of the users each, so that one part at a time is in memory.

A part holds the users whose hashes begin with its number. Within a part events are sorted by user's hash, user, time,
item and all else, and equal ones are one: what comes of a log depends neither on the order of its rows nor on how they
are spread over files. Legend: E events of a part.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.inputs.from_logs.hashing import Keys, hash_ids, keyed
from mmctr.inputs.vocabulary import Values, Vocabulary

PARTS = 64
_BITS = np.uint64(64 - 6)  # of a hash below the six that name the part
_ORDER = ("hash", "user", "time", "item")
OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Spread:
    """Writes events to the files of their parts, as they come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}
        self._items: pl.Series | None = None

    def add(self, events: pl.DataFrame) -> None:
        """Events as `read_events` has them."""
        if not len(events):
            return
        items = events["item"].unique()
        self._items = items if self._items is None else self._items.append(items).unique()
        hashes = hash_ids(events["user"])
        part = (hashes >> _BITS).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        table = events.with_columns(hash=pl.Series(hashes))[order].to_arrow(compat_level=pl.CompatLevel.oldest())
        ends = np.cumsum(np.bincount(part, minlength=PARTS))
        for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if end > start:
                self._writer(number, table.schema).write_table(table.slice(start, end - start))

    def _writer(self, number: int, schema: pa.Schema) -> pa.ipc.RecordBatchFileWriter:
        if number not in self._writers:
            self._writers[number] = pa.ipc.new_file(str(part_path(self.folder, number)), schema, options=OPTIONS)
        return self._writers[number]

    def close(self) -> Vocabulary:
        """End the files; returns the items of all events, sorted."""
        for writer in self._writers.values():
            writer.close()
        items = pl.Series([], dtype=pl.Int64) if self._items is None else self._items.sort()
        return Vocabulary(_plain(items))


def _plain(ids: pl.Series) -> Values:
    return ids.to_numpy() if ids.dtype == pl.Int64 else ids.to_arrow(compat_level=pl.CompatLevel.oldest())


def part_path(folder: Path, number: int) -> Path:
    """The file of a part."""
    return folder / f"part-{number:02d}.arrow"


@dataclass(frozen=True, eq=False)
class Part:
    """The events of some users, each user's in the order of time.

    Attributes:
        events: `user`, `time`, `label`, `hash` (of the user), `code` (of the item, 0..V-1), and the context.
    """

    events: pl.DataFrame

    @cached_property
    def user(self) -> npt.NDArray[np.int64]:
        """(E,) number of the event's user, from 0."""
        return self.events["user"].rle_id().to_numpy().astype(np.int64)

    @cached_property
    def user_start(self) -> npt.NDArray[np.int64]:
        """(E,) the first event of the same user."""
        return _starts(np.diff(self.user, prepend=-1) != 0)

    @cached_property
    def time_start(self) -> npt.NDArray[np.int64]:
        """(E,) the first event of the same user at the same time."""
        time = self.time
        return _starts(np.concatenate([[True], time[1:] != time[:-1]]) | (np.diff(self.user, prepend=-1) != 0))

    @cached_property
    def time(self) -> npt.NDArray[np.int64]:
        """(E,) ticks."""
        return self.events["time"].to_numpy()

    @cached_property
    def code(self) -> npt.NDArray[np.int64]:
        """(E,) row of the item among all items, from 0."""
        return self.events["code"].to_numpy().astype(np.int64)

    @cached_property
    def positive(self) -> npt.NDArray[np.bool_]:
        """(E,) whether the label is 1."""
        return self.events["label"].to_numpy() == 1

    @cached_property
    def keys(self) -> Keys:
        """(E,) a key for each event: its user's, and its place among that user's."""
        return keyed(self.user_keys, np.arange(len(self.events)) - self.user_start)

    @cached_property
    def user_keys(self) -> Keys:
        """(E,) the hash of the event's user."""
        return self.events["hash"].to_numpy()


def _starts(new: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


@dataclass
class Sorted:
    """What all parts have together."""

    events: int = 0
    doubles: int = 0  # rows that were equal to an event that is there
    users: int = 0
    first: int = 2**63 - 1  # ticks
    last: int = -(2**63)


def sort_parts(folder: Path, items: Vocabulary, *, advance: Callable[[], object]) -> Sorted:
    """Sort the files of `folder` and number their items."""
    whole = Sorted()
    for number in range(PARTS):
        path = part_path(folder, number)
        if path.is_file():
            events = _read(path)
            rest = [name for name in events.columns if name not in _ORDER]
            unique = events.unique().sort([*_ORDER, *rest], nulls_last=False)
            codes = items.lookup(_plain(unique["item"])) - 1
            _write(unique.drop("item").with_columns(code=pl.Series(codes)), path)
            whole.events += len(unique)
            whole.doubles += len(events) - len(unique)
            whole.users += unique["user"].rle_id()[-1] + 1
            whole.first = min(whole.first, int(unique["time"].min()))  # type: ignore[arg-type]
            whole.last = max(whole.last, int(unique["time"].max()))  # type: ignore[arg-type]
        advance()
    return whole


def parts(folder: Path) -> Iterator[Part]:
    """The sorted parts, one after another, in the order of their numbers."""
    for number in range(PARTS):
        path = part_path(folder, number)
        if path.is_file():
            yield Part(_read(path))


def times_of(folder: Path) -> Iterator[npt.NDArray[np.int64]]:
    """The times of the events of each part."""
    for number in range(PARTS):
        path = part_path(folder, number)
        if path.is_file():
            yield _read(path, column="time")["time"].to_numpy()


def _read(path: Path, *, column: str | None = None) -> pl.DataFrame:
    with pa.OSFile(str(path)) as file:
        if column is None:
            return pl.DataFrame(pl.from_arrow(pa.ipc.open_file(file).read_all()))
        only = pa.ipc.IpcReadOptions(included_fields=[pa.ipc.open_file(file).schema.get_field_index(column)])
        return pl.DataFrame(pl.from_arrow(pa.ipc.open_file(file, options=only).read_all()))


def _write(events: pl.DataFrame, path: Path) -> None:
    table = events.to_arrow(compat_level=pl.CompatLevel.oldest())
    with pa.ipc.new_file(str(path), table.schema, options=OPTIONS) as writer:
        writer.write_table(table)

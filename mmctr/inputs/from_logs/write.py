"""The files of the splits, written row group by row group. Legend: R rows, N ids in all histories together."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mmctr.inputs.from_logs.events import CONTEXT
from mmctr.inputs.from_logs.options import HISTORY, ITEM, LABEL, ROW_ID, TIME, USER
from mmctr.inputs.from_logs.rows import Histories
from mmctr.inputs.vocabulary import Vocabulary

GROUP_VALUES = 4_000_000  # ids of histories in a row group, at about
GROUP_ROWS = 250_000
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of one split, from one part of the log.

    Attributes:
        event: (R,) the event of each row.
        target: (R,) code of the item that is shown.
        label: (R,) 0 or 1.
    """

    event: Integers
    target: Integers
    label: npt.NDArray[np.int8]

    def slices(self, histories: Histories) -> Iterator["Rows"]:
        """The rows in pieces of about one row group."""
        weight = np.cumsum(histories.end[self.event] - histories.start[self.event] + GROUP_VALUES // GROUP_ROWS)
        start = 0
        while start < len(weight):
            end = max(start + 1, int(np.searchsorted(weight, weight[start] + GROUP_VALUES)))
            yield Rows(self.event[start:end], self.target[start:end], self.label[start:end])
            start = end


@dataclass
class SplitFile:
    """One parquet file, and for `test` the file of its labels."""

    path: Path
    labels: Path | None = None  # where the labels go, apart from the rows
    rows: int = 0
    positives: int = 0
    _writers: dict[Path, pq.ParquetWriter] = field(default_factory=dict)
    _waiting: list[pa.Table] = field(default_factory=list)
    _weight: int = 0

    def add(self, columns: dict[str, pa.Array], label: npt.NDArray[np.int8]) -> None:
        """Rows; they reach the disk when a row group is full."""
        row_id = pa.array(np.arange(self.rows, self.rows + len(label)))
        columns = {ROW_ID: row_id, **columns} if self.labels else columns
        self._waiting.append(pa.table({**columns, LABEL: pa.array(label.astype(np.int64))}))
        self.rows, self.positives = self.rows + len(label), self.positives + int(label.sum())
        self._weight += len(columns[HISTORY].values) + len(label) * (GROUP_VALUES // GROUP_ROWS)
        if self._weight >= GROUP_VALUES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).combine_chunks()
        if self.labels:
            self._write(self.labels, table.select([ROW_ID, LABEL]))
            table = table.drop_columns([LABEL])
        self._write(self.path, table)
        self._waiting, self._weight = [], 0

    def _write(self, path: Path, table: pa.Table) -> None:
        if path not in self._writers:
            self._writers[path] = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
        self._writers[path].write_table(table, row_group_size=max(1, len(table)))

    def __enter__(self) -> "SplitFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        for writer in self._writers.values():
            writer.close()


def columns_of(
    rows: Rows, events: pl.DataFrame, histories: Histories, *, items: Vocabulary, times: pl.Series
) -> dict[str, pa.Array]:
    """The columns of a split but for its row ids and labels; `times` are those of the part's events."""
    codes, offsets = histories.lists(rows.event)
    taken = events[rows.event]
    context = [name for name in events.columns if name.startswith(CONTEXT)]
    return {
        USER: _arrow(taken["user"]),
        TIME: _arrow(times.gather(rows.event)),
        HISTORY: pa.ListArray.from_arrays(pa.array(offsets), _ids(items, codes)),
        ITEM: _ids(items, rows.target),
        **{name.removeprefix(CONTEXT): _arrow(taken[name]) for name in context},
    }


def _arrow(column: pl.Series) -> pa.Array:
    return column.to_arrow(compat_level=pl.CompatLevel.oldest())


def _ids(items: Vocabulary, codes: Integers) -> pa.Array:
    if isinstance(items.values, np.ndarray):
        return pa.array(items.values[codes])
    return items.values.take(pa.array(codes))

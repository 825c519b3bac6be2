"""Vectors of items that exist already, in columns of the item table.

Legend: n items, R rows of a chunk, W the width of a column's vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_names, shown_value
from mmctr.embedding.options import Fuse
from mmctr.embedding.space import space_of_columns
from mmctr.embedding.vectors import ItemVectors, Part, fuse_parts, fused_parts
from mmctr.inputs.columns import ids_of
from mmctr.inputs.files import Files, listed
from mmctr.inputs.tables import column_names, count_rows, read_chunks

MAX_WIDTH = 65_536  # numbers of a vector
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view)


@dataclass(frozen=True)
class GivenCounts:
    """How many of the items have a vector in each column, and how many have none at all."""

    items: int
    found: dict[str, int]
    none: int


def read_item_vectors(
    files: Files, *, item_id: str, columns: Sequence[str], fuse: Fuse = "concat"
) -> tuple[ItemVectors, GivenCounts]:
    """The vectors that a table of items has, each L2-normalised, and fused where there are several columns.

    A column holds lists of one length, of floats or whole numbers of any width. A null, an empty list and zeros alone
    are a missing vector, which is zero in the result.

    Args:
        files: the item table, in the order of its files.
        item_id: its column of ids, all different.
        columns: its columns of vectors.
        fuse: the `mean` of the vectors that an item has, or `concat`, the columns side by side.

    Raises:
        InputError: a column is missing or holds something else, or the columns cannot be fused.
    """
    parts = given_parts(files, columns=columns)
    fused = fused_parts(parts, fuse=fuse)
    rows = count_rows(files)
    widths = [part.width for part in parts]
    side_by_side = np.zeros((rows, sum(widths)), np.float32)  # (n, E)
    ends = accumulate(widths)
    places = [_Column(part, side_by_side[:, end - part.width : end]) for part, end in zip(parts, ends, strict=True)]
    ids = []
    for chunk in read_chunks(files, columns=[item_id, *columns]):
        ids.append(pl.Series("item_id", ids_of(chunk.column(item_id))))
        for place in places:
            place.add(chunk.column(place.part.name), ids=ids[-1])
    vectors = side_by_side if fuse == "concat" else fuse_parts([place.rows for place in places], fuse=fuse)
    counts = GivenCounts(rows, {place.part.name: place.found for place in places}, int((~vectors.any(axis=1)).sum()))
    item_ids = pl.concat(ids) if ids else pl.Series("item_id", dtype=pl.Int64)
    if not item_ids.is_sorted():
        order = item_ids.arg_sort()
        item_ids, vectors = item_ids.gather(order), vectors[order.to_numpy()]
    return ItemVectors(item_ids, vectors, fused, space_of_columns(columns, fuse=fuse)), counts


def given_parts(files: Files, *, columns: Sequence[str]) -> tuple[Part, ...]:
    """The columns with the widths of their vectors, by the first that is there; no more is read.

    Raises:
        InputError: a column is missing, holds something else, or has no vector.
    """
    _check_names(files, columns)
    widths: dict[str, int] = {}
    for chunk in read_chunks(files, columns=columns):
        for name in columns:
            _check_type(name, chunk.column(name).type)
            lengths = _lists(chunk.column(name))[1]
            if name not in widths and lengths.any():
                widths[name] = int(lengths[lengths > 0][0])
        if len(widths) == len(columns):
            break
    for name in columns:
        if not 1 <= widths.get(name, 0) <= MAX_WIDTH:
            found = f"vectors of {widths[name]:,} numbers" if name in widths else "none"
            raise InputError(
                f"a column of vectors must have some, of at most {MAX_WIDTH:,} numbers, and {shown(name)} has {found}; "
                "name others"
            )
    return tuple(Part(name, widths[name]) for name in columns)


def _check_names(files: Files, columns: Sequence[str]) -> None:
    names = column_names(files)
    for name in columns:
        if name not in names:
            raise InputError(
                f"`columns` must name columns of the item table; {listed(files)[0]} has no {shown(name, limit=60)}, it "
                f"has {shown_names(names)}; name others"
            )


def _check_type(name: str, kind: pa.DataType) -> None:
    if pa.types.is_dictionary(kind):  # text is read as one
        kind = kind.value_type
    inner = kind.value_type if any(is_one(kind) for is_one in LISTS) else None
    if inner is None or not (pa.types.is_integer(inner) or pa.types.is_floating(inner)):
        raise InputError(
            f"a column of vectors must hold lists of numbers, and {shown(name)} holds {shown(str(kind))}; "
            "store it in a parquet file as a list or an array of floats"
        )


@dataclass
class _Column:
    """A column that is read chunk by chunk into `rows`, (n, W), which are zero at first."""

    part: Part
    rows: npt.NDArray[np.float32]
    done: int = 0
    found: int = 0

    def add(self, column: pa.Array, *, ids: pl.Series) -> None:
        """Take the next rows, those of the items `ids`."""
        _check_type(self.part.name, column.type)
        column, lengths = _lists(column)
        full = lengths > 0  # (R,)
        wrong = full & (lengths != self.part.width)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            self._refuse(row, ids, f"{lengths[row]} numbers where others have {self.part.width}")
        values = column.flatten()
        if values.null_count:
            self._refuse(self._row_of(values.is_null(), full), ids, "a null among numbers")
        numbers = values.to_numpy(zero_copy_only=False).reshape(-1, self.part.width)
        with np.errstate(over="ignore"):
            vectors = numbers.astype(np.float32, copy=False)
        squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)  # in float32 their sum may overflow
        if not np.isfinite(squares).all():
            flat = vectors.reshape(-1)
            at = int(np.flatnonzero(~np.isfinite(flat))[0])
            self._refuse(self._row_of(pa.array(~np.isfinite(flat)), full), ids, shown_value(numbers.flat[at].item()))
        norms = np.where(squares > 0, np.sqrt(squares), 1.0).astype(np.float32)
        target = self.rows[self.done : self.done + len(full)]
        if full.all():
            np.divide(vectors, norms[:, None], out=target)
        else:
            target[full] = vectors / norms[:, None]
        self.found += int((squares > 0).sum())
        self.done += len(full)

    def _row_of(self, wrong: pa.Array, full: npt.NDArray[np.bool_]) -> int:
        """The row of the first value that is wrong, of the values of the rows that are full."""
        at = int(np.flatnonzero(wrong.to_numpy(zero_copy_only=False))[0])
        return int(np.flatnonzero(full)[at // self.part.width])

    def _refuse(self, row: int, ids: pl.Series, found: str) -> None:
        raise InputError(
            f"a column of vectors must hold lists of finite numbers, all of one length; {shown(self.part.name)} has "
            f"{found} in row {self.done + row + 1}, item {shown_value(ids[row])}; repair that vector, or make it null"
        )


def _lists(column: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """A column without views, and (R,) the lengths of its lists; a null is as long as an empty one."""
    if pa.types.is_list_view(column.type):
        column = column.cast(pa.list_(column.type.value_type))
    if pa.types.is_fixed_size_list(column.type):
        present = column.is_valid().to_numpy(zero_copy_only=False)
        return column, np.where(present, column.type.list_size, 0)
    return column, column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)


COMPONENT = read_item_vectors

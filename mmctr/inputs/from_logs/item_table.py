"""The item table that goes with the splits: the user's own as it is, or the ids of the log."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from mmctr.common.errors import InputError
from mmctr.common.files import is_file
from mmctr.common.text import shown, shown_names, shown_value
from mmctr.inputs.from_logs.ids import ids_of
from mmctr.inputs.from_logs.log_files import is_parquet, names_of, read_log
from mmctr.inputs.from_logs.options import ITEM, ItemFormat, LogFormat
from mmctr.inputs.from_logs.place import Place
from mmctr.inputs.from_logs.values import context_of
from mmctr.inputs.vocabulary import Vocabulary

NAME = "items.parquet"


@dataclass(frozen=True, eq=False)
class ItemTable:
    """A user's item table.

    Attributes:
        ids: Int64 or String, unique.
        text: the whole table where it comes from CSV, to be written as parquet; None where the file is copied.
    """

    ids: pl.Series
    text: pl.DataFrame | None


def read_item_table(items: ItemFormat, log: LogFormat) -> ItemTable:
    """Read a user's item table.

    Raises:
        InputError: it cannot be read, a column is missing, or an id is missing or there twice.
    """
    path = items.file
    if not is_file(path):
        raise InputError(f"--items must be a parquet or CSV file; {shown(str(path))} is none")
    names = names_of(path, log)
    asked = {one.name: "--item-feature" for one in items.features}
    asked |= {items.item_id: "--items-id", items.title: "--title"}
    for name, option in asked.items():
        if name and name not in names:
            raise InputError(
                f"{path}: column {shown(name)} is missing; it has {shown_names(names)}; name the right one with "
                f"{option}"
            )
    wanted = [items.item_id] if is_parquet(path) else names
    chunks = list(read_log(path, log, columns=wanted))
    if not sum(map(len, chunks)):
        raise InputError(f"--items must have rows; {path} has none")
    table = pl.concat(chunks)
    place = Place(path, 1)
    ids = ids_of(table[items.item_id], option="--items-id", place=place)
    place.refuse(ids.is_null(), ids, rule="must not be null", remedy="leave these rows out")
    place.refuse(~ids.is_first_distinct(), ids, rule="must name an item in one row alone", remedy="keep one of them")
    if is_parquet(path):
        return ItemTable(ids, None)
    kinds = {one.name: one.kind for one in items.features}
    columns = [
        context_of(table[name], kinds.get(name, ""), tag_separator=log.tag_separator, place=place) for name in names
    ]
    return ItemTable(ids, pl.DataFrame(columns))


def write_item_table(folder: Path, *, items: ItemFormat | None, table: ItemTable | None, seen: Vocabulary) -> None:
    """Write `items.parquet`: a copy of the user's table, or one of the ids that the log has."""
    if items is None or table is None:
        values = pa.array(seen.values) if isinstance(seen.values, np.ndarray) else seen.values
        pq.write_table(pa.table({ITEM: values}), folder / NAME, compression="zstd")
    elif table.text is None:
        shutil.copyfile(items.file, folder / NAME)
    else:
        pq.write_table(table.text.to_arrow(compat_level=pl.CompatLevel.oldest()), folder / NAME, compression="zstd")


def check_overlap(seen: Vocabulary, table: ItemTable) -> int:
    """How many items of the log the table does not have; refused where it has none of them."""
    values = pl.Series(seen.values)
    known = int(values.is_in(table.ids.implode()).sum())
    if not known:
        raise InputError(
            f"the item table must have the items of the log; it has none of {len(seen)}: the log has "
            f"{shown_value(values[0])}, the table {shown_value(table.ids[0])}; name the columns of the ids with --item "
            "and --items-id"
        )
    return len(seen) - known

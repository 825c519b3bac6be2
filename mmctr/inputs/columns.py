"""Columns of the input files, as PyArrow reads them, in NumPy: whole numbers, lists of them, and text.

Whole numbers may be stored as integers of any width, as booleans, as decimals, or as floats (pandas makes floats of
integers where one was missing); text as strings or bytes, each plain or as a category. No other column is touched.
Legend: R rows, N entries of all lists together, padding included.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import first_line, shown, shown_names, shown_value
from mmctr.inputs.layout import ITEM_ID, ROW_ID, TITLE, Padding
from mmctr.inputs.parquet_footer import Footer, FooterError
from mmctr.inputs.vocabulary import Values

READ_VALUES = 262_144  # values that are unpacked at a time, padding included: 2 MB of int64
READ_ROWS_AT_LEAST = 256  # whatever number of values a footer claims
READ_BYTES = 1 << 20  # of the compressed column that are fetched at a time


@contextmanager
def open_columns(path: Path, *, columns: Sequence[str]) -> Iterator[pq.ParquetFile]:
    """The parquet file at `path` as if it had these columns alone; titles are read as a dictionary of texts.

    Arrow would fetch the compressed columns of the whole file ahead (`pre_buffer`).

    Raises:
        InputError: a column is missing or there twice, or the file cannot be read.
    """
    with readable(path):
        footer = Footer(path)
        names = footer.names
        for name in columns:
            if name not in names:
                raise InputError(f"{path}: column {name} is missing; it has {shown_names(names)}")
            if names.count(name) > 1:
                raise InputError(f"{path}: column names must be unique, {name} is there more than once; rename one")
        metadata = footer.only(columns)
        with pq.ParquetFile(
            path,
            metadata=metadata,
            buffer_size=READ_BYTES,
            pre_buffer=False,
            read_dictionary=[TITLE] if _can_be_read_as_dictionary(metadata) else None,
        ) as file:
            _check_row_counts(path, file.metadata)
            yield file


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what PyArrow says of a file that is damaged into an InputError."""
    try:
        yield
    except FooterError as error:
        raise InputError(f"{path} is not a readable parquet file: {error}; copy or download it again") from error
    except FileNotFoundError as error:
        raise InputError(f"{path} must be a parquet file; there is none") from error
    except (pa.ArrowException, OSError, OverflowError) as error:
        raise_if_of_the_machine(error, path=path)
        raise InputError(
            f"{path} must be a whole parquet file: {first_line(error)}; copy or download it again"
        ) from error


def column_names(path: Path) -> list[str]:
    """Names of all columns of a parquet file.

    Raises:
        InputError: it is none.
    """
    with readable(path):
        return Footer(path).names


def read_chunks(path: Path, *, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The columns of a parquet file, a few rows at a time: as many as have about READ_VALUES values.

    So the memory that reading needs depends on neither the number of rows nor the length of the lists nor the size of
    the row groups. Threads would each keep memory and gain nothing, as nearly all of the work is one column.

    Raises:
        InputError: a column is missing, or the file cannot be read to its end.
    """
    with open_columns(path, columns=columns) as file:
        yield from chunks_of(file)


def chunks_of(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    """All of an open file, as `read_chunks` says; titles come as a dictionary of texts."""
    names = file.schema_arrow.names
    plain_titles = TITLE in names and is_text(file.schema_arrow.field(TITLE).type)
    rows = READ_ROWS_AT_LEAST if plain_titles else READ_VALUES // _values_a_row(file.metadata)
    for chunk in file.iter_batches(batch_size=max(READ_ROWS_AT_LEAST, rows), use_threads=False):
        if plain_titles:  # few rows, as a title of a few bytes may repeat the beginning of the one before it
            titles = chunk.column(TITLE).cast(pa.large_binary()).dictionary_encode()
            yield chunk.set_column(names.index(TITLE), TITLE, titles)
        else:
            yield chunk


def _can_be_read_as_dictionary(footer: pq.FileMetaData) -> bool:
    """Whether there are titles that Arrow can read as a dictionary of texts; what encodes differences it cannot."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    columns = [index for index in range(footer.num_columns) if footer.schema.column(index).path == TITLE]
    return bool(columns) and not any(
        encoding.startswith("DELTA_")
        for group in groups
        for column in columns
        for encoding in group.column(column).encodings
    )


def _check_row_counts(path: Path, footer: pq.FileMetaData) -> None:
    """Refuse a footer that contradicts itself: Arrow would read fewer rows than there are, without a word."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    flat = [index for index in range(footer.num_columns) if footer.schema.column(index).max_repetition_level == 0]
    whole = all(group.column(index).num_values == group.num_rows for group in groups for index in flat)
    if not whole or sum(group.num_rows for group in groups) != footer.num_rows:
        raise InputError(
            f"{path} must be a whole parquet file: it lists {footer.num_rows} rows, and its parts have others; "
            "copy or download it again"
        )


def _values_a_row(footer: pq.FileMetaData) -> int:
    """How many values a row has on average, at least 1; padding counts as it is unpacked as well."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    values = sum(group.column(index).num_values for group in groups for index in range(footer.num_columns))
    return max(1, values // max(1, footer.num_rows))


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold whole numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts or bytes, each as it is."""
    return any(
        is_one(kind)
        for is_one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def stored_numbers(column: pa.Array) -> npt.NDArray[Any]:
    """(R,) values of a column of numbers or booleans without nulls, floats as they are; decimals where they fit."""
    if pa.types.is_decimal(column.type):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:  # a fraction, or more than 63 bits
            column = column.cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)


def not_whole(numbers: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    """(R,) which of `numbers` are no whole numbers; None where their type says that all are.

    A float above 2^53 may have been another whole number before it became one, so it counts as none.
    """
    if numbers.dtype.kind != "f":
        return None
    limit = float(2 ** (np.finfo(numbers.dtype).nmant + 1))
    with np.errstate(invalid="ignore"):
        return ~((np.abs(numbers) <= limit) & (np.trunc(numbers) == numbers))


def plain_numbers(column: pa.Array) -> npt.NDArray[np.integer]:
    """(R,) values of a column of whole numbers or booleans.

    Raises:
        InputError: a number is not whole, or missing.
    """
    numbers = stored_numbers(column)
    wrong = not_whole(numbers)
    if wrong is None:
        return numbers
    if wrong.any():
        raise InputError(f"ids, levels and labels must be whole numbers; found {shown_value(numbers[wrong][0].item())}")
    return numbers.astype(np.int64)


def flat_lists(column: pa.Array) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    """(N,) values and (R,) lengths of a column of lists without null lists."""
    lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return plain_numbers(column.flatten()), lengths


def ids_of(column: pa.Array) -> Values:
    """(R,) ids of a column without nulls, whatever type holds them: whole numbers, or texts.

    Raises:
        InputError: a number is not whole.
        pyarrow.ArrowInvalid: a text is no UTF-8.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_text(column.type):
        return column.cast(pa.large_string())
    return plain_numbers(column).astype(np.int64, copy=False)


def history_ids(column: pa.Array, *, padding: Padding) -> tuple[Values, npt.NDArray[np.int64]]:
    """(N,) ids in a column of lists without null lists, padding left out, and how many each of the (R,) rows has."""
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    entries = column.flatten()
    real = None
    if entries.null_count:
        real = entries.is_valid().to_numpy(zero_copy_only=False)
    ids = ids_of(entries.drop_null())
    if padding == "zero":
        kept = ids != 0 if isinstance(ids, np.ndarray) else pc.not_equal(ids, "").to_numpy(zero_copy_only=False)
        if not kept.all():
            ids = ids[kept] if isinstance(ids, np.ndarray) else ids.filter(pa.array(kept))
            if real is None:
                real = kept
            else:
                real[real] = kept
    if real is not None:
        ends = np.searchsorted(np.flatnonzero(real), np.cumsum(lengths))
        lengths = np.diff(ends, prepend=0)
    return ids, lengths


def text_of(column: pa.Array) -> pl.Series:
    """(R,) text of a column of titles; rows of one content share it, however often they repeat it.

    Raises:
        pyarrow.ArrowInvalid: a text is no UTF-8.
    """
    if not pa.types.is_dictionary(column.type):  # a column of nulls
        return pl.repeat(None, len(column), dtype=pl.String, eager=True)
    texts = pl.Series(column.dictionary.cast(pa.large_binary()).cast(pa.large_string()), dtype=pl.String)
    return texts.gather(pl.Series(column.indices.cast(pa.uint32())))


def read_items(path: Path) -> pl.DataFrame:
    """`item_id` i64 and `item_title` str of a file of items that was found good (`mmctr.inputs.rules`).

    Raises:
        InputError: the file cannot be read to its end.
    """
    ids, titles = [], []
    with readable(path):
        for chunk in read_chunks(path, columns=[ITEM_ID, TITLE]):
            ids.append(pl.Series(plain_numbers(chunk.column(ITEM_ID)).astype(np.int64)))
            titles.append(text_of(chunk.column(TITLE)))
    if not ids:
        return pl.DataFrame(schema={ITEM_ID: pl.Int64, TITLE: pl.String})
    return pl.DataFrame({ITEM_ID: pl.concat(ids), TITLE: pl.concat(titles)})


def read_ids(path: Path) -> pl.Series:
    """`ID` of a test split, whole numbers, in its order.

    Raises:
        InputError: there are no such numbers, or the file cannot be read to its end.
    """
    with open_columns(path, columns=[ROW_ID]) as file:
        kind = file.schema_arrow.field(ROW_ID).type
        if not is_number(kind):
            raise InputError(f"{path}: {ROW_ID} must be an integer, found {shown(str(kind))}")
        parts = [plain_numbers(chunk.column(ROW_ID)) for chunk in chunks_of(file)]
    return pl.Series(ROW_ID, np.concatenate(parts) if parts else np.zeros(0, np.int64))

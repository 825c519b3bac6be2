"""Columns of a parquet file, as PyArrow reads them, in NumPy: whole numbers, and lists of them.

Legend: R rows, N entries of all lists together, padding included.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mmctr.errors import InputError, first_line, raise_if_of_the_machine

READ_VALUES = 262_144  # values that are unpacked at a time, padding included: 2 MB of int64
READ_ROWS_AT_LEAST = 256  # whatever number of values a footer claims
READ_BYTES = 1 << 20  # of the compressed column that are fetched at a time


def read_chunks(path: Path, *, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The columns of a parquet file, a few rows at a time: as many as give about READ_VALUES values.

    So the memory that reading takes depends on neither the number of rows nor the length of the lists nor the size of
    the row groups. Arrow would else fetch the compressed columns of the whole file ahead (`pre_buffer`), and keep
    memory for each of its threads, which gain nothing as nearly all of the work is one column.

    Raises:
        InputError: the file cannot be read to its end.
    """
    try:
        with pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False) as file:
            _check_row_counts(path, file.metadata)
            rows = max(READ_ROWS_AT_LEAST, READ_VALUES // _values_a_row(file.metadata, columns=columns))
            yield from file.iter_batches(batch_size=rows, columns=list(columns), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise_if_of_the_machine(error, path=path)
        raise InputError(
            f"{path} must be a whole parquet file: {first_line(error)}; copy or download it again"
        ) from error


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


def _values_a_row(footer: pq.FileMetaData, *, columns: Sequence[str]) -> int:
    """How many values a row has on average in these columns, at least 1; padding counts as it is unpacked as well."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    leaves = [i for i in range(footer.num_columns) if footer.schema.column(i).path.partition(".")[0] in columns]
    values = sum(group.column(index).num_values for group in groups for index in leaves)
    return max(1, values // max(1, footer.num_rows))


def plain_numbers(column: pa.Array) -> npt.NDArray[np.integer]:
    """(R,) values of a column of whole numbers or booleans without nulls, also where it is dictionary encoded."""
    return column.to_numpy(zero_copy_only=False)


def flat_lists(column: pa.Array) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    """(N,) values and (R,) lengths of a column of lists or fixed-size lists without null lists."""
    if pa.types.is_fixed_size_list(column.type):
        lengths = np.full(len(column), column.type.list_size, dtype=np.int64)
    else:
        lengths = column.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64)
    return plain_numbers(column.flatten()), lengths

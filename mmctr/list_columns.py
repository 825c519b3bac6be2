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

READ_ROWS = 131_072  # rows that are unpacked at a time: 64 MB of padded int64 histories of 64


def read_chunks(path: Path, *, columns: Sequence[str], rows: int = READ_ROWS) -> Iterator[pa.RecordBatch]:
    """The columns of a parquet file, at most `rows` rows at a time.

    Raises:
        InputError: the file cannot be read to its end.
    """
    try:
        with pq.ParquetFile(path) as file:
            _check_row_counts(path, file.metadata)
            yield from file.iter_batches(batch_size=rows, columns=list(columns))
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

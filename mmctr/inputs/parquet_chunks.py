"""Wanted columns of one parquet file, a few rows at a time; no other column is touched.

Texts come as dictionaries where Arrow can read them so: a file of a few kilobytes may hold one text a million times.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import first_line
from mmctr.inputs.numbers import is_text
from mmctr.inputs.parquet_footer import Footer, FooterError

READ_VALUES = 262_144  # values that are unpacked at a time, padding included: 2 MB of int64
READ_ROWS_AT_LEAST = 256  # whatever number of values a footer claims
TEXT_BYTES = 32 << 20  # of the texts of a chunk, which a dictionary may hold once
READ_BYTES = 1 << 20  # of the compressed column that are fetched at a time


def parquet_names(path: Path) -> list[str]:
    """Names of all columns of a parquet file.

    Raises:
        InputError: it is none.
    """
    with readable(path):
        return Footer(path).names


def parquet_rows(path: Path) -> int:
    """How many rows a parquet file has.

    Raises:
        InputError: it is none.
    """
    with readable(path):
        return Footer(path).only([]).num_rows


def parquet_schema(path: Path, *, columns: Sequence[str]) -> pa.Schema:
    """Types of some columns, each of which is there once.

    Raises:
        InputError: the file cannot be read.
    """
    with _opened(path, columns=columns) as file:
        return file.schema_arrow


def parquet_chunks(path: Path, *, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns, each of which is there once: as many rows at a time as have about READ_VALUES values.

    So the memory that reading needs depends on neither the number of rows nor the length of the lists nor the size of
    the row groups. Threads would each keep memory and gain nothing, as nearly all of the work is one column.

    Raises:
        InputError: the file cannot be read to its end.
    """
    with _opened(path, columns=columns) as file:
        groups: list[list[int] | None] = [None]  # all together
        inner = [_inner(field.type) for field in file.schema_arrow if _inner(field.type) != field.type]
        if any(map(pa.types.is_dictionary, inner)):
            groups = [[number] for number in range(file.metadata.num_row_groups)]  # each has a dictionary of its own
        for group in groups:
            done = 0
            try:
                for chunk in _batches(file, group):
                    yield from _slices(chunk)
                    done += len(chunk)
            except pa.ArrowNotImplementedError:  # lists of texts of which only the first ones are in the dictionary
                with _opened(path, columns=columns, dictionaries=False) as plain:
                    yield from _from_row(_batches(plain, group), done)


def _batches(file: pq.ParquetFile, group: list[int] | None) -> Iterator[pa.RecordBatch]:
    """Rows of a row group, or of all of them, so many at a time that memory is bounded."""
    plain = any(is_text(field.type) or is_text(_inner(field.type)) for field in file.schema_arrow)
    # Few rows where texts are plain, as one of a few bytes may repeat the beginning of the one before it.
    rows = READ_ROWS_AT_LEAST if plain else READ_VALUES // _values_a_row(file.metadata)
    yield from file.iter_batches(batch_size=max(READ_ROWS_AT_LEAST, rows), use_threads=False, row_groups=group)


def _slices(chunk: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in pieces whose texts have at most about TEXT_BYTES, with each text in its row."""
    lengths = np.zeros(len(chunk), dtype=np.int64)
    for column in chunk.columns:
        if pa.types.is_dictionary(column.type) and is_text(column.type.value_type) and len(column.dictionary):
            of_text = pc.binary_length(column.dictionary.cast(pa.large_binary())).fill_null(0)
            lengths += of_text.to_numpy(zero_copy_only=False)[
                column.indices.fill_null(0).to_numpy(zero_copy_only=False)
            ]
    ends = np.cumsum(lengths)
    if not len(ends) or ends[-1] <= TEXT_BYTES:
        yield chunk
        return
    start = 0
    while start < len(chunk):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + TEXT_BYTES, side="right")))
        yield chunk.slice(start, stop - start)
        start = stop


def _from_row(chunks: Iterator[pa.RecordBatch], first: int) -> Iterator[pa.RecordBatch]:
    """Rows from number `first` on."""
    for chunk in chunks:
        if first < len(chunk):
            yield chunk.slice(first)
        first = max(0, first - len(chunk))


@contextmanager
def _opened(path: Path, *, columns: Sequence[str], dictionaries: bool = True) -> Iterator[pq.ParquetFile]:
    """The file as if it had these columns alone, texts as `dictionaries` where Arrow can read them so.

    Arrow would fetch the compressed columns of the whole file ahead (`pre_buffer`).
    """
    with readable(path):
        metadata = Footer(path).only(columns)
        with pq.ParquetFile(
            path,
            metadata=metadata,
            buffer_size=READ_BYTES,
            pre_buffer=False,
            read_dictionary=_texts(metadata) if dictionaries else None,
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


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) else kind


def _texts(footer: pq.FileMetaData) -> list[str]:
    """Columns that Arrow can read as dictionaries of texts; what encodes differences it cannot."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    return [
        footer.schema.column(index).path
        for index in range(footer.num_columns)
        if footer.schema.column(index).physical_type == "BYTE_ARRAY"
        and footer.schema.column(index).logical_type.type not in ("DECIMAL",)
        and not any(encoding.startswith("DELTA_") for group in groups for encoding in group.column(index).encodings)
    ]


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

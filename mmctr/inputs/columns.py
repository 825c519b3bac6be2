"""Columns of the input files, as PyArrow reads them: ids, histories, values of features, labels, titles.

Ids are integers or texts; whichever type holds them, they come as one of both. An item table decides for its data set
which they are, so what is written as text in a click log is read as integers where the items' ids are (`text`).
Legend: R rows, N ids of all histories together, padding left out.
"""

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.inputs.files import Files
from mmctr.inputs.layout import ItemColumns, Padding
from mmctr.inputs.numbers import (
    Mask,
    is_text,
    plain_numbers,
    read_floats,
    read_integers,
    stored_numbers,
    texts_of,
    value_type,
)
from mmctr.inputs.tables import count_rows, read_chunks
from mmctr.inputs.vocabulary import Values

ITEM_ID, TITLE, IMAGE = ITEM_NAMES = ("item_id", "title", "image")  # of the frame that `read_items` returns
CHALLENGE = ItemColumns()
NUMBERED = "row"  # name of the ids of rows that have none


def ids_of(column: pa.Array, *, text: bool | None = None) -> Values:
    """(R,) ids of a column without nulls, whatever type holds them: int64, or texts.

    Args:
        column: integers, whole floats or decimals, booleans, texts or bytes in UTF-8, each plain or as a dictionary.
        text: whether texts are wanted; None takes them as they are.

    Raises:
        InputError: a number is not whole; integers are wanted and a text is none, or texts are wanted.
        pyarrow.ArrowInvalid: a text is no UTF-8.
    """
    if not is_text(value_type(column.type)):
        if text:
            raise InputError("ids must be text in all files, as they are where they come from; write these as text")
        return plain_numbers(column).astype(np.int64, copy=False)
    texts = texts_of(column)
    if text is not False:
        return texts
    numbers, wrong = read_integers(texts)
    if wrong.any():
        found = shown_value(texts[int(wrong.argmax())].as_py())
        raise InputError(f"ids must be integers in all files, as they are where they come from; found {found}")
    return numbers


def history_ids(
    column: pa.Array, *, padding: Padding, separator: str = " ", text: bool | None = None
) -> tuple[Values, npt.NDArray[np.int64]]:
    """(N,) ids in a column of lists, or of texts that list them, and how many each of the (R,) rows has.

    A list that is missing is an empty one. Nulls and empty texts in a list are padding; 0 is if `padding` says so.

    Args:
        column: lists of any kind, of what `ids_of` reads; or texts with `separator` between the ids.
        padding: whether 0 is padding.
        separator: what is between the ids of a text.
        text: whether texts are wanted, as `ids_of` has it.
    """
    if is_text(value_type(column.type)):
        column = pc.split_pattern(texts_of(column), separator)
    lengths = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    entries = column.flatten()
    real = None  # which entries of the lists count; None: all of them
    if entries.null_count:
        real = entries.is_valid().to_numpy(zero_copy_only=False)
        entries = entries.drop_null()
    if is_text(value_type(entries.type)):
        entries = texts_of(entries)
        entries, real = _kept(entries, pc.not_equal(entries, "").to_numpy(zero_copy_only=False), real)
    if pa.types.is_null(entries.type):  # lists without entries, as a library types them that has seen none
        return (pa.array([], pa.large_string()) if text else np.zeros(0, np.int64)), np.zeros(len(lengths), np.int64)
    ids = ids_of(entries, text=text)
    if padding == "zero" and isinstance(ids, np.ndarray):
        ids, real = _kept(ids, ids != 0, real)
    return ids, lengths if real is None else np.diff(np.searchsorted(np.flatnonzero(real), lengths.cumsum()), prepend=0)


def _kept(values: Values, kept: Mask, real: Mask | None) -> tuple[Values, Mask | None]:
    """Those of `values` that are `kept`, and which entries of the lists they are; `real` are those of `values`."""
    if kept.all():
        return values, real
    values = values[kept] if isinstance(values, np.ndarray) else values.filter(pa.array(kept))
    if real is None:
        return values, kept
    real[real] = kept
    return values, real


def values_of(column: pa.Array, *, text: bool | None = None) -> tuple[Values, Mask]:
    """Values of a category as `ids_of` reads them, and which of the (R,) rows have one: a null or "" is none."""
    present = column.is_valid()
    if is_text(value_type(column.type)):
        column = texts_of(column)
        present = pc.and_(present, pc.fill_null(pc.not_equal(column, ""), False))
    if pa.types.is_null(column.type):
        column = column.cast(pa.large_string() if text else pa.int64())
    return ids_of(column.filter(present), text=text), present.to_numpy(zero_copy_only=False)


def numbers_of(column: pa.Array) -> npt.NDArray[np.float64]:
    """(R,) numbers, NaN where there is none: a null, a NaN, an empty text.

    Raises:
        InputError: a text is no number.
    """
    numbers = np.full(len(column), np.nan)
    present = column.is_valid().to_numpy(zero_copy_only=False)
    column = column.drop_null()
    if not len(column):
        return numbers
    if not is_text(value_type(column.type)):
        numbers[present] = stored_numbers(column)
        return numbers
    texts = texts_of(column)
    numbers[present], wrong = read_floats(texts)
    wrong &= pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
    if wrong.any():
        raise InputError(f"numbers must be written as such; found {shown_value(texts[int(wrong.argmax())].as_py())}")
    return numbers


def labels_of(column: pa.Array) -> npt.NDArray[np.float32]:
    """(R,) labels, float32 of 0 and 1, of a column without nulls that was found good (`mmctr.inputs.rules`)."""
    return numbers_of(column).astype(np.float32)


def text_of(column: pa.Array) -> pl.Series:
    """(R,) text of a column of titles; rows of one content share it, however often they repeat it.

    Raises:
        pyarrow.ArrowInvalid: a text is no UTF-8.
    """
    if pa.types.is_null(column.type):
        return pl.repeat(None, len(column), dtype=pl.String, eager=True)
    if not is_text(value_type(column.type)):
        return pl.Series(ids_of(column)).cast(pl.String)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.large_binary()).dictionary_encode()
    texts = pl.Series(column.dictionary.cast(pa.large_binary()).cast(pa.large_string()), dtype=pl.String)
    return texts.gather(pl.Series(column.indices.cast(pa.uint32())))


def read_items(files: Files, *, columns: ItemColumns = CHALLENGE) -> pl.DataFrame:
    """Id, title and image of each item of a table that was found good (`mmctr.inputs.rules`).

    Returns:
        `item_id` i64 or str; `title` str, null where there is none; `image` str: what the column names, or the id
        where images are called by it.

    Raises:
        InputError: a file cannot be read to its end.
    """
    named = [name for name in (columns.item_id, columns.title, columns.image) if name]
    parts = []
    for chunk in read_chunks(files, columns=list(dict.fromkeys(named))):
        ids = pl.Series(ids_of(chunk.column(columns.item_id)))
        title = text_of(chunk.column(columns.title) if columns.title else pa.nulls(len(chunk)))
        image = text_of(chunk.column(columns.image)) if columns.image else ids.cast(pl.String)
        parts.append(pl.DataFrame(dict(zip(ITEM_NAMES, (ids, title, image), strict=True))))
    return pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(ITEM_NAMES, pl.String))


def read_ids(files: Files, *, row_id: str) -> pl.Series:
    """Ids of the rows of a test split in its order, i64 or str, named as their column; from 0 on where it has none.

    Raises:
        InputError: the ids are neither whole numbers nor text, or a file cannot be read to its end.
    """
    if not row_id:
        return pl.Series(NUMBERED, np.arange(count_rows(files)))
    parts = [pl.Series(ids_of(chunk.column(row_id))) for chunk in read_chunks(files, columns=[row_id])]
    return pl.concat(parts).alias(row_id) if parts else pl.Series(row_id, dtype=pl.Int64)

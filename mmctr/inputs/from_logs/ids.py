"""Ids of users and items: whole numbers or text, of any type that holds them. Legend: R rows."""

import polars as pl

from mmctr.inputs.from_logs.hashing import LONGEST_ID
from mmctr.inputs.from_logs.place import Place, flat_text

LARGEST_WHOLE = 2.0**53  # a float above may have been another whole number before it became one


def ids_of(column: pl.Series, *, option: str, place: Place, kind: pl.DataType | None = None) -> pl.Series:
    """(R,) Int64 or String; null where there is no id, which an empty text is none.

    Args:
        column: of a log or an item table.
        option: that names the column.
        place: of the rows.
        kind: Int64 or String where the item table decides which.

    Raises:
        InputError: it holds something else.
    """
    column = _text_or_number(flat_text(column), option=option, place=place)
    if kind == pl.String and column.dtype == pl.Int64:
        column = column.cast(pl.String)
    elif kind == pl.Int64 and column.dtype == pl.String:
        column = _numbers_of_text(column, option=option, place=place)
    if column.dtype != pl.String:
        return column
    lengths = column.str.len_bytes()
    rule = f"must have ids of at most {LONGEST_ID} bytes"
    remedy = f"shorten them, or name another column with {option}"
    place.refuse((lengths > LONGEST_ID).fill_null(value=False), column, rule=rule, remedy=remedy)
    return column.set(lengths == 0, None)


def _text_or_number(column: pl.Series, *, option: str, place: Place) -> pl.Series:
    if column.dtype.is_numeric():
        return _whole(column, option=option, place=place)
    if column.dtype in (pl.String, pl.Null):
        return column
    remedy = f"name another column with {option}"
    raise place.refuse_type(column, rule="must hold ids, integers or text", remedy=remedy)


def _numbers_of_text(column: pl.Series, *, option: str, place: Place) -> pl.Series:
    numbers = column.set(column == "", None).cast(pl.Int64, strict=False)
    place.refuse(
        numbers.is_null() & (column != ""),
        column,
        rule="must hold integers, as the item table does",
        remedy=f"name another column with {option} or --items-id",
    )
    return numbers


def _whole(column: pl.Series, *, option: str, place: Place) -> pl.Series:
    """(R,) Int64 of a column of numbers; NaN counts as none."""
    remedy = f"write ids as integers or text, or name another column with {option}"
    if column.dtype.is_float():
        column = column.fill_nan(None)
        wrong = (column.round() != column) | (column.abs() > LARGEST_WHOLE)
    else:
        whole = column.cast(pl.Int64, strict=False)
        wrong = whole.is_null() | (whole.cast(column.dtype, strict=False) != column)
        wrong &= column.is_not_null()
    place.refuse(wrong.fill_null(value=False), column, rule="must hold whole numbers below 2^63", remedy=remedy)
    return column.cast(pl.Int64)

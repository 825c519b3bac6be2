"""Kinds of columns as PyArrow reads them, and the numbers that they hold, in NumPy.

Whole numbers may be stored as integers of any width, as booleans, as decimals, as floats (pandas makes floats of
integers where one was missing), or as text. Legend: R rows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value

Mask = npt.NDArray[np.bool_]


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold whole numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type holds texts or bytes, each as it is."""
    return any(
        is_one(kind)
        for is_one in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_string_view,
            pa.types.is_binary,
            pa.types.is_large_binary,
            pa.types.is_binary_view,
        )
    )


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists, of any length or of one."""
    return any(
        is_one(kind)
        for is_one in (
            pa.types.is_list,
            pa.types.is_large_list,
            pa.types.is_fixed_size_list,
            pa.types.is_list_view,
            pa.types.is_large_list_view,
        )
    )


def value_type(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, which a dictionary may hold."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def without_dictionary(column: pa.Array) -> pa.Array:
    """The column with each value in its row."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def texts_of(column: pa.Array) -> pa.Array:
    """(R,) texts or bytes as Arrow's large_string.

    Raises:
        pyarrow.ArrowInvalid: a text is no UTF-8.
    """
    return without_dictionary(column).cast(pa.large_string())


def stored_numbers(column: pa.Array) -> npt.NDArray[Any]:
    """(R,) values of a column of numbers or booleans without nulls, floats as they are; decimals where they fit."""
    column = without_dictionary(column)
    if pa.types.is_decimal(column.type):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:  # a fraction, or more than 63 bits
            column = column.cast(pa.float64())
    return column.to_numpy(zero_copy_only=False)


def not_whole(numbers: npt.NDArray[Any]) -> Mask | None:
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


def read_integers(texts: pa.Array) -> tuple[npt.NDArray[np.int64], Mask]:
    """(R,) whole numbers that texts without nulls say (`7`, `007`, `7.0`), and which say none."""
    try:
        return texts.cast(pa.int64()).to_numpy(zero_copy_only=False), np.zeros(len(texts), dtype=np.bool_)
    except pa.ArrowInvalid:
        pass
    series = pl.Series(texts, dtype=pl.String)
    integers = series.cast(pl.Int64, strict=False)
    unread = integers.is_null().to_numpy()
    numbers = integers.fill_null(0).to_numpy().copy()
    floats = series.filter(pl.Series(unread)).cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    wrong = not_whole(floats)
    assert wrong is not None
    numbers[unread] = np.where(wrong, 0, floats).astype(np.int64)
    unread[unread] = wrong
    return numbers, unread


def read_floats(texts: pa.Array) -> tuple[npt.NDArray[np.float64], Mask]:
    """(R,) numbers that texts without nulls say, `true` as 1 and `false` as 0, and which say none; NaN there."""
    series = pl.Series(texts, dtype=pl.String)
    floats = series.cast(pl.Float64, strict=False)
    if floats.null_count():
        lower = series.str.to_lowercase()
        floats = floats.fill_null(
            lower.replace_strict({"true": 1.0, "false": 0.0}, default=None, return_dtype=pl.Float64)
        )
    return floats.fill_null(np.nan).to_numpy(), floats.is_null().to_numpy()

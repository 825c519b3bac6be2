"""Labels, times and context of a log's rows, checked and in one type. Legend: R rows."""

import polars as pl

from mmctr.inputs.from_logs.clock import Clock
from mmctr.inputs.from_logs.options import LogFormat
from mmctr.inputs.from_logs.place import Place, flat_text


def labels_of(column: pl.Series, log: LogFormat, *, place: Place) -> pl.Series:
    """(R,) Int8, 0 or 1.

    Raises:
        InputError: a label is missing, or is neither.
    """
    column = flat_text(column)
    other = "name another column with --label"
    place.refuse(column.is_null(), column, rule="must not be null", remedy=f"leave these rows out, or {other}")
    if not (column.dtype in (pl.Boolean, pl.String) or column.dtype.is_numeric()):
        raise place.refuse_type(column, rule="must hold 0 and 1, or ratings", remedy=other)
    numbers = column.cast(pl.Float64, strict=False).fill_nan(None)
    place.refuse(numbers.is_null(), column, rule="must hold numbers", remedy=other)
    if log.positive_from is not None:
        return (numbers >= log.positive_from).cast(pl.Int8)
    ratings = "where it holds ratings, say which are positive, such as --positive-from 4"
    place.refuse((numbers != 0) & (numbers != 1), column, rule="must be 0 or 1", remedy=ratings)
    return numbers.cast(pl.Int8)


def ticks_of(column: pl.Series, clock: Clock | None, *, place: Place) -> pl.Series:
    """(R,) Int64, null where there is no time; without a clock, no row so far has had one.

    Raises:
        InputError: a time cannot be read, or is of another kind than the log's first.
    """
    if clock is None or column.dtype == pl.Null:
        return pl.repeat(None, len(column), dtype=pl.Int64, eager=True)
    if not clock.reads(column.dtype):
        raise place.refuse_type(column, rule=f"must hold {clock.name} in all files of a log", remedy="write one type")
    ticks = clock.ticks(column)
    missing = column.is_nan().fill_null(value=True) if column.dtype.is_float() else column.is_null()
    place.refuse(
        ticks.is_null() & ~missing,
        column,
        rule=f"must hold {clock.name}, as its first row does",
        remedy="correct them, or say the format of all with --time-format",
    )
    if ticks.null_count() < len(ticks):
        clock.check_range(int(ticks.min()), int(ticks.max()))  # type: ignore[arg-type]
    return ticks


def context_of(column: pl.Series, kind: str, *, tag_separator: str, place: Place) -> pl.Series:
    """(R,) as it is; text that was declared to be numbers or tags becomes that.

    Raises:
        InputError: a text is no number.
    """
    column = flat_text(column)
    inner = getattr(column.dtype, "inner", column.dtype)  # of lists
    if isinstance(inner, pl.Struct | pl.Object | pl.List | pl.Array):
        remedy = "name another column with --context, or write its parts as columns"
        raise place.refuse_type(column, rule="must hold values, or lists of them", remedy=remedy)
    if column.dtype != pl.String:
        return column
    if kind == "tags":
        return column.str.split(tag_separator).list.eval(pl.element().filter(pl.element() != ""))
    if kind == "number":
        numbers = column.cast(pl.Float64, strict=False)
        wrong = numbers.is_null() & column.is_not_null()
        place.refuse(wrong, column, rule="must hold numbers", remedy="correct them, or declare it a category")
        return numbers
    return column

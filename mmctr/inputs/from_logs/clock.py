"""Times of a log as whole numbers in one unit, however the log writes them.

Numbers stay the numbers that they are, floats count microseconds (or nanoseconds where that is their unit), dates and
times of day count in the unit of their column from 1970 on, in UTC. Legend: R rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.exceptions

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_value
from mmctr.inputs.from_logs.options import UNITS, LogFormat

FIRST, LAST = datetime(1678, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_DAY, _CLOCK = "%Y-%m-%d", "%H:%M:%S%.f"
_ENDINGS = ("", "%#z", " %#z", " UTC")
ISO = (_DAY, *(f"{_DAY}{sign}{_CLOCK}{end}" for sign in "T " for end in _ENDINGS), f"{_DAY} %H:%M", f"{_DAY}T%H:%M")


@dataclass(frozen=True)
class Clock:
    """How the times of one log are read, chosen by its first times."""

    form: str  # integer, float, datetime, or the format of a text
    unit: str  # of the whole numbers that times become: s, ms, us or ns
    scale: int = 1  # of a float
    zone: bool = False  # whether the log says which time zone
    text: bool = False  # whether the column is text

    def ticks(self, times: pl.Series) -> pl.Series:
        """(R,) Int64; null where a time is null or cannot be read."""
        if self.form == "integer":
            return times.cast(pl.Int64, strict=False)
        if self.form == "float":
            numbers = times.cast(pl.Float64, strict=False) * self.scale
            return pl.select(pl.when(numbers.abs() < 2.0**62).then(numbers.round())).to_series().cast(pl.Int64)
        if self.text:
            times = _read_text(times, self.form)
        elif times.dtype == pl.Date:
            times = times.cast(pl.Datetime("ms"))
        if getattr(times.dtype, "time_zone", None):
            times = times.dt.convert_time_zone("UTC")
        return times.dt.cast_time_unit(self.unit).to_physical()  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """What the column holds, for a message."""
        if self.text and self.form not in ("integer", "float"):
            return f"times as {self.form}"
        plain = {"integer": "whole numbers", "float": "numbers"}.get(self.form, "dates or times")
        return f"{plain} as text" if self.text else plain

    def reads(self, kind: pl.DataType) -> bool:
        """Whether a column of this type has times of this kind."""
        if self.text:
            return kind == pl.String
        if self.form == "float":
            return kind.is_numeric()
        return kind.is_integer() if self.form == "integer" else kind == pl.Date or isinstance(kind, pl.Datetime)

    def column(self, ticks: npt.NDArray[np.int64]) -> pl.Series:
        """(R,) as the output has them: whole numbers of the log as they were, all else as dates with times."""
        if self.form == "integer":
            return pl.Series(ticks)
        return pl.Series(ticks).cast(pl.Datetime(self.unit, "UTC" if self.zone else None))  # type: ignore[arg-type]

    def shown(self, tick: int) -> str:
        """A time as a person reads it."""
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=tick / UNITS[self.unit])
        text = moment.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")
        return f"{tick} ({text} UTC)" if self.form == "integer" else f"{text}{' UTC' if self.zone else ''}"

    def check_range(self, first: int, last: int) -> None:
        """Refuse times that nobody can have meant; the unit is wrong then."""
        low, high = (int(moment.timestamp()) * UNITS[self.unit] for moment in (FIRST, LAST))
        if first < low or last > high:
            raise InputError(
                f"times must lie between the years {FIRST.year} and {LAST.year}; found "
                f"{first if first < low else last} in the unit {self.unit!r}; say the unit of numbers with --time-unit "
                "(s, ms, us or ns)"
            )

    def parse(self, text: str, *, option: str) -> int:
        """A cut time that a user names, in the unit of the log's whole numbers, or as ISO 8601."""
        if self.form == "integer" and text.lstrip("-").isdigit() and text.isascii() and len(text) < 20:
            return _within_64_bits(int(text))
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise InputError(
                f"{option} must be a time such as 2024-05-31 or 2024-05-31T12:00:00, or for a log with whole numbers "
                f"one of those; found {shown_value(text)}"
            ) from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return _within_64_bits((since // timedelta(microseconds=1)) * UNITS[self.unit] // UNITS["us"])


def _within_64_bits(tick: int) -> int:
    """A cut beyond what a time can be is as good as the last one that it can be."""
    return max(-(2**63), min(2**63 - 1, tick))


def clock_of(times: pl.Series, log: LogFormat) -> Clock:
    """The clock for a log whose first times are `times`, at least one of them not null.

    Raises:
        InputError: the column's type is none of a time, or its first text is no time.
    """
    kind = times.dtype
    if kind.is_integer():
        return Clock("integer", log.time_unit)
    if kind.is_float() or kind.is_decimal():
        return _of_floats(log)
    if kind == pl.Date:
        return Clock("datetime", "ms")
    if isinstance(kind, pl.Datetime):
        return Clock("datetime", kind.time_unit, zone=kind.time_zone is not None)
    if kind != pl.String:
        raise InputError(
            f"column {shown(log.time)} must hold times: numbers, dates, or text; found {shown(str(kind), limit=80)}; "
            "name another column with --time"
        )
    return _of_text(times.drop_nulls()[0], log)


def _of_floats(log: LogFormat, *, text: bool = False) -> Clock:
    unit = "ns" if log.time_unit == "ns" else "us"
    return Clock("float", unit, scale=UNITS[unit] // UNITS[log.time_unit], text=text)


def _of_text(first: str, log: LogFormat) -> Clock:
    one = pl.Series([first])
    if log.time_format:
        formats: tuple[str, ...] = (log.time_format,)
    elif one.cast(pl.Int64, strict=False)[0] is not None:
        return Clock("integer", log.time_unit, text=True)
    elif one.cast(pl.Float64, strict=False)[0] is not None:
        return _of_floats(log, text=True)
    else:
        formats = ISO
    for form in formats:
        read = _read_text(one, form)
        if read[0] is not None:
            return Clock(form, "us", zone=getattr(read.dtype, "time_zone", None) is not None, text=True)
    iso = "a number, or as 2024-05-31 or 2024-05-31T12:00:00Z"
    expected = f"as {shown(log.time_format)}" if log.time_format else iso
    raise InputError(
        f"column {shown(log.time)} must hold times, {expected}; the first is {shown_value(first)}; say its format with "
        "--time-format, such as '%d.%m.%Y %H:%M', or name another column with --time"
    )


def _read_text(times: pl.Series, form: str) -> pl.Series:
    """(R,) Datetime in µs, null where a text is no such time."""
    try:
        if any(sign in form for sign in ("%H", "%I", "%s", "%T", "%R", "%X", "%c", "%r", "%+")):
            return times.str.to_datetime(form, strict=False, time_unit="us")
        return times.str.to_date(form, strict=False).cast(pl.Datetime("us"))
    except polars.exceptions.PolarsError:
        return pl.Series([None] * len(times), dtype=pl.Datetime("us"))

"""Where in the files a value is that cannot be used."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_value


@dataclass(frozen=True)
class Place:
    """Rows of a file, from `row` on, counted from 1."""

    path: Path
    row: int

    def refuse(self, wrong: pl.Series, values: pl.Series, *, rule: str, remedy: str) -> None:
        """Refuse values where some are `wrong`; the first is shown with its row."""
        count = int(wrong.sum() or 0)
        if count:
            at = wrong.arg_max() or 0
            raise InputError(
                f"{self.path}: {shown(values.name)} {rule}; {count} of the {len(values)} rows from {self.row} on do "
                f"not, the first is row {self.row + at} with {shown_value(values[at])}; {remedy}"
            )

    def refuse_type(self, values: pl.Series, *, rule: str, remedy: str) -> InputError:
        """The error for a column of a type that it cannot have."""
        found = shown(str(values.dtype), limit=80)
        return InputError(f"{self.path}: {shown(values.name)} {rule}; found {found}; {remedy}")


def flat_text(column: pl.Series) -> pl.Series:
    """A category as the text that it stands for."""
    return column.cast(pl.String) if isinstance(column.dtype, pl.Categorical | pl.Enum) else column

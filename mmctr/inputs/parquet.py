"""Parquet files as Polars reads them, each at the very path that is named.

Polars reads a `*`, `?` or `[` in a path as a pattern and a leading `~` for the user's folder, so without a word it
would read `/data/a1` where `/data/a[12]` was asked for.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl


def scan_table(path: Path) -> pl.LazyFrame:
    """The table at `path`, which is read once it is collected."""
    return pl.scan_parquet(path.absolute(), glob=False)


def read_table(path: Path, *, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The table at `path`, or some of its columns."""
    return pl.read_parquet(path.absolute(), columns=None if columns is None else list(columns), glob=False)


def table_schema(path: Path) -> pl.Schema:
    """Names and types of the columns of the table at `path`."""
    return scan_table(path).collect_schema()

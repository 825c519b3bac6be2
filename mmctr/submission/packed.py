"""A CSV alone in a zip: packed with the same bytes each time, and read with bounded work, as nobody can trust it."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.common.errors import InputError
from mmctr.common.files import replacing, write_bytes
from mmctr.common.text import first_line, shown_value

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the same rows make the same bytes
READABLE = 0o644 << 16
CSV_NAME = "prediction.csv"  # in a zip, as the challenge's scorer looks for it
ROW_BYTES = 1024  # no sensible row is longer; what is read of a zip stops there, whatever it would unpack to


def write_rows(table: pl.DataFrame, *, probabilities: Sequence[str], path: Path) -> None:
    """Write a CSV with LF line ends; `probabilities` names its columns of numbers in [0, 1].

    Raises:
        ValueError: one is NaN or outside [0, 1].
    """
    for name in probabilities:
        values: npt.NDArray[np.float32] = table[name].to_numpy()
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError("probabilities must be in [0, 1], without NaN")
    with replacing(path) as partial:
        table.write_csv(partial, line_terminator="\n")


def zip_prediction(csv: Path, path: Path) -> None:
    """Pack a CSV alone at the root of a zip; the same CSV makes the same bytes."""
    member = zipfile.ZipInfo(CSV_NAME, date_time=EPOCH)
    member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, READABLE
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, csv.read_bytes(), compresslevel=6)
    write_bytes(path, buffer.getvalue())


def check_rows(path: Path, *, test_ids: pl.Series, columns: Sequence[str], numbers: Sequence[str]) -> int:
    """Verify a CSV in a zip against the test split, and return its number of rows.

    Args:
        path: the zip.
        test_ids: (R,) ids of the rows of the test split, in its order.
        columns: of the CSV; the first holds the ids.
        numbers: columns that must be in [0, 1].

    Raises:
        InputError: the message names the first thing that is wrong.
    """
    rows = _read_rows(path, columns=columns, max_bytes=ROW_BYTES * (len(test_ids) + 1))
    if len(rows) != len(test_ids):
        raise InputError(f"{path.name}: one row for each of the {len(test_ids)} test IDs is needed, found {len(rows)}")
    ids = rows[columns[0]]
    differs = ids.ne_missing(test_ids.cast(pl.String)).arg_true()  # an empty ID is null
    if len(differs):
        at = differs[0]
        raise InputError(
            f"{path.name}: IDs must be in the order of test.parquet; row {at + 1} has ID "
            f"{shown_value(ids[at])}, the test split has {shown_value(test_ids[at])}"
        )
    for name in numbers:
        number = rows[name].cast(pl.Float64, strict=False)
        wrong = (~number.is_between(0, 1) | number.is_nan()).fill_null(True).arg_true()
        if len(wrong):
            found = shown_value(rows[name][wrong[0]])
            raise InputError(f"{path.name}: {name} must be a number in [0, 1], row {wrong[0] + 1} has {found}")
    return len(rows)


def _read_rows(path: Path, *, columns: Sequence[str], max_bytes: int) -> pl.DataFrame:
    """All cells of the CSV in the zip, as text."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if names != [CSV_NAME]:
                raise InputError(
                    f"{path.name}: the zip must hold exactly {CSV_NAME} at its root, found {shown_value(names)}"
                )
            with archive.open(CSV_NAME) as member:
                content = member.read(max_bytes + 1)  # the listed size may be wrong
    except FileNotFoundError:
        raise InputError(f"no submission at {path}; `mmctr run` writes one to BASE_PATH") from None
    except InputError:
        raise
    except Exception as error:  # a damaged zip can raise nearly anything in zipfile and its decompressors
        raise InputError(f"{path.name} is not a readable zip: {first_line(error)}; pack it again") from error
    if len(content) > max_bytes:
        raise InputError(f"{path.name}: {CSV_NAME} must be at most {max_bytes} bytes for this test split, it is larger")
    if b"\r" in content:
        raise InputError(f"{path.name}: lines of {CSV_NAME} must end with LF, found CR")
    header = content.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    expected = ",".join(columns)
    if header != expected:
        raise InputError(f"{path.name}: the header must be {expected!r}, found {shown_value(header)}")
    try:
        return pl.read_csv(content, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path.name}: {CSV_NAME} is not a readable CSV: {first_line(error)}") from error

"""The submission: `prediction.csv` and its zip, as the challenge's scorer reads them."""

import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.common.errors import InputError
from mmctr.common.files import replacing, write_bytes
from mmctr.common.text import first_line, shown_value
from mmctr.inputs.layout import CSV_FILE, PREDICTIONS_FOLDER, ROW_ID, SUBMISSION_COLUMNS, ZIP_FILE

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip can hold: the same rows make the same bytes
READABLE = 0o644 << 16
ROW_BYTES = 1024  # no sensible row is longer; what is read of a zip stops there, whatever it would unpack to


def write_prediction(ids: pl.Series, probabilities: npt.NDArray[np.float32], path: Path) -> None:
    """Write `prediction.csv`: one row for each test ID in test order, LF line ends.

    Args:
        ids: (R,) test IDs, integers.
        probabilities: (R,) float32 in [0, 1]; written with as many digits as the same float32 needs.
        path: where to write.

    Raises:
        ValueError: the lengths differ, or a probability is NaN or outside [0, 1].
    """
    if len(ids) != len(probabilities):
        raise ValueError(f"one probability for each ID is needed, found {len(probabilities)} for {len(ids)}")
    if not bool(((probabilities >= 0) & (probabilities <= 1)).all()):
        raise ValueError("probabilities must be in [0, 1], without NaN")
    zeros = pl.zeros(len(ids), dtype=pl.Int8, eager=True)
    table = pl.DataFrame(dict(zip(SUBMISSION_COLUMNS, (ids, zeros, zeros, probabilities), strict=True)))
    with replacing(path) as partial:
        table.write_csv(partial, line_terminator="\n")


def zip_prediction(csv: Path, path: Path) -> None:
    """Pack `prediction.csv` alone at the root of a zip; the same CSV makes the same bytes."""
    member = zipfile.ZipInfo(CSV_FILE, date_time=EPOCH)
    member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, READABLE
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, csv.read_bytes(), compresslevel=6)
    write_bytes(path, buffer.getvalue())


def check_submission(path: Path, *, test_ids: pl.Series) -> int:
    """Verify a submission zip against the test split.

    Args:
        path: the zip.
        test_ids: (R,) `ID` of the test split, in its order.

    Returns:
        The number of rows.

    Raises:
        InputError: something the scorer would refuse or score as 0; the message names the first such thing.
    """
    rows = _read_rows(path, max_bytes=ROW_BYTES * (len(test_ids) + 1))
    if len(rows) != len(test_ids):
        raise InputError(f"{path.name}: one row for each of the {len(test_ids)} test IDs is needed, found {len(rows)}")
    differs = rows[ROW_ID].ne_missing(test_ids.cast(pl.String)).arg_true()  # an empty ID is null
    if len(differs):
        at = differs[0]
        raise InputError(
            f"{path.name}: IDs must be in the order of test.parquet; row {at + 1} has ID "
            f"{shown_value(rows[ROW_ID][at])}, the test split has {test_ids[at]}"
        )
    for name in SUBMISSION_COLUMNS[1:]:
        number = rows[name].cast(pl.Float64, strict=False)
        wrong = (~number.is_between(0, 1) | number.is_nan()).fill_null(True).arg_true()
        if len(wrong):
            found = shown_value(rows[name][wrong[0]])
            raise InputError(f"{path.name}: {name} must be a number in [0, 1], row {wrong[0] + 1} has {found}")
    return len(rows)


def _read_rows(path: Path, *, max_bytes: int) -> pl.DataFrame:
    """All cells of the CSV in the zip, as text."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if names != [CSV_FILE]:
                raise InputError(
                    f"{path.name}: the zip must hold exactly {CSV_FILE} at its root, found {shown_value(names)}"
                )
            with archive.open(CSV_FILE) as member:
                content = member.read(max_bytes + 1)  # the listed size may be wrong
    except FileNotFoundError:
        raise InputError(f"no submission at {path}; `mmctr run` writes {PREDICTIONS_FOLDER}/{ZIP_FILE}") from None
    except InputError:
        raise
    except Exception as error:  # a damaged zip can raise nearly anything in zipfile and its decompressors
        raise InputError(f"{path.name} is not a readable zip: {first_line(error)}; pack it again") from error
    if len(content) > max_bytes:
        raise InputError(f"{path.name}: {CSV_FILE} must be at most {max_bytes} bytes for this test split, it is larger")
    if b"\r" in content:
        raise InputError(f"{path.name}: lines of {CSV_FILE} must end with LF, found CR")
    header = content.split(b"\n", 1)[0].decode("utf-8", errors="replace")
    expected = ",".join(SUBMISSION_COLUMNS)
    if header != expected:
        raise InputError(f"{path.name}: the header must be {expected!r}, found {shown_value(header)}")
    try:
        return pl.read_csv(content, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path.name}: {CSV_FILE} is not a readable CSV: {first_line(error)}") from error

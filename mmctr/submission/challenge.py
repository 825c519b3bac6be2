"""The submission as the challenge's scorer reads it: ids, zeros for the tasks that are not asked for, probabilities."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.submission.packed import check_rows, write_rows

COLUMNS = ("ID", "Task1", "Task2", "Task1&2")  # of the CSV; the last is what every prediction fills
OTHERS = COLUMNS[1:3]  # those that stay 0 unless a model is named for them


def write_prediction(
    ids: pl.Series,
    probabilities: npt.NDArray[np.float32],
    path: Path,
    *,
    others: Mapping[str, npt.NDArray[np.float32]] = MappingProxyType({}),
) -> None:
    """Write the CSV: one row for each test ID in test order, LF line ends.

    Args:
        ids: (R,) test IDs, integers or texts.
        probabilities: (R,) float32 in [0, 1] of `Task1&2`; written with as many digits as the same float32 needs.
        path: where to write.
        others: the same of `Task1` and `Task2`, where these are not to be 0.

    Raises:
        ValueError: the lengths differ, or a probability is NaN or outside [0, 1].
    """
    filled = {**others, COLUMNS[-1]: probabilities}
    for column, values in filled.items():
        if len(ids) != len(values):
            raise ValueError(f"one probability for each ID is needed, found {len(values)} for {len(ids)} in {column}")
    zeros = pl.zeros(len(ids), dtype=pl.Int8, eager=True)
    table = pl.DataFrame({COLUMNS[0]: ids, **{column: filled.get(column, zeros) for column in COLUMNS[1:]}})
    write_rows(table, probabilities=tuple(filled), path=path)


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
    return check_rows(path, test_ids=test_ids, columns=COLUMNS, numbers=COLUMNS[1:])

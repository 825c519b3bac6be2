"""The submission as the challenge's scorer reads it: ids, zeros for the tasks that are not asked for, probabilities."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.submission.packed import check_rows, write_rows

COLUMNS = ("ID", "Task1", "Task2", "Task1&2")  # of the CSV; the last is what this project predicts


def write_prediction(ids: pl.Series, probabilities: npt.NDArray[np.float32], path: Path) -> None:
    """Write the CSV: one row for each test ID in test order, LF line ends.

    Args:
        ids: (R,) test IDs, integers or texts.
        probabilities: (R,) float32 in [0, 1]; written with as many digits as the same float32 needs.
        path: where to write.

    Raises:
        ValueError: the lengths differ, or a probability is NaN or outside [0, 1].
    """
    if len(ids) != len(probabilities):
        raise ValueError(f"one probability for each ID is needed, found {len(probabilities)} for {len(ids)}")
    zeros = pl.zeros(len(ids), dtype=pl.Int8, eager=True)
    table = pl.DataFrame(dict(zip(COLUMNS, (ids, zeros, zeros, probabilities), strict=True)))
    write_rows(table, probability=COLUMNS[-1], path=path)


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

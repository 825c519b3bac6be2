"""A prediction for whoever reads a table: the row's id and its probability."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from mmctr.submission.packed import check_rows, write_rows

PROBABILITY = "probability"
OTHER_NAME = "row"  # of the ids' column, where it cannot have its own


def write_prediction(ids: pl.Series, probabilities: npt.NDArray[np.float32], path: Path) -> None:
    """Write the CSV: one row for each row of the test split in its order, LF line ends.

    Args:
        ids: (R,) ids of the rows, integers or texts, named as their column.
        probabilities: (R,) float32 in [0, 1]; written with as many digits as the same float32 needs.
        path: where to write.

    Raises:
        ValueError: the lengths differ, or a probability is NaN or outside [0, 1].
    """
    if len(ids) != len(probabilities):
        raise ValueError(f"one probability for each row is needed, found {len(probabilities)} for {len(ids)}")
    table = pl.DataFrame({_name(ids): ids, PROBABILITY: probabilities})
    write_rows(table, probabilities=(PROBABILITY,), path=path)


def check_submission(path: Path, *, test_ids: pl.Series) -> int:
    """Verify a zip of such a CSV against the test split, and return its number of rows.

    Args:
        path: the zip.
        test_ids: (R,) ids of the rows of the test split, in its order, named as their column.

    Raises:
        InputError: the message names the first thing that is wrong.
    """
    columns = (_name(test_ids), PROBABILITY)
    return check_rows(path, test_ids=test_ids, columns=columns, numbers=columns[1:])


def _name(ids: pl.Series) -> str:
    return OTHER_NAME if ids.name in ("", PROBABILITY) else ids.name

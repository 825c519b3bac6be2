"""Two halves of the validation clicks: by one a search chooses, by the other its choice is judged.

A figure by which one of many models was chosen is too good, as the luckiest of equals wins. On rows that took no part
in the choice it is what a new user would see.
"""

import numpy as np
import numpy.typing as npt

from mmctr.clicks.parts import read_part
from mmctr.common.errors import InputError
from mmctr.inputs.columns import labels_of
from mmctr.inputs.files import Files
from mmctr.inputs.hashes import GOLDEN, mixed
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import Half, HeldOut
from mmctr.inputs.tables import column_names

SHARE, SEED = 0.5, 13  # of the rows that judge; a seed of its own, as users may be held out by the same hash
FEWEST = 2  # rows of each class in a half: a standard error needs them


def rows_of(half: Half, clicks: Files, *, label: str, held_out: HeldOut | None = None) -> npt.NDArray[np.bool_]:
    """(R,) which rows of a click log are in a half.

    Args:
        half: the half that is meant.
        clicks: the files of the click log.
        label: its column of 0 and 1.
        held_out: which rows of the files are the click log, where users are held out; None for all.

    Raises:
        InputError: a file cannot be read, or a half has too few rows of a class for an AUC and its standard error.
    """
    has_user = bool(half.user) and half.user in column_names(clicks)
    columns = [label, *([half.user] if has_user else [])]
    rule = HeldOut(user=half.user, share=SHARE, seed=SEED, part="valid" if half.part == "judging" else "train")
    rows, labels, done = [], [], 0
    for chunk in read_part(clicks, columns=columns, held_out=held_out):
        rows.append(kept_rows(chunk[half.user], rule) if has_user else _by_number(done, len(chunk), half.part))
        labels.append(labels_of(chunk[label]).astype(bool))
        done += len(chunk)
    kept, positive = (np.concatenate(parts) if parts else np.zeros(0, dtype=bool) for parts in (rows, labels))
    _check_classes(positive[kept], half)
    return kept


def _by_number(first: int, count: int, part: str) -> npt.NDArray[np.bool_]:
    """The same by the numbers of `count` rows from `first` on."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    judging = mixed(numbers + np.array([SEED], dtype=np.uint64) * GOLDEN) < np.uint64(2**63)
    return judging if part == "judging" else ~judging


def _check_classes(positive: npt.NDArray[np.bool_], half: Half) -> None:
    """Refuse a half without enough rows of both classes."""
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if min(ones, zeros) < FEWEST:
        raise InputError(
            f"a search chooses by one half of the validation clicks and judges by the other, and each needs {FEWEST} "
            f"rows of each class at least; the {half.part} one has {ones} with label 1 and {zeros} with label 0; add "
            "validation clicks"
        )

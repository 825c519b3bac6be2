"""How predictions are written, by the name of the form, as `Layout.submission` has it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from mmctr.inputs.layout import Submission
from mmctr.submission import challenge, plain


class Check(Protocol):
    """Verifies a zip, and returns its number of rows."""

    def __call__(self, path: Path, *, test_ids: pl.Series) -> int: ...


@dataclass(frozen=True)
class Form:
    """What writes a CSV, and what verifies it in its zip."""

    write: Callable[..., None]  # (ids, probabilities, path), and `others` by their columns where it has some
    check: Check
    others: tuple[str, ...]  # columns that further models may fill


FORMS: dict[Submission, Form] = {
    "challenge": Form(challenge.write_prediction, challenge.check_submission, challenge.OTHERS),
    "plain": Form(plain.write_prediction, plain.check_submission, ()),
}

"""Predictions as a plain table, and text ids in both forms."""

import zipfile

import numpy as np
import polars as pl
import pytest

from mmctr.common.errors import InputError
from mmctr.submission.forms import FORMS
from mmctr.submission.packed import zip_prediction

TEXTS = pl.Series("request", ["r-1", 'a "b", c', "é", "007"])
PROBABILITIES = np.array([0.25, 1.0, 1e-9, 0], dtype=np.float32)


@pytest.mark.parametrize(
    ("form", "header"), [("plain", "request,probability"), ("challenge", "ID,Task1,Task2,Task1&2")]
)
def test_ids_may_be_text(tmp_path, form, header):
    FORMS[form].write(TEXTS, PROBABILITIES, tmp_path / "scores.csv")
    assert (tmp_path / "scores.csv").read_text().splitlines()[0] == header
    zip_prediction(tmp_path / "scores.csv", tmp_path / "s.zip")
    assert FORMS[form].check(tmp_path / "s.zip", test_ids=TEXTS) == 4
    other = pl.Series("request", [*TEXTS[:2], "e", "007"])
    with pytest.raises(InputError, match=r"row 3 has ID 'é', the test split has 'e'"):
        FORMS[form].check(tmp_path / "s.zip", test_ids=other)
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.write(tmp_path / "scores.csv", "scores.csv")
    with pytest.raises(InputError, match=r"exactly prediction\.csv at its root"):
        FORMS[form].check(tmp_path / "s.zip", test_ids=TEXTS)


def test_the_bytes_are_these(tmp_path):
    FORMS["plain"].write(TEXTS, PROBABILITIES, tmp_path / "p.csv")
    written = 'request,probability\nr-1,0.25\n"a ""b"", c",1.0\né,1e-9\n007,0.0\n'
    assert (tmp_path / "p.csv").read_text() == written


@pytest.mark.parametrize("name", ["", "probability", "row"])
def test_rows_that_have_no_name_of_their_own_are_numbered(tmp_path, name):
    FORMS["plain"].write(pl.Series(name, [0, 1]), PROBABILITIES[:2], tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "row,probability\n0,0.25\n1,1.0\n"


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(ValueError, match="one probability for each row is needed, found 4 for 2"):
        FORMS["plain"].write(TEXTS[:2], PROBABILITIES, tmp_path / "p.csv")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        FORMS["plain"].write(TEXTS, np.full(4, np.nan, np.float32), tmp_path / "p.csv")
    for content, message in (
        ("request,probability\nr-1,x\n", "probability must be a number in"),
        ("request,p\nr-1,0.5\n", "the header must be 'request,probability', found 'request,p'"),
        ("request,probability\n", "each of the 1 test IDs is needed, found 0"),
    ):
        with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
            archive.writestr("prediction.csv", content)
        with pytest.raises(InputError, match=message):
            FORMS["plain"].check(tmp_path / "s.zip", test_ids=TEXTS[:1])

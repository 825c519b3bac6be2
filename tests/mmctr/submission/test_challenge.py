import hashlib
import tracemalloc
import zipfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmctr.common.errors import InputError
from mmctr.submission.challenge import check_submission, write_prediction
from mmctr.submission.packed import zip_prediction

IDS = pl.Series("ID", [0, 7, 3])
GOOD = "ID,Task1,Task2,Task1&2\n0,0,0,0.25\n7,0,0,1.0\n3,0,0,1e-9\n"


def test_the_bytes_are_these(tmp_path):
    write_prediction(IDS, np.array([0.25, 1.0, 1e-9], dtype=np.float32), tmp_path / "prediction.csv")
    assert (tmp_path / "prediction.csv").read_text() == GOOD
    for name in ("a.zip", "b.zip"):
        zip_prediction(tmp_path / "prediction.csv", tmp_path / name)
    assert len({hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.zip", "b.zip")}) == 1
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["prediction.csv"]
    assert check_submission(tmp_path / "a.zip", test_ids=IDS) == 3


def test_other_columns_are_written_where_they_are_given(tmp_path):
    ones = np.array([0.25, 1.0, 1e-9], dtype=np.float32)
    write_prediction(IDS, ones, tmp_path / "prediction.csv", others={"Task2": ones[::-1]})
    rows = [f"{a},0,{c},{d}" for a, c, d in ((0, "1e-9", "0.25"), (7, "1.0", "1.0"), (3, "0.25", "1e-9"))]
    assert (tmp_path / "prediction.csv").read_text() == "\n".join(["ID,Task1,Task2,Task1&2", *rows, ""])
    zip_prediction(tmp_path / "prediction.csv", tmp_path / "a.zip")
    assert check_submission(tmp_path / "a.zip", test_ids=IDS) == 3
    for wrong, words in ((ones[:2], "found 2 for 3 in Task1"), (ones * 2, r"in \[0, 1\]")):
        with pytest.raises(ValueError, match=words):
            write_prediction(IDS, ones, tmp_path / "other.csv", others={"Task1": wrong})
    assert not (tmp_path / "other.csv").exists()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_probabilities_are_read_back_as_they_were(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("csv") / "prediction.csv"
    probabilities = np.array(values, dtype=np.float32)
    write_prediction(pl.Series(range(len(values))), probabilities, path)
    read = pl.read_csv(path, schema_overrides={"Task1&2": pl.Float32})["Task1&2"].to_numpy()
    assert np.array_equal(read, probabilities)


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5, np.inf])
def test_what_is_no_probability_is_never_written(tmp_path, value):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        write_prediction(IDS, np.array([0.5, value, 0.5], dtype=np.float32), tmp_path / "prediction.csv")
    assert list(tmp_path.iterdir()) == []


def packed(tmp_path, content, *, name="prediction.csv", method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(tmp_path / "s.zip", "w", method) as archive:
        archive.writestr(name, content)
    return tmp_path / "s.zip"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD.replace("Task2", "Task3"), "the header must be"),
        (GOOD.replace("\n", "\r\n"), "must end with LF"),
        (GOOD.replace("3,0,0,1e-9\n", ""), "each of the 3 test IDs is needed, found 2"),
        (GOOD.replace("7,0", "8,0"), "row 2 has ID '8', the test split has 7"),
        (GOOD.replace("7,0", ",0"), "row 2 has ID None, the test split has 7"),
        (GOOD.replace("0.25", "nan"), "row 1 has 'nan'"),
        (GOOD.replace("1.0", "1.01"), "row 2 has '1.01'"),
        (GOOD.replace("1.0", "-0.5"), "row 2 has '-0.5'"),
        (GOOD.replace("1.0", ""), "row 2 has None"),
        (GOOD.replace("1.0", "high"), "row 2 has 'high'"),
        (GOOD.replace("0,0,0,0.25", "0,x,0,0.25"), "Task1 must be a number"),
        (GOOD.replace("1.0", "1.0,1"), "not a readable CSV"),
        ("", "the header must be"),
    ],
)
def test_what_the_scorer_would_refuse_is_named(tmp_path, content, message):
    with pytest.raises(InputError) as error:
        check_submission(packed(tmp_path, content), test_ids=IDS)
    assert message in str(error.value)


def test_a_good_one_passes_and_other_zips_are_refused(tmp_path):
    assert check_submission(packed(tmp_path, GOOD), test_ids=IDS) == 3
    with pytest.raises(InputError, match=r"exactly prediction\.csv at its root"):
        check_submission(packed(tmp_path, GOOD, name="folder/prediction.csv"), test_ids=IDS)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(InputError, match="not a readable zip"):
        check_submission(tmp_path / "text.zip", test_ids=IDS)
    for damage in (0x00, 0xFF):  # a broken deflate stream is neither a bad zip nor an OSError
        whole = packed(tmp_path, GOOD, method=zipfile.ZIP_DEFLATED).read_bytes()
        (tmp_path / "torn.zip").write_bytes(whole[:45] + bytes([damage] * 12) + whole[57:])
        with pytest.raises(InputError, match="not a readable zip"):
            check_submission(tmp_path / "torn.zip", test_ids=IDS)
    with pytest.raises(InputError, match="no submission at"):
        check_submission(tmp_path / "absent.zip", test_ids=IDS)


def test_a_zip_that_would_unpack_to_gigabytes_is_not_unpacked(tmp_path):
    path = packed(tmp_path, GOOD + "\n" * 20_000_000, method=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"at most 4096 bytes for this test split"):
        check_submission(path, test_ids=IDS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_message_stays_short_whatever_the_cell(tmp_path):
    with pytest.raises(InputError) as error:
        check_submission(packed(tmp_path, GOOD.replace("1.0", "9" * 3000)), test_ids=IDS)
    assert len(str(error.value)) < 200
    with pytest.raises(InputError) as error:
        check_submission(packed(tmp_path, GOOD, name="n" * 60_000), test_ids=IDS)
    assert len(str(error.value)) < 250

"""A short run of `benchmarks/fuzz.py`: the long one, and what it found, stands in benchmarks/fuzz.md."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import PROJECT

BENCHMARKS = PROJECT / "benchmarks"
CASES = {
    "archive": 60,
    "packed": 200,
    "image": 400,
    "parquet": 120,
    "config": 300,
    "submission": 200,
    "checkpoint": 150,
}


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def test_every_reader_has_a_short_run() -> None:
    from fuzz_readers import READERS

    assert {*CASES, "selftest"} == set(READERS)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("reader", CASES)
def test_no_case_fails(reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, so without the limits on time and memory of the long run; seed 7 is no long run's."""
    from fuzz import run_case
    from fuzz_readers import READERS

    import mmctr.common.files

    monkeypatch.setattr(mmctr.common.files.os, "sync", lambda: None)
    (tmp_path / "state").mkdir()
    state = READERS[reader].prepare(tmp_path / "state")
    answers = [
        run_case(reader, number, seed=7, state=state, folder=tmp_path / "case") for number in range(CASES[reader])
    ]
    assert [answer for answer in enumerate(answers) if answer[1][0] != "ok"] == []
    assert {kind for _, kind in answers} == {"read", "refused"}


def test_what_fails_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import fuzz_verdicts
    from fuzz import READERS, run_case

    def hostile(_: object, __: object, folder: Path) -> str:
        raise KeyError(str(folder))

    monkeypatch.setitem(READERS, "config", fuzz_verdicts.Reader(lambda _: None, hostile))
    status, detail = run_case("config", 3, seed=0, state=None, folder=tmp_path / "case")
    assert status == "failed"
    assert detail.startswith("KeyError: ")


def test_the_long_run_outlives_a_crash_and_a_hang(tmp_path: Path) -> None:
    """Each costs its own case only."""
    import fuzz

    outcome = fuzz.fuzz("selftest", first=0, cases=4, seed=280, limit=1, memory_mib=512)
    assert outcome.cases == 4
    assert [number for number, _ in outcome.failed] == [1, 2]
    assert "the process ended with code -6" in outcome.failed[0][1]
    assert "no answer in 1 s" in outcome.failed[1][1]
    assert outcome.counts == {"read": 2}

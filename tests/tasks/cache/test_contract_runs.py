"""The last table of docs/cache-contract.md: whole runs, which also compare what they publish."""

from pathlib import Path

import pytest
from cache_contract import stages_that_run, table
from finished_run import CHANGES, WITHOUT_EFFECT, outputs, ran, run

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("quiet_mlflow")]


def test_every_whole_run_has_a_row():
    assert {*CHANGES, *WITHOUT_EFFECT} == set(table("Whole runs"))


@pytest.mark.parametrize(("name", "words"), table("Whole runs").items())
def test_whole_run(name, words, finished):
    prepared = {**CHANGES, **WITHOUT_EFFECT}[name](finished)
    base = prepared if isinstance(prepared, Path) else finished.base
    summary = run(base, *(prepared if isinstance(prepared, list) else []))
    assert ran(summary) == stages_that_run(words, handed_on=False)
    changed = {key for key, content in outputs(summary).items() if content != finished.outputs[key]}
    assert bool(changed) == (name in CHANGES), changed
    assert (summary.mlflow_run != finished.first.mlflow_run) == ("train" in ran(summary))
    assert summary.valid_auc == finished.first.valid_auc or name in CHANGES

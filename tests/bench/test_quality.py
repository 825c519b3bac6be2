"""The comparison of presets: what it plans, what its peers read, and the page that it writes."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import quality
import quality_page
import quality_peers
import torch
from quality_plan import DATA, PEERS, PRESETS, SEEDS, SWITCHES, RowName, overrides_without, planned

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.item_table import ItemTable
from mmctr.inputs.vocabulary import Vocabulary
from tasks.settings.load import load_config


def test_each_row_has_files_and_a_command_of_its_own():
    rows = planned()
    assert len({row.stem for row in rows}) == len({row.command for row in rows}) == len(rows)
    assert {(row.data, row.of, row.seed) for row in rows} >= {
        (data, of, seed) for data in DATA for of in (*PRESETS, *PEERS) for seed in SEEDS
    }


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_switch_changes_the_preset_and_is_there(switch, tmp_path):
    whole = load_config(tmp_path, preset="strong")
    assert load_config(tmp_path, preset="strong", overrides=overrides_without(switch)) != whole


def row(of, auc, *, data="demo", seed=0, off=""):
    figures = {"auc": auc, "gauc": auc, "logloss": 0.3, "entropy": 0.5, "cold_auc": None}
    took = {"seconds": 3.0, "peak_mb": 700, "parameters": 1234, "rows_per_second": 5000.0}
    name = RowName(data, of, seed, off)
    return {**name.as_dict(), "command": name.command, "took": took, "valid": figures, "test": figures}


def test_the_page_has_means_errors_leads_and_what_a_switch_is_worth():
    switch = next(iter(SWITCHES))
    rows = [row("strong", auc, seed=seed) for seed, auc in enumerate((0.95, 0.96, 0.97))]
    rows += [row("mission", 0.9, seed=seed) for seed in SEEDS]
    rows += [row("lightgbm", 0.955, seed=seed) for seed in SEEDS]
    rows += [row("strong", 0.93, off=switch)]
    text = quality_page.page(rows, made="today")
    assert "| `strong` | 0.9600 ± 0.0058 | 0.9600 ± 0.0058 | 0.3000 ± 0.0000 | 0.9600 ± 0.0058 |" in text
    assert "`mission` by +0.0600 (beyond two standard errors, 0.0115)" in text
    assert "LightGBM by +0.0050 (**not beyond** two standard errors, 0.0115)" in text
    assert "-0.0300 ± 0.0058" in next(line for line in text.splitlines() if line.startswith(f"| {switch} |"))
    assert "--off " + switch in text
    assert f"**10 of {len(planned())} rows are there**" in text
    assert "have not been read yet" not in text


def test_the_page_says_that_test_was_not_read():
    rows = [{name: value for name, value in row("strong", 0.95).items() if name != "test"}]
    assert "have not been read yet" in quality_page.page(rows, made="today")


def test_the_page_can_be_written_again_from_what_is_kept(tmp_path):
    quality_page.write([row("strong", 0.95)], tmp_path)
    page = (tmp_path / "quality.md").read_text()
    quality_page.write([], tmp_path)
    assert (tmp_path / "quality.md").read_text() == page


def test_test_figures_come_from_kept_scores_and_labels_alone(tmp_path, monkeypatch):
    labels = np.array([0, 1, 0, 1])
    monkeypatch.setattr("quality_data.labels_of_test", lambda _: labels)
    name = RowName("demo", "strong", 0)
    (tmp_path / "demo").mkdir()
    (tmp_path / "scores").mkdir()
    scores = {
        "test": np.array([0.0, 1.0, 0.5, 0.2]),
        "user": np.array([0, 0, 1, 1]),
        "cold": np.array([1, 1, 0, 0]) > 0,
    }
    np.savez(tmp_path / "scores" / f"{name.stem}.npz", **scores)
    name.path(tmp_path).write_text(json.dumps({**name.as_dict(), "valid": {}}))
    quality.add_test_figures(tmp_path)
    found = quality.kept_rows(tmp_path)[0]["test"]
    assert (found["auc"], found["gauc"], found["cold_auc"], found["cold_rows"]) == (0.75, 0.5, 1.0, 2)


def test_a_rate_of_train_does_not_know_the_rows_own_label():
    label, target = torch.tensor([1.0, 0, 1, 0, 1, 0]), torch.tensor([1, 1, 1, 2, 2, 2])
    train = ClickSplit(target, torch.zeros(7), target, target[:, None], target[:, None], label)
    items = ItemTable(Vocabulary(np.array([7, 8])), np.zeros((3, 2), dtype=np.float32))
    data = SimpleNamespace(users={"train": np.arange(6)}, items=items, train=train)
    before = quality_peers._rate(data, train, is_train=True)
    label[0] = 0.0
    after = quality_peers._rate(data, train, is_train=True)
    assert after[0] == before[0]
    assert after[1] < before[1]  # another user's row does know

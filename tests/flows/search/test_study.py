"""A study that outlives its process."""

import pytest
from optuna.trial import TrialState

from flows.search.study import FILE, Study
from mmctr.common.errors import InputError
from tasks.settings.load import load_config
from tasks.settings.space_file import space_of

TABLE = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "train.epochs": {"low": 1, "high": 30},
    "train.max_len": {"low": 8, "high": 63, "step": 8},
    "model.head.hidden": {"choices": [[4], [256, 128]]},
}


@pytest.fixture
def opened(tmp_path):
    config = load_config(tmp_path, overrides=["train.max_len=64"])

    def open_study(table=TABLE, *, about="a", pruner="median", seed=0, name="one"):
        return Study(tmp_path / name, space_of(table, config), about=about, pruner=pruner, seed=seed)

    return open_study


def test_a_trial_that_was_left_is_begun_again_and_none_is_repeated(opened):
    study = opened()
    first = study.ask()
    study.end(first.number, 0.5)
    left = [study.ask(), study.ask()]
    study.hear(left[0].number, 0, 0.6)
    del study  # killed

    study = opened()
    again = [study.ask(), study.ask()]
    assert [(point.number, point.values) for point in again] == [(point.number, point.values) for point in left]
    assert [point.reported for point in again] == [1, 0]
    assert not study.hear(left[0].number, 0, 0.6), "heard before"
    new = study.ask()
    assert new.number == 3
    assert new.values not in [first.values, *(point.values for point in left)]
    assert [trial.state for trial in study.trials()] == [TrialState.COMPLETE, *[TrialState.RUNNING] * 3]
    assert study.best().number == first.number


def test_the_settings_as_they_are_come_first_where_they_are_in_the_space(opened):
    table = {name: entry for name, entry in TABLE.items() if name != "train.max_len"}
    study = opened(table)
    assert study.ask().values == {"train.learning_rate": 1e-3, "train.epochs": 20, "model.head.hidden": "[256, 128]"}
    assert study.ask().values["train.epochs"] != 20
    assert opened(name="outside").ask().values["train.learning_rate"] != 1e-3  # 64 is above 63


def test_points_are_those_of_the_space(opened):
    study = opened()
    for _ in range(12):
        values = study.ask().values
        assert 1e-4 <= values["train.learning_rate"] <= 1e-2
        assert values["train.max_len"] in range(8, 64, 8)
        config = study.space.config_at(values)
        assert config.model.head.hidden in ((4,), (256, 128))
        assert config.train.epochs == values["train.epochs"]


def test_a_trial_is_pruned_when_two_validations_in_a_row_are_below_the_others(opened):
    study = opened()
    for _ in range(5):
        number = study.ask().number
        for step in range(4):
            assert not study.hear(number, step, 0.9)
        study.end(number, 0.9)
    number = study.ask().number
    assert [study.hear(number, step, auc) for step, auc in enumerate([0.5, 0.95, 0.5, 0.5])] == [
        False
    ] * 4  # best so far
    worse = study.ask().number
    assert [study.hear(worse, step, 0.5) for step in range(2)] == [False, True]
    study.end(worse, None)
    assert study.trials()[worse].state == TrialState.PRUNED
    assert study.best().value == 0.9


@pytest.mark.parametrize(("pruner", "trials"), [("hyperband", 12), ("none", 3)])
def test_other_pruners(opened, pruner, trials):
    study, pruned = opened(pruner=pruner), []
    for trial in range(trials):
        number = study.ask().number
        pruned.append(any(study.hear(number, step, 0.9 - 0.01 * trial) for step in range(9)))
        study.end(number, None if pruned[-1] else 0.9 - 0.01 * trial)
    assert any(pruned) == (pruner == "hyperband")


def test_equal_keys_are_known(opened):
    study = opened()
    for auc in (0.5, None):
        number = study.ask().number
        study.note(number, key=f"key of {auc}")
        study.end(number, auc)
    number = study.ask().number
    for auc, twin in ((0.5, 0), (None, 1), (0.7, None)):
        study.note(number, key=f"key of {auc}")
        found = study.twin(number)
        assert (found and found.number) == twin


def test_a_study_is_of_one_thing(opened):
    opened()
    with pytest.raises(InputError, match=r"one was begun with others; choose another --study, or remove .*one"):
        opened(about="b")
    opened(about="b", name="two")


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\0" + b"\0" * 5000])
def test_a_file_that_is_no_study_is_refused(opened, tmp_path, content):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / FILE).write_bytes(content)
    with pytest.raises(
        InputError, match=r"study\.db is none that can be read .*; remove .*one to search from the start"
    ):
        opened()

"""How far a training says that it is."""

import logging

import pytest
import torch
from short_training import SHORT, run, setting

import mmctr.training.epoch
import mmctr.training.loop
import mmctr.training.progress
from mmctr.training.epoch import train_epoch
from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch
from mmctr.training.step import Learner


class Clock:
    """A clock that moves on by so many seconds each time that it is read."""

    def __init__(self, seconds):
        self.seconds, self.now = seconds, 0.0

    def monotonic(self):
        self.now += self.seconds
        return self.now


def test_rows_are_counted_over_the_whole_training_and_from_where_it_was_stopped(tmp_path):
    model, train, valid = setting()
    told = []
    state = tmp_path / "state.pt"
    fit(model, train, valid, recipe=Recipe(epochs=1, batch_size=64), state=state, progress=False)
    fit(
        *setting(),
        recipe=Recipe(epochs=3, batch_size=64, patience=9),
        state=state,
        on_rows=lambda *rows: told.append(rows),
        progress=False,
    )
    assert told == [(rows, 768) for rows in range(320, 769, 64)]


def test_one_bar_shows_all_epochs(capsys):
    fit(*setting(), recipe=Recipe(epochs=2, batch_size=64, patience=9), progress=True)
    shown = capsys.readouterr().err
    assert "training, epoch 2 of at most 2: 100%" in shown
    assert shown.count("\n") == 1


@pytest.mark.parametrize(("seconds", "progress", "lines"), [(20.0, None, 2), (0.001, None, 0), (20.0, False, 0)])
def test_without_a_terminal_a_line_a_minute_says_the_share_and_the_speed(
    monkeypatch, caplog, capsys, seconds, progress, lines
):
    monkeypatch.setattr(mmctr.training.progress, "time", Clock(seconds))
    with caplog.at_level(logging.INFO, logger="mmctr"):
        fit(*setting(), recipe=Recipe(epochs=2, batch_size=64, patience=9), progress=progress)
    said = [record.getMessage() for record in caplog.records if "rows/s" in record.getMessage()]
    assert len(said) == lines
    assert not said or said[0] == "epoch 1 of at most 2: 75% of it done, 3 rows/s"
    assert "training" not in capsys.readouterr().err


def test_a_training_that_stops_early_says_so_once(caplog):
    with caplog.at_level(logging.INFO, logger="mmctr"):
        done = run(Recipe(epochs=50, batch_size=32, learning_rate=0.05, patience=2), planted=False)
        assert len(done.history) < 50
        run(SHORT)
    said = [record.getMessage() for record in caplog.records if "stopped early" in record.getMessage()]
    best, last = done.best_number, len(done.history)
    assert said == [
        f"stopped early after epoch {last} of 50: none after epoch {best} had a better validation AUC (patience 2)"
    ]


def test_whoever_trains_an_epoch_trains_it_under_the_kernels_that_fit_has(monkeypatch):
    model, train, _ = setting()
    recipe, seen, step = Recipe(batch_size=128), [], mmctr.training.epoch.train_step

    def looked_at(*rest, **settings):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return step(*rest, **settings)

    monkeypatch.setattr(mmctr.training.epoch, "train_step", looked_at)
    train_epoch(model, train, Learner(model, recipe=recipe), recipe=recipe, partial=PartialEpoch(1))
    assert seen == [True, True]

"""Training with the parts that draw random bits of their own: the same bits each time, killed and resumed too."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import architecture, item_table
from part_losses import HEADS
from short_training import SHORT, figures, setting

from mmctr.models.architecture import Part
from mmctr.models.base import ClickModel
from mmctr.training.loop import fit
from mmctr.training.state import save_state

RECIPE = replace(SHORT, epochs=2)  # 8 steps an epoch
ATTENTION = Part("target_attention", {"hidden": (6, 5), "activation": "relu", "dropout": 0.3})


class Killed(BaseException):
    pass


def train(kind, **options):
    _, *splits = setting()
    table = item_table(np.random.default_rng(0))
    head = {**HEADS[kind], "activation": "relu"} if "activation" in HEADS[kind] else HEADS[kind]
    torch.manual_seed(0)
    model = ClickModel(replace(architecture(table), sequence=(ATTENTION,), head=Part(kind, head)))
    model.set_items(table)
    return fit(model, *splits, recipe=RECIPE, progress=False, **options)


@pytest.mark.parametrize("kind", HEADS)
def test_a_training_that_was_stopped_within_an_epoch_goes_on_to_the_same_bits(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("mmctr.models.sequence.target_attention.PART", 40)  # a batch has some 150 history items
    saves = []

    def save_and_stop(path, *parts):
        save_state(path, *parts)
        saves.append(parts[-1].partial)
        if len(saves) == 5:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("mmctr.training.trainer.save_state", save_and_stop)
        with pytest.raises(Killed):
            train(kind, state=tmp_path / "state.pt", save_seconds=0)
    assert saves[-1] is not None, "within an epoch"
    resumed, whole = train(kind, state=tmp_path / "state.pt"), train(kind)
    assert figures(resumed) == figures(whole)
    assert all(torch.equal(weight, whole.best_weights[name]) for name, weight in resumed.best_weights.items())

"""The preset `organisers` is the organisers' model on FuxiCTR's own layers: logits, and one step with its L2 terms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import click_split, item_table
from organisers import architecture, recipe, tagged
from organisers_layers import assert_same_gradients, hand_over, layers_of_fuxictr, without_dropout

from mmctr.models.base import ClickModel
from mmctr.models.items.fitting import fit_item_encoder
from mmctr.training.step import Learner, train_step

fuxictr_peer = pytest.importorskip("fuxictr_peer")
pytest.importorskip("fuxictr", reason="FuxiCTR is in the extra `bench`")
TABLES = ("item_id", "item_tags", "likes_level", "views_level")


@pytest.fixture(autouse=True)
def several_parts(monkeypatch):
    """The attention in parts of some seven history items."""
    monkeypatch.setattr("mmctr.models.sequence.target_attention.PART", 7)


def both(*, tmp_path, dropout=0.0, l2=(0.0, 0.0), rows=40):
    """FuxiCTR's model and ours with its weights, and a batch with empty and long histories."""
    rng = np.random.default_rng(0)
    table = tagged(item_table(rng, dim=128))
    split = click_split(rng, table, rows=rows, longest=20)
    torch.manual_seed(0)
    theirs = fuxictr_peer.peer(table, dropout=dropout, l2=l2, folder=tmp_path)
    for name in TABLES:  # FuxiCTR starts them at 1e-4
        with torch.no_grad():
            theirs.embedding_layer.embedding_layer.embedding_layers[name].weight[1:].normal_()
    built = architecture(table)
    ours = ClickModel(without_dropout(built) if dropout == 0 else built)
    ours.set_items(table)
    fit_item_encoder(ours.items, split)
    hand_over(layers_of_fuxictr(theirs), ours)
    return theirs, ours, split.slice(0, rows), table


@pytest.mark.parametrize("training", [False, True])
def test_the_same_weights_give_the_same_logits(tmp_path, training):
    theirs, ours, batch, table = both(tmp_path=tmp_path)
    expected = theirs.train(training).logits(fuxictr_peer.padded(batch, table))
    assert torch.allclose(ours.train(training)(batch), expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


def test_dropout_does_nothing_in_evaluation(tmp_path):
    theirs, ours, batch, table = both(tmp_path=tmp_path, dropout=0.1)
    expected = theirs.eval().logits(fuxictr_peer.padded(batch, table))
    assert torch.allclose(ours.eval()(batch), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("l2", [(1e-4, 0.0), (1e-7, 0.01)])
def test_one_step_gives_the_same_gradients(tmp_path, l2):
    theirs, ours, batch, table = both(tmp_path=tmp_path, l2=l2)
    theirs.train().train_step(fuxictr_peer.padded(batch, table))
    ours.train()
    steps = replace(recipe(), embedding_l2=l2[0], net_l2=l2[1])
    learner = Learner(ours, recipe=steps)
    learner.begin()
    train_step(ours, batch, learner, recipe=steps)
    assert_same_gradients(layers_of_fuxictr(theirs), ours)

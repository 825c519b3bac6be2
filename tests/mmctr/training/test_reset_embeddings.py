"""Embeddings that are drawn anew as each later epoch begins (MEDA)."""

from dataclasses import replace

import pytest
import torch
from featured import open_shop, write_shop
from short_training import SHORT

import mmctr.training.epoch
from mmctr.training.loop import fit
from mmctr.training.step import Learner, train_step

RESET = replace(SHORT, epochs=3, batch_size=64, reset_embeddings=True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, signal="brand")
    return open_shop(folder)


def test_tables_are_drawn_anew_and_the_optimizer_forgets_them_and_nothing_else(shop):
    model = shop.model(content="trained", id_width=5)
    learner = Learner(model, recipe=RESET)
    learner.begin()
    model.train()
    train_step(model, shop.train.slice(0, 64), learner, recipe=RESET)
    tables = {id(table.weight) for table in model.id_tables()}
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    memory = {weight: learner.optimizer.state[weight]["exp_avg"].clone() for weight in model.parameters()}
    learner.reset_embeddings(seed=3)
    for name, weight in model.named_parameters():
        if id(weight) in tables:
            assert not torch.equal(weight, before[name]), name
            assert weight not in learner.optimizer.state
        else:
            assert torch.equal(weight, before[name]), name
            assert torch.equal(learner.optimizer.state[weight]["exp_avg"], memory[weight])
    again, other = shop.model(content="trained", id_width=5), shop.model(content="trained", id_width=5)
    for drawn, seed in ((again, 3), (other, 4)):
        drawn.items.content.weight.data.copy_(model.items.content.weight)
        drawn.reset_embeddings(seed)
    assert torch.equal(again.items.ids.weight, model.items.ids.weight)
    assert not torch.equal(other.items.ids.weight, model.items.ids.weight)


def test_an_average_begins_anew(shop):
    model = shop.model(content="trained", id_width=5)
    learner = Learner(model, recipe=replace(RESET, ema_decay=0.9))
    learner.begin()
    for start in (0, 64):
        train_step(model.train(), shop.train.slice(start, start + 64), learner, recipe=RESET)
    learner.reset_embeddings(seed=3)
    own = model.state_dict()
    assert learner.average.steps == 0
    assert all(torch.equal(value, own[name]) for name, value in learner.average.values.items())


def test_it_happens_once_an_epoch_but_the_first(shop, monkeypatch):
    seeds = []
    monkeypatch.setattr(Learner, "reset_embeddings", lambda _, *, seed: seeds.append(seed))
    recipe = replace(RESET, validate_steps=2)
    fit(shop.model(id_width=5), shop.train, shop.valid, recipe=recipe, progress=False, save_seconds=0)
    assert seeds == [mmctr.training.epoch.epoch_seed(recipe, epoch) for epoch in (2, 3)]

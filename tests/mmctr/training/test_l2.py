"""L2 terms of the loss against a plain version of FuxiCTR's `regularization_loss`, in values and in gradients."""

from dataclasses import replace

import pytest
import torch
from featured import open_shop, write_shop
from short_training import SHORT, run, setting

from mmctr.training.l2 import L2
from mmctr.training.recipe import Recipe
from mmctr.training.step import Learner, smoothed_loss, train_step

BOTH = Recipe(net_l2=0.03, embedding_l2=0.2, weight_decay=0.0)


def plain_l2(model, recipe):
    """As FuxiCTR adds it up, over names: what is in an embedding layer, and everything else."""
    tables = {id(table.weight) for table in model.modules() if isinstance(table, torch.nn.Embedding)}
    term = torch.zeros(())
    for weight in model.parameters():
        if weight.requires_grad:
            factor = recipe.embedding_l2 if id(weight) in tables else recipe.net_l2
            term = term + factor / 2 * torch.norm(weight, 2) ** 2
    return term


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder, signal="brand")
    return open_shop(folder)


@pytest.mark.parametrize("recipe", [BOTH, replace(BOTH, net_l2=0.0), replace(BOTH, embedding_l2=0.0)])
@pytest.mark.parametrize("content", ["trained", "frozen"])
def test_values_and_gradients_are_those_of_autograd(shop, recipe, content):
    model = shop.model(content=content).train()
    batch = shop.train.slice(0, 40)
    loss = smoothed_loss(model(batch), batch.label, smoothing=0.01)
    term = plain_l2(model, recipe)
    (loss + term).backward()
    expected = {
        name: weight.grad.to_dense().clone() for name, weight in model.named_parameters() if weight.requires_grad
    }
    model.zero_grad(set_to_none=True)

    own = L2(model, recipe=recipe)
    smoothed_loss(model(batch), batch.label, smoothing=0.01).backward()
    for weight in model.parameters():
        weight.grad = None if weight.grad is None else weight.grad.to_dense()
    own.add_gradients()
    assert own.loss() == pytest.approx(term.item(), rel=1e-6)
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            assert torch.allclose(weight.grad, expected[name], atol=1e-6), name


def test_every_trained_weight_is_of_one_of_both(shop):
    model = shop.model(content="trained")
    (_, tables), (_, dense) = L2(model, recipe=BOTH).parts
    names = {id(weight): name for name, weight in model.named_parameters()}
    of_tables = {name for name in names.values() if "tables" in name or "content" in name}
    assert {names[id(weight)] for weight in tables} == of_tables
    assert len(tables) + len(dense) == len(names)
    assert any("bias" in names[id(weight)] for weight in dense)
    assert any("alpha" in names[id(weight)] for weight in dense)


def test_without_factors_there_is_no_term(shop):
    own = L2(shop.model(content="trained"), recipe=Recipe())
    assert own.loss() is None
    assert own.parts == []


def test_the_gradient_is_clipped_with_the_terms(monkeypatch):
    model, train, _ = setting(dropout=0.0)
    recipe = Recipe(net_l2=1.0, embedding_l2=1.0, clip_norm=0.5)
    learner = Learner(model, recipe=recipe)
    learner.begin()
    monkeypatch.setattr(learner.optimizer, "step", lambda: None)
    model.train()
    train_step(model, train.slice(0, 32), learner, recipe=recipe)
    norm = torch.stack([weight.grad.norm() for weight in model.parameters()]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)


def test_weights_stay_smaller_and_the_term_is_a_figure_of_its_own():
    plain, held = run(SHORT), run(replace(SHORT, net_l2=0.1, embedding_l2=0.1))
    size = [sum(float(w.norm()) for w in done.best_weights.values()) for done in (plain, held)]
    assert size[1] < size[0]
    assert [epoch.l2_loss for epoch in plain.history] == [None] * 6
    assert all(epoch.l2_loss > 0 for epoch in held.history)
    assert plain.history[0].train_loss == pytest.approx(held.history[0].train_loss, abs=0.05)  # without the term

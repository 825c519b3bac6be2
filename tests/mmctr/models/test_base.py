from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import DIM, click_split, din, item_table
from hypothesis import given
from hypothesis import strategies as st

from mmctr.clicks.batch import Batch
from mmctr.models.dice import Dice
from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe

SEEDS = st.integers(0, 2**31 - 1)


def a_batch(seed, *, rows=12):
    rng = np.random.default_rng(seed)
    table = item_table(rng)
    split = click_split(rng, table, rows=rows)
    return din(table, seed=seed), split, split.slice(0, rows)


# A slow forward pass of one row at a time, written from the paper's formulas on the plain parameters.
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dice_by_hand(dice, x):
    normalised = (x - dice.running_mean.numpy()) / np.sqrt(dice.running_var.numpy() + dice.eps)
    p = sigmoid(normalised)
    return p * x + (1 - p) * dice.alpha.detach().numpy() * x


def linear_by_hand(layer, x):
    return layer.weight.detach().numpy().astype(np.float64) @ x + layer.bias.detach().numpy()


def mlp_by_hand(layers, x):
    for layer in layers:
        x = linear_by_hand(layer, x) if isinstance(layer, torch.nn.Linear) else dice_by_hand(layer, x)
    return x


def logit_by_hand(model, history, target, likes, views):
    table = model.items.content.weight.detach().numpy().astype(np.float64)
    query, interest = table[target], np.zeros(DIM)
    attention = model.sequence[0]
    for item in history:
        key = table[item]
        hidden = linear_by_hand(attention.first, np.concatenate([query, key, query - key, query * key]))
        hidden = mlp_by_hand(attention.rest, dice_by_hand(attention.first_activation[0], hidden))
        interest += linear_by_hand(attention.last, hidden) * key
    likes_emb, views_emb = (table.weight.detach().numpy() for table in model.row_features.tables)
    levels = [likes_emb[likes], views_emb[views]]
    hidden = mlp_by_hand(model.head.tower, np.concatenate([query, interest, *levels]))
    return linear_by_hand(model.head.logit, hidden)[0]


@given(SEEDS)
def test_logits_equal_those_of_a_plain_loop(seed):
    model, split, batch = a_batch(seed)
    model.train()
    for _ in range(3):  # so that Dice's running statistics are not those of a fresh layer
        model(batch)
    model.eval()
    with torch.no_grad():
        logits = model(batch).numpy()
    for row, logit in enumerate(logits):
        history = split.history[split.offsets[row] : split.offsets[row + 1]].tolist()
        figures = (batch.target[row].item(), *batch.feature_ids[row].tolist())
        assert logit == pytest.approx(logit_by_hand(model, history, *figures), abs=1e-5)


def test_gradients_equal_those_of_the_plain_first_layer():
    model, _, batch = a_batch(0)
    query, keys = model.items(batch.target), model.items(batch.history)
    attention = model.sequence[0]
    q = query[batch.row]
    plain_hidden = attention.first(torch.cat([q, keys, q - keys, q * keys], dim=1))
    plain = attention.last(attention.rest(attention.first_activation(plain_hidden)))
    split = attention.weights(query, keys, batch.row)
    assert torch.allclose(plain, split, atol=1e-5)
    parameters = [attention.first.weight, attention.first.bias, model.items.content.weight]
    expected = torch.autograd.grad(plain.square().sum(), parameters, retain_graph=True)
    found = torch.autograd.grad(split.square().sum(), parameters)
    for a, b in zip(expected, found, strict=True):
        assert torch.allclose(a.to_dense(), b.to_dense(), atol=1e-4)


@given(SEEDS)
def test_order_of_the_history_does_not_matter(seed):
    model, _, batch = a_batch(seed)
    model.eval()
    by_row = torch.from_numpy(np.lexsort((np.random.default_rng(seed).random(len(batch.row)), batch.row.numpy())))
    shuffled = Batch(**{**vars(batch), "history": batch.history[by_row]})
    assert torch.allclose(model(batch), model(shuffled), atol=1e-5)


@given(SEEDS)
def test_other_rows_of_a_batch_do_not_matter(seed):
    model, split, batch = a_batch(seed)
    model.eval()
    alone = torch.cat([model(split.slice(row, row + 1)) for row in range(12)])
    assert torch.allclose(model(batch), alone, atol=1e-5)


def test_an_empty_history_gives_no_interest():
    model, _, batch = a_batch(0)
    query = model.items(batch.target)
    row = torch.arange(12).repeat_interleave(torch.tensor([0, 3] * 6))
    interest = model.sequence[0](query, torch.randn(len(row), DIM), row)
    assert not interest[::2].any()
    assert interest[1::2].abs().sum(dim=1).min() > 0


def test_a_batch_without_any_history_trains():
    model, _, batch = a_batch(0)
    empty = Batch(**{**vars(batch), "history": batch.history[:0], "row": batch.row[:0]})
    before = model.sequence[0].first_activation[0].running_mean.clone()
    model.train()(empty).sum().backward()
    assert torch.equal(model.sequence[0].first_activation[0].running_mean, before)
    assert all(weight.grad is None or torch.isfinite(weight.grad.to_dense()).all() for weight in model.parameters())


TABLES = ("items.content.weight", "row_features.tables.0.weight", "row_features.tables.1.weight")


def trained(*, freeze):
    """The weights before and after a short training on clicks of which every third is of an unknown item and level."""
    rng = np.random.default_rng(0)
    table = item_table(rng)
    split = click_split(rng, table, rows=96)
    unknown = torch.arange(len(split)) % 3 == 0
    levels = split.feature_ids.masked_fill(unknown[:, None], 0)
    split = replace(split, target=split.target.masked_fill(unknown, 0), feature_ids=levels)
    model = din(table, freeze=freeze)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    fit(model, split, split, recipe=Recipe(epochs=3, batch_size=16, learning_rate=0.01), progress=False)
    return before, model.state_dict()


def test_padding_rows_are_still_zero_after_training_on_unknown_items():
    before, after = trained(freeze=False)
    for name in TABLES:
        assert not torch.equal(after[name][1:], before[name][1:]), f"{name} learns"
        assert not after[name][0].any(), name


def test_frozen_items_are_still_those_given_after_training():
    before, after = trained(freeze=True)
    assert torch.equal(after["items.content.weight"], before["items.content.weight"])
    assert not torch.equal(after["head.logit.weight"], before["head.logit.weight"]), "the rest learns"


def test_a_history_seen_twice_doubles_the_interest():
    """The weights are not normalised over the history."""
    model, _, batch = a_batch(0)
    model.eval()
    query, keys = model.items(batch.target), model.items(batch.history)
    once = model.sequence[0](query, keys, batch.row)
    twice = model.sequence[0](query, keys.repeat_interleave(2, dim=0), batch.row.repeat_interleave(2))
    assert once.abs().max() > 1e-3
    assert torch.allclose(twice, 2 * once, atol=1e-5)


def test_dice_with_alpha_one_is_the_identity_and_uses_the_batchs_statistics():
    torch.manual_seed(0)
    x = torch.randn(50, 3) * 4 + 2
    dice = Dice(3)
    expected = x * torch.sigmoid((x - x.mean(0)) / x.var(0, unbiased=False).sqrt())
    assert torch.allclose(dice(x), expected, atol=1e-5)
    with torch.no_grad():
        dice.alpha.fill_(1)
    assert torch.allclose(dice(x), x)


@pytest.mark.parametrize("rows", [0, 1])
def test_dice_keeps_its_averages_when_a_batch_has_no_variance(rows):
    dice = Dice(3)
    assert torch.isfinite(dice(torch.randn(rows, 3))).all()
    assert torch.equal(dice.running_mean, torch.zeros(3))
    assert torch.equal(dice.running_var, torch.ones(3))


def test_the_checkpoints_keys_are_stable():
    model, _, _ = a_batch(0)
    assert sorted(model.state_dict()) == [
        "head.logit.bias",
        "head.logit.weight",
        "head.tower.0.bias",
        "head.tower.0.weight",
        "head.tower.1.alpha",
        "head.tower.1.running_mean",
        "head.tower.1.running_var",
        "head.tower.2.bias",
        "head.tower.2.weight",
        "head.tower.3.alpha",
        "head.tower.3.running_mean",
        "head.tower.3.running_var",
        "items.content.weight",
        "row_features.tables.0.weight",
        "row_features.tables.1.weight",
        "sequence.0.first.bias",
        "sequence.0.first.weight",
        "sequence.0.first_activation.0.alpha",
        "sequence.0.first_activation.0.running_mean",
        "sequence.0.first_activation.0.running_var",
        "sequence.0.last.bias",
        "sequence.0.last.weight",
        "sequence.0.rest.0.bias",
        "sequence.0.rest.0.weight",
        "sequence.0.rest.1.alpha",
        "sequence.0.rest.1.running_mean",
        "sequence.0.rest.1.running_var",
    ]
    assert [table.weight.shape for table in model.row_features.tables] == [(20, 16), (20, 16)]


@pytest.mark.parametrize(("training", "rows"), [(True, 30), (False, 30), (True, 1), (True, 0)])
def test_dices_gradient_is_that_of_its_formula(training, rows):
    torch.manual_seed(0)
    dice = Dice(3).double().train(training)
    with torch.no_grad():
        dice.alpha.normal_()
        dice.running_var.fill_(2.0)
    x = torch.randn(rows, 3, dtype=torch.float64, requires_grad=True)
    averages = dice.running_mean.clone(), dice.running_var.clone()
    from_batch = training and rows > 1
    mean, var = (x.mean(0), x.var(0, unbiased=False)) if from_batch else averages
    p = torch.sigmoid((x - mean) / (var + dice.eps).sqrt())
    expected = p * x + (1 - p) * dice.alpha * x
    toward = torch.randn(rows, 3, dtype=torch.float64)
    found = dice(x)
    assert torch.allclose(found, expected)
    for a, b in zip(*(torch.autograd.grad(y, (x, dice.alpha), toward) for y in (found, expected)), strict=True):
        assert torch.allclose(a, b)

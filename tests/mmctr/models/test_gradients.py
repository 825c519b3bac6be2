"""Gradients of the functions with a backward pass of their own: right for what needs one, and nothing else touched."""

from itertools import product

import pytest
import torch

import mmctr.models.packed
import mmctr.models.sequence.target_attention
from mmctr.models.dice import Dice
from mmctr.models.sequence.target_attention import TargetAttention, first_layer, pool

DIM, ROWS, ITEMS = 3, 4, 11
BOTH = (False, True)


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    """The history in chunks of four items, the last one not whole."""
    monkeypatch.setattr(mmctr.models.packed, "CHUNK", 4)


def inputs(*, query=True, keys=True, weight=True, bias=True):
    """float64 query, keys, rows (the second one is empty) and a first layer; each needs a gradient or not."""
    torch.manual_seed(0)
    first = torch.nn.Linear(4 * DIM, 5).double()
    first.weight.requires_grad_(weight)
    first.bias.requires_grad_(bias)
    row = torch.tensor([0, 0, 0, 2, 2, 2, 2, 2, 3, 3, 3])
    q = torch.randn(ROWS, DIM, dtype=torch.float64, requires_grad=query)
    return q, torch.randn(ITEMS, DIM, dtype=torch.float64, requires_grad=keys), row, first


def plain_attention(first, query, keys, row, scale):
    """What `attention` computes, written with PyTorch's own operations."""
    q = query[row]
    hidden = first(torch.cat([q, keys, q - keys, q * keys], dim=1))
    weights = (hidden.sin() @ scale)[:, None]
    return torch.zeros(ROWS, DIM, dtype=torch.float64).index_add(0, row, weights * keys)


def attention(first, query, keys, row, scale):
    hidden, keys = first_layer(first, query, keys, row)
    return pool((hidden.sin() @ scale)[:, None], keys, row, rows=len(query))


@pytest.mark.parametrize(
    ("query", "keys", "weight", "bias"), [flags for flags in product(BOTH, repeat=4) if any(flags)]
)
def test_attentions_gradients_are_those_of_the_plain_layer_whichever_are_needed(query, keys, weight, bias):
    q, k, row, first = inputs(query=query, keys=keys, weight=weight, bias=bias)
    scale = torch.randn(5, dtype=torch.float64)
    needed = [tensor for tensor in (q, k, first.weight, first.bias) if tensor.requires_grad]
    found, expected = attention(first, q, k, row, scale), plain_attention(first, q, k, row, scale)
    assert torch.allclose(found, expected)
    toward = torch.randn_like(found)
    for mine, plain in zip(
        torch.autograd.grad(found, needed, toward), torch.autograd.grad(expected, needed, toward), strict=True
    ):
        assert torch.allclose(mine, plain)

    def of(*values):
        given = iter(values)
        parts = [next(given) if tensor.requires_grad else tensor for tensor in (q, k, first.weight, first.bias)]
        layer = torch.nn.Linear(4 * DIM, 5).double()
        del layer.weight, layer.bias
        layer.weight, layer.bias = parts[2:]
        return attention(layer, parts[0], parts[1], row, scale)

    assert torch.autograd.gradcheck(of, needed)


@pytest.mark.parametrize(("query", "keys"), [(True, False), (False, True), (True, True)])
def test_the_first_layer_alone_and_the_keys_alone_have_their_gradients(query, keys):
    q, k, row, first = inputs(query=query, keys=keys, weight=False, bias=False)
    needed = [tensor for tensor in (q, k) if tensor.requires_grad]
    assert torch.autograd.gradcheck(lambda *_: first_layer(first, q, k, row)[0], needed)
    if keys:
        assert torch.autograd.gradcheck(lambda _: first_layer(first, q, k, row)[1].sin(), [k])


def test_a_gradient_that_is_handed_in_stays_as_it_is():
    q, k, row, first = inputs()
    hidden, keys = first_layer(first, q, k, row)
    of_hidden, of_keys = torch.randn_like(hidden), torch.randn_like(keys)
    handed = of_hidden.clone(), of_keys.clone()
    once = torch.autograd.grad([hidden, keys], [q, k], [of_hidden, of_keys], retain_graph=True)
    assert torch.equal(of_hidden, handed[0])
    assert torch.equal(of_keys, handed[1])
    again = torch.autograd.grad([hidden, keys], [q, k], [of_hidden, of_keys])
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_what_a_hook_saw_of_the_keys_gradient_stays_as_it_was():
    q, k, row, first = inputs()
    hidden, keys = first_layer(first, q, k, row)
    seen = []
    keys.register_hook(lambda gradient: seen.append((gradient, gradient.clone())))
    (pool(hidden.sum(dim=1, keepdim=True), keys, row, rows=ROWS).square().sum() + keys.sum()).backward()
    assert all(torch.equal(gradient, copy) for gradient, copy in seen)


def test_keys_that_need_no_gradient_get_none_and_none_is_computed_for_them(monkeypatch):
    q, k, row, first = inputs(query=False, keys=False)
    hidden, keys = first_layer(first, q, k, row)
    assert not keys.requires_grad
    needs = []
    backward = mmctr.models.sequence.target_attention._Pool.backward

    def looked_at(ctx, grad):
        needs.append(ctx.needs_input_grad[:2])
        found = backward(ctx, grad)
        assert found[1] is None
        return found

    monkeypatch.setattr(mmctr.models.sequence.target_attention._Pool, "backward", staticmethod(looked_at))
    pool(hidden.sum(dim=1, keepdim=True), keys, row, rows=ROWS).sum().backward()
    assert needs == [(True, False)]


@pytest.mark.parametrize(("weights", "keys"), [(True, False), (False, True), (True, True)])
def test_poolings_gradients_are_right_whichever_are_needed(weights, keys):
    _, k, row, _ = inputs(keys=keys)
    w = torch.randn(ITEMS, 1, dtype=torch.float64, requires_grad=weights)
    needed = [tensor for tensor in (w, k) if tensor.requires_grad]
    assert torch.autograd.gradcheck(lambda *_: pool(w, k, row, rows=ROWS), needed)


@pytest.mark.parametrize("training", BOTH)
@pytest.mark.parametrize(("x", "alpha"), [(True, False), (False, True), (True, True)])
def test_dices_gradients_are_right_whichever_are_needed(training, x, alpha):
    torch.manual_seed(0)
    dice = Dice(3).double().train(training)
    with torch.no_grad():
        dice.alpha.normal_()
    dice.alpha.requires_grad_(alpha)
    values = torch.randn(7, 3, dtype=torch.float64, requires_grad=x)
    needed = [tensor for tensor in (values, dice.alpha) if tensor.requires_grad]
    assert torch.autograd.gradcheck(lambda *_: dice(values), needed)


def test_dice_computes_no_gradient_that_is_not_needed(monkeypatch):
    found = []
    backward = mmctr.models.dice._Dice.backward

    def looked_at(ctx, grad):
        found.append([of is not None for of in backward(ctx, grad)[:2]])
        return backward(ctx, grad)

    monkeypatch.setattr(mmctr.models.dice._Dice, "backward", staticmethod(looked_at))
    dice = Dice(3)
    dice(torch.randn(7, 3)).sum().backward()
    dice.alpha.requires_grad_(False)
    dice(torch.randn(7, 3, requires_grad=True)).sum().backward()
    assert found == [[False, True], [True, False]]


def test_a_second_derivative_is_refused_and_never_wrong():
    attend = TargetAttention(DIM, hidden=(5, 4), activation="dice", dropout=0.0).double()
    q, k, row, _ = inputs()
    (gradient,) = torch.autograd.grad(attend(q, k, row).sum(), [q], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()

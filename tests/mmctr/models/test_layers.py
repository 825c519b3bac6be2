"""Layers that parts share: what plain layers compute, with any number of rows."""

import pytest
import torch
from torch import nn

from mmctr.models.dice import Dice
from mmctr.models.layers import BatchNorm, mlp
from mmctr.models.relu_dropout import LARGEST_SHARE, ReLUDropout, random_patterns, threshold


def kinds(layers):
    return [type(layer) for layer in layers]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dropout": 0.0}, [nn.Linear, Dice]),
        ({"dropout": 0.1}, [nn.Linear, Dice, nn.Dropout]),
        ({"dropout": 0.1, "batch_norm": True}, [nn.Linear, BatchNorm, Dice, nn.Dropout]),
        ({"dropout": 0.1, "activation": "relu"}, [nn.Linear, ReLUDropout]),
        ({"dropout": 0.1, "activation": "relu", "batch_norm": True}, [nn.Linear, BatchNorm, ReLUDropout]),
    ],
)
def test_an_mlp_has_these_layers_for_each_width(options, expected):
    layers = mlp([4, 3, 2], **options)
    assert kinds(layers) == expected * 2
    assert layers(torch.randn(5, 4)).shape == (5, 2)
    assert kinds(mlp([4], **options)) == []


def test_an_mlp_of_relu_is_that_of_plain_layers_in_values_and_gradients():
    torch.manual_seed(0)
    ours = mlp([6, 5, 4], dropout=0.0, activation="relu", batch_norm=True)
    plain = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU())
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(30, 6)
    for training in (True, False):
        found, expected = ours.train(training)(x), plain.train(training)(x)
        assert torch.equal(found, expected)
        toward = torch.randn_like(found)
        gradients = [
            torch.autograd.grad(y, list(net.parameters()), toward) for net, y in ((ours, found), (plain, expected))
        ]
        assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert all(torch.equal(buffer, plain.state_dict()[name]) for name, buffer in ours.named_buffers())


@pytest.mark.parametrize("rows", [0, 1])
def test_batch_norm_keeps_its_averages_when_a_batch_has_no_variance(rows):
    torch.manual_seed(0)
    norm = BatchNorm(3)
    norm(torch.randn(20, 3) + 1)
    before = [buffer.clone() for buffer in norm.buffers()]
    x = torch.randn(rows, 3, requires_grad=True)
    found = norm(x)
    found.sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers(), strict=True))
    assert torch.equal(found, norm.eval()(x))
    assert x.grad.shape == (rows, 3)
    assert torch.isfinite(norm.weight.grad).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.4, 0.4975, 0.499, 0.5, 0.6, 0.9, LARGEST_SHARE])
def test_the_threshold_drops_its_share_of_all_patterns(share):
    torch.manual_seed(0)
    noise = random_patterns(torch.empty(1001, 1000))
    assert noise.shape == (1001, 1000)
    assert (noise <= threshold(share)).float().mean().item() == pytest.approx(share, abs=0.002)


@pytest.mark.parametrize("dropout", [0.2, 0.5, 0.9])
def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_what_it_kept(dropout):
    torch.manual_seed(0)
    layer = ReLUDropout(dropout)
    x = torch.randn(2000, 50, requires_grad=True)
    out = layer(x)
    assert out.mean().item() == pytest.approx(x.relu().mean().item(), rel=0.04)
    assert ((out == 0) & (x > 0)).float().mean().item() == pytest.approx(dropout / 2, abs=0.01)
    kept = out > 0
    assert torch.allclose(out[kept], x[kept] / (1 - dropout))
    out.sum().backward()
    assert torch.allclose(x.grad, kept / (1 - dropout))
    assert torch.equal(layer.eval()(x), x.relu())


@pytest.mark.parametrize("dropout", [0.3, 0.995])
def test_dropout_draws_from_pytorchs_generator_alone(dropout):
    """So a training that goes on from a kept state of that generator draws what it would have drawn."""
    layer, x = ReLUDropout(dropout), torch.randn(400, 30)
    torch.manual_seed(3)
    layer(x)
    state = torch.get_rng_state()
    second, third = layer(x), layer(x)
    torch.set_rng_state(state)
    assert torch.equal(layer(x), second)
    assert not torch.equal(second, third)


def test_what_drops_nothing_draws_nothing():
    torch.manual_seed(0)
    before, x = torch.get_rng_state(), torch.zeros(5, 3)
    ReLUDropout(0.0)(x)
    ReLUDropout(0.5).eval()(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_at_all_can_be_dropped():
    x = torch.zeros(0, 3, requires_grad=True)
    ReLUDropout(0.3)(x).sum().backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_another_precision_is_computed_by_pytorch_itself(dtype):
    layer, x = ReLUDropout(0.4), torch.randn(300, 40).to(dtype).requires_grad_()
    out = layer(x)
    assert out.dtype == dtype
    assert ((out == 0) & (x > 0)).float().mean().item() == pytest.approx(0.2, abs=0.02)
    out.sum().backward()
    assert torch.equal(x.grad > 0, out > 0)

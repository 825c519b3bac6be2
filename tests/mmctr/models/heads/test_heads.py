"""Every head: what a slow plain version computes, its gradients, any number of rows, and losses that stay."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import architecture, click_split, item_table
from part_losses import HEADS, WIDTH, head, head_losses
from project import GOLDEN
from torch._subclasses.fake_tensor import FakeTensorMode
from without_gpu import Products, autocast_without_a_gpu

import mmctr.models.heads
from mmctr.common.components import load_component
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.architecture import Part
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint import Checkpoint, load_checkpoint, restore_model, save_checkpoint
from mmctr.models.dice import Dice
from mmctr.models.layers import BatchNorm

TOWER = {"hidden": (8, 6), "activation": "relu", "batch_norm": True, "dropout": 0.2}
DICE = TOWER | {"activation": "dice", "batch_norm": False}
CASES = [
    ("mlp", TOWER),
    ("mlp", DICE),
    ("mlp", TOWER | {"activation": "dice", "hidden": (5,)}),
    ("cross", {"layers": 2, "rank": 3, "structure": "parallel", **DICE}),
    ("cross", {"layers": 3, "rank": 0, "structure": "stacked", **TOWER}),
    ("cross", {"layers": 1, "rank": 0, "structure": "parallel", **TOWER}),
    ("quadratic", {"layers": 2, "maps": 3, "batch_norm": True, "dropout": 0.1}),
    ("quadratic", {"layers": 3, "maps": 1, "batch_norm": False, "dropout": 0.0}),
]


# A slow version of one row at a time, on the weights by their names.
def linear(weights, name, x):
    return weights[f"{name}.weight"] @ x + weights.get(f"{name}.bias", 0)


def norm(weights, name, x):
    scale = weights[f"{name}.weight"] / np.sqrt(weights[f"{name}.running_var"] + 1e-5)
    return (x - weights[f"{name}.running_mean"]) * scale + weights[f"{name}.bias"]


def dice(weights, name, x):
    p = 1 / (1 + np.exp(-(x - weights[f"{name}.running_mean"]) / np.sqrt(weights[f"{name}.running_var"] + 1e-8)))
    return p * x + (1 - p) * weights[f"{name}.alpha"] * x


def tower(weights, x, *, hidden, activation, batch_norm, **_):
    names = iter(range(100))
    for _ in hidden:
        x = linear(weights, f"tower.{next(names)}", x)
        if batch_norm:
            x = norm(weights, f"tower.{next(names)}", x)
        x = np.maximum(x, 0) if activation == "relu" else dice(weights, f"tower.{next(names)}", x)
        next(names)  # dropout
    return x


def plain_mlp(weights, x, **options):
    return linear(weights, "logit", tower(weights, x, **options))[0]


def plain_cross(weights, x, *, layers, rank, structure, **options):
    crossed = x
    for layer in range(layers):
        if rank:
            product = linear(weights, f"cross.{layer}.1", linear(weights, f"cross.{layer}.0", crossed))
        else:
            product = linear(weights, f"cross.{layer}", crossed)
        crossed = np.array([x[i] * product[i] + crossed[i] for i in range(len(x))])
    if structure == "stacked":
        return linear(weights, "logit", tower(weights, crossed, **options))[0]
    return linear(weights, "logit", np.concatenate([crossed, tower(weights, x, **options)]))[0]


def plain_quadratic(weights, x, *, layers, maps, batch_norm, **_):
    for layer in range(layers):
        rows = linear(weights, f"layers.{layer}.linear", x).reshape(maps, len(x))
        product = np.array([sum(x[i] * rows[r][i] for r in range(maps)) for i in range(len(x))])
        if batch_norm:
            product = norm(weights, f"layers.{layer}.norm", product)
        slope = weights[f"layers.{layer}.activation.weight"]
        x = x + np.where(product > 0, product, slope * product)
    return linear(weights, "logit", x)[0]


PLAIN = {"mlp": plain_mlp, "cross": plain_cross, "quadratic": plain_quadratic}


def ready(kind, options):
    """A head with averages of a few batches, and weights that are those of no fresh layer."""
    module = head(kind, **options)
    for _ in range(3):
        module(torch.randn(50, WIDTH) + 0.5)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, Dice):
                layer.alpha.normal_()
            if isinstance(layer, BatchNorm):
                layer.weight.uniform_(0.5, 2)
                layer.bias.normal_()
    return module.eval()


def in_float64(module):
    return {name: value.numpy().astype(np.float64) for name, value in module.state_dict().items()}


def test_every_head_has_its_case_and_its_golden_file():
    folder = mmctr.models.heads.__path__[0]
    kinds = {path.stem for path in (GOLDEN.parents[1] / folder).glob("[a-z]*.py")}
    assert kinds == set(HEADS) == {kind for kind, _ in CASES} == set(PLAIN)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_logits_are_those_of_the_plain_version(kind, options):
    module, x = ready(kind, options), torch.randn(20, WIDTH)
    expected = [PLAIN[kind](in_float64(module), row, **options) for row in x.numpy().astype(np.float64)]
    assert np.allclose(module(x).detach().numpy(), expected, atol=1e-4, rtol=1e-4)
    assert np.std(expected) > 0.02


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_gradients_are_the_slopes_of_the_plain_version(kind, options):
    module, x = ready(kind, options), torch.randn(WIDTH)
    row = x[None].clone().requires_grad_()
    module(row).sum().backward()
    weights, point, step = in_float64(module), x.numpy().astype(np.float64), 1e-6

    def slope(values, at):
        kept = values[at]
        ends = []
        for moved in (kept + step, kept - step):
            values[at] = moved
            ends.append(PLAIN[kind](weights, point, **options))
        values[at] = kept
        return (ends[0] - ends[1]) / (2 * step)

    found = {"x": row.grad[0], **{name: weight.grad for name, weight in module.named_parameters()}}
    for name, gradient in found.items():
        values = point if name == "x" else weights[name]
        expected = np.array([slope(values, at) for at in np.ndindex(values.shape)]).reshape(values.shape)
        assert np.allclose(gradient.numpy(), expected, atol=1e-3, rtol=1e-3), name


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_other_rows_do_not_matter_in_evaluation(kind, options):
    module, x = ready(kind, options), torch.randn(20, WIDTH)
    alone = torch.cat([module(row[None]) for row in x])
    assert torch.allclose(module(x), alone, atol=1e-5, rtol=1e-5)
    assert module(x[:0]).shape == (0,)


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_batch_of_one_row_or_none_trains_and_leaves_averages_as_they_are(kind, options, rows):
    module = ready(kind, options).train()
    before = {name: value.clone() for name, value in module.named_buffers()}
    logits = module(torch.randn(rows, WIDTH))
    logits.sum().backward()
    assert logits.shape == (rows,)
    assert all(torch.isfinite(weight.grad).all() for weight in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.named_buffers())


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_dropout_changes_logits_while_training_and_only_then(kind, options):
    module, x = ready(kind, options), torch.randn(30, WIDTH)
    assert torch.equal(module(x), module(x))
    module.train()
    assert torch.equal(module(x), module(x)) == (options["dropout"] == 0)


@pytest.mark.parametrize(("kind", "options"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_on_a_gpu_products_are_in_bfloat16_and_the_logit_in_float32(kind, options, training, monkeypatch):
    monkeypatch.setattr("mmctr.models.layers.autocast", autocast_without_a_gpu)
    with FakeTensorMode(), torch.device("cuda"):
        module = load_component("mmctr.models.heads", kind)(WIDTH, **options).train(training)
        with autocast_without_a_gpu(torch.device("cuda")), Products() as products:
            logits = module(torch.ones(40, WIDTH))
    assert (logits.dtype, logits.device.type, logits.shape) == (torch.float32, "cuda", (40,))
    *others, last = products.found
    assert last == {torch.float32}
    assert others
    assert all(dtypes == {torch.bfloat16} for dtypes in others)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_a_checkpoint_brings_every_head_back(kind, options, tmp_path):
    rng = np.random.default_rng(0)
    table = item_table(rng)
    split = click_split(rng, table)
    built = replace(architecture(table), head=Part(kind, options))
    model = ClickModel(built).train()
    model.set_items(table)
    model(split.slice(0, 64))
    saved = Checkpoint(built, model.state_dict(), max_len=64, ids=table.ids, metrics={})
    save_checkpoint(saved, tmp_path / "a.pt")
    restored = restore_model(load_checkpoint(tmp_path / "a.pt"))
    assert np.array_equal(*(predict_logits(one, split, batch_size=7) for one in (model.eval(), restored)))


@pytest.mark.parametrize("kind", HEADS)
def test_losses_are_those_of_the_golden_file(kind):
    expected = json.loads((GOLDEN / "parts" / f"{kind}.json").read_text())
    assert head_losses(kind) == pytest.approx(expected, rel=1e-4)
    assert sum(expected[-5:]) < sum(expected[:5])

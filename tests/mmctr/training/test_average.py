"""The moving average of weights: its numbers, running statistics, and what is evaluated and kept."""

from dataclasses import replace

import pytest
import torch
from short_training import SHORT, run, setting
from torch import nn

from mmctr.evaluation.metrics import auc
from mmctr.evaluation.prediction import predict_logits
from mmctr.training.average import WeightAverage
from mmctr.training.loop import fit


def test_numbers_are_those_of_a_plain_loop_over_the_steps():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = WeightAverage(model, decay=0.6)
    expected = {name: value.double().clone() for name, value in model.state_dict().items()}
    for step in range(12):
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(torch.randn_like(weight))
        model(torch.randn(8, 3))  # moves the running statistics
        average.update()
        decay = min(0.6, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * value.double()
    own = model.state_dict()
    for name, value in average.values.items():
        if name.endswith("num_batches_tracked"):
            assert value == own[name] == 12
        else:
            assert torch.allclose(value.double(), expected[name], atol=1e-5), name


def test_frozen_weights_are_not_copied():
    model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 1))
    model[0].weight.requires_grad_(False)
    assert set(WeightAverage(model, decay=0.9).values) == {"1.weight", "1.bias"}


def test_the_model_has_it_meanwhile_and_its_own_weights_afterwards():
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay=0.9)
    with torch.no_grad():
        model.weight += 1
    average.update()
    own, mean = model.weight.clone(), average.values["weight"].clone()
    assert not torch.equal(own, mean)
    with average.in_place():
        assert torch.equal(model.weight, mean)
        assert torch.equal(model.state_dict()["weight"], mean)
    assert torch.equal(model.weight, own)
    assert torch.equal(average.values["weight"], mean)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_averaged_statistics_are_near_those_of_the_averaged_weights(batch_norm):
    """As a pass over the training rows with the averaged weights would find them."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(6, 5), nn.BatchNorm1d(5) if batch_norm else nn.Identity(), nn.ReLU(), nn.Linear(5, 1)
    )
    average = WeightAverage(model, decay=0.99)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    x = torch.randn(4000, 6) @ torch.randn(6, 6)
    for _ in range(600):
        rows = torch.randint(0, len(x), (64,))
        loss = (model(x[rows]).squeeze(1) - x[rows].sum(1)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()
    with average.in_place():
        model.eval()
        with torch.no_grad():
            found = model(x)
            if batch_norm:
                model[1].reset_running_stats()
                model[1].momentum = None  # the plain mean over all rows
                model.train()(x)
                model.eval()
            exact = model(x)
    assert torch.corrcoef(torch.stack([found.squeeze(1), exact.squeeze(1)]))[0, 1] > 0.999
    assert (found - exact).abs().mean() < 0.05 * exact.std()


def test_what_is_evaluated_and_kept_is_the_average():
    recipe = replace(SHORT, ema_decay=0.8)
    model, train, valid = setting()
    done = fit(model, train, valid, recipe=recipe, progress=False)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    assert not all(torch.equal(own[name], done.best_weights[name]) for name in own)
    model.load_state_dict(done.best_weights)
    assert auc(valid.label.numpy(), predict_logits(model, valid, batch_size=32)) == done.best.valid_auc


def test_a_noisy_training_is_steadier_by_its_average():
    noisy = replace(SHORT, learning_rate=0.05, epochs=8, patience=8, schedule="constant")
    losses = [
        [epoch.valid_logloss for epoch in run(recipe, rows=1000, dropout=0.0).history][4:]
        for recipe in (noisy, replace(noisy, ema_decay=0.98))
    ]
    assert max(losses[1]) < max(losses[0])

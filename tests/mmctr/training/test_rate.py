"""The learning rate of each step."""

import math
from dataclasses import replace

import pytest
import torch
from short_training import SHORT, run
from torch.optim.lr_scheduler import ReduceLROnPlateau

from mmctr.training.rate import Rate
from mmctr.training.recipe import Recipe


def test_on_plateaus_it_falls_as_pytorchs_schedule_has_it():
    recipe = Recipe(learning_rate=0.3, plateau_factor=0.01, plateau_patience=1)
    rate = Rate(recipe)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = ReduceLROnPlateau(optimizer, mode="max", factor=0.01, patience=1, threshold=0.0)
    for valid_auc in (0.5, 0.6, 0.6, 0.59, 0.61, 0.2, 0.3, 0.4, 0.5, 0.61, 0.6, *[0.1] * 12):
        rate.validated(valid_auc)
        schedule.step(valid_auc)
        assert rate.at(100, share=0.5) == optimizer.param_groups[0]["lr"]


def test_the_cosine_falls_to_nothing_over_all_epochs():
    rate = Rate(Recipe(learning_rate=2.0, schedule="cosine"))
    assert [rate.at(9, share=share) for share in (0, 1 / 3, 0.5, 2 / 3, 1)] == pytest.approx([2, 1.5, 1, 0.5, 0])
    rate.validated(0.5), rate.validated(0.4), rate.validated(0.3), rate.validated(0.2)
    assert rate.at(9, share=0.5) == pytest.approx(1)


@pytest.mark.parametrize("schedule", ["plateau", "cosine", "constant"])
def test_warm_up_is_a_straight_line_to_what_there_is(schedule):
    recipe = Recipe(learning_rate=1.0, schedule=schedule)
    warm, plain = Rate(replace(recipe, warmup_steps=4)), Rate(recipe)
    shares = [step / 20 for step in range(8)]
    found = [warm.at(step, share=share) / plain.at(step, share=share) for step, share in enumerate(shares)]
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])


def test_a_training_tells_the_rate_of_its_latest_step():
    recipe = replace(SHORT, epochs=4, schedule="cosine", warmup_steps=12)  # 8 steps an epoch
    rates = [epoch.learning_rate for epoch in run(recipe).history]
    shares = [(8 * epoch - 1) / 32 for epoch in (1, 2, 3, 4)]
    cosines = [3e-3 * (1 + math.cos(math.pi * share)) / 2 for share in shares]
    assert rates == pytest.approx([cosines[0] * 8 / 12, *cosines[1:]])


def test_constant_stays_whatever_validation_says():
    recipe = replace(SHORT, schedule="constant", learning_rate=0.05, plateau_patience=0)
    assert {epoch.learning_rate for epoch in run(recipe, planted=False).history} == {0.05}

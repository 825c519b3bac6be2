from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import click_split, din, item_table

from mmctr.clicks.batch import Batch, ClickSplit
from mmctr.clicks.placement import StreamedSplit, placed, placed_together, size_bytes
from mmctr.evaluation.prediction import predict_logits
from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe

CPU = torch.device("cpu")


def setting():
    rng = np.random.default_rng(0)
    table = item_table(rng)
    return table, click_split(rng, table, rows=100, planted=True)


def same_batch(first: Batch, second: Batch) -> bool:
    return all(torch.equal(value, vars(second)[name]) for name, value in vars(first).items() if value is not None)


def test_bytes_are_those_of_all_tensors():
    _, split = setting()
    histories = len(split.history)
    assert size_bytes(split) == 4 * histories + 8 * 101 + 100 * (4 + 4 + 4 + 4)
    unlabelled = ClickSplit(**{**vars(split), "label": None})
    assert size_bytes(split) - size_bytes(unlabelled) == 400


def test_a_split_is_resident_if_it_takes_half_of_what_is_free():
    _, split = setting()
    assert isinstance(placed(split, CPU, free_bytes=2 * size_bytes(split)), ClickSplit)
    assert isinstance(placed(split, CPU, free_bytes=2 * size_bytes(split) - 1), StreamedSplit)
    assert isinstance(placed(split, CPU), ClickSplit)


def test_splits_that_are_placed_together_share_one_half_of_what_is_free():
    _, split = setting()
    small = ClickSplit(**{**vars(split), "label": None})

    def kinds(splits, free):
        return [type(each) for each in placed_together(splits, CPU, free_bytes=free)]

    size = size_bytes(split)
    assert kinds([split, split], 4 * size) == [ClickSplit, ClickSplit]
    assert kinds([split, split], 4 * size - 1) == [ClickSplit, StreamedSplit]
    assert kinds([split, split], 2 * size - 1) == [StreamedSplit, StreamedSplit]
    assert kinds([split, small], 2 * size - 1) == [StreamedSplit, ClickSplit]


def test_a_training_places_its_splits_together(monkeypatch):
    table, split = setting()
    free = 4 * size_bytes(split) - 1
    monkeypatch.setattr(
        "mmctr.training.loop.placed_together", lambda splits, device: placed_together(splits, device, free_bytes=free)
    )
    streamed = []
    batches = StreamedSplit.batches
    monkeypatch.setattr(StreamedSplit, "batches", lambda self, *a, **k: streamed.append(1) or batches(self, *a, **k))
    fit(din(table), split, split, recipe=Recipe(epochs=1, batch_size=32), progress=False)
    assert streamed == [1]  # the validation split once; that of training is resident


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("labelled", [False, True])  # with users, too
def test_streamed_batches_are_those_of_the_resident_split(ordered, labelled):
    _, split = setting()
    user = torch.arange(100, dtype=torch.int32) // 3
    split = replace(split, user=user) if labelled else replace(split, label=None)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3))[7:] if ordered else None
    resident, streamed = placed(split, CPU), placed(split, CPU, free_bytes=0)
    pairs = list(zip(resident.batches(32, order=order), streamed.batches(32, order=order), strict=True))
    assert len(pairs) == (3 if ordered else 4)
    assert all(same_batch(first, second) for first, second in pairs)
    assert len(resident) == len(streamed) == 100
    assert (streamed.user is user) == labelled


def test_training_and_prediction_are_the_same_from_a_streamed_split(monkeypatch):
    table, split = setting()
    recipe = Recipe(epochs=2, batch_size=32)
    resident_model, streamed_model = din(table), din(table)
    resident = fit(resident_model, split, split, recipe=recipe, progress=False)
    monkeypatch.setattr(
        "mmctr.training.loop.placed_together", lambda splits, device: placed_together(splits, device, free_bytes=0)
    )
    streamed = fit(streamed_model, split, split, recipe=recipe, progress=False)
    assert [epoch.train_loss for epoch in resident.history] == [epoch.train_loss for epoch in streamed.history]
    assert all(torch.equal(resident.best_weights[name], streamed.best_weights[name]) for name in resident.best_weights)
    expected = predict_logits(resident_model, split, batch_size=32)
    assert np.array_equal(predict_logits(streamed_model, placed(split, CPU, free_bytes=0), batch_size=32), expected)

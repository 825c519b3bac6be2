"""What is done to all of a split or a batch goes over its fields; none is forgotten."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from generated import click_split, item_table

from mmctr.clicks.batch import OF_ROW, Batch, ClickSplit, mapped, size_bytes


@pytest.fixture
def split() -> ClickSplit:
    rng = np.random.default_rng(0)
    return replace(click_split(rng, item_table(rng), rows=20), user=torch.arange(20, dtype=torch.int32) // 3)


def test_the_two_classes_have_the_same_columns():
    assert OF_ROW == ("target", "feature_ids", "feature_numbers", "label", "user")
    assert {field.name for field in fields(ClickSplit)} == {"history", "offsets", *OF_ROW}


def test_consecutive_rows_are_the_same_by_slice_and_by_take(split):
    first, second = split.slice(3, 11), split.take(torch.arange(3, 11))
    for field in fields(Batch):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name)), field.name
    for name in OF_ROW:
        assert torch.equal(getattr(first, name), getattr(split, name)[3:11])


def test_every_tensor_is_moved_and_what_is_missing_stays_missing(split):
    moved = split.to("meta")
    assert {getattr(moved, field.name).device.type for field in fields(moved)} == {"meta"}
    unlabelled = ClickSplit(**{**vars(split), "label": None})
    assert unlabelled.to("cpu").label is None
    assert unlabelled.take(torch.tensor([1, 0])).label is None
    assert replace(split, user=None).slice(0, 4).user is None


def test_sizes_and_functions_are_of_all_tensors(split):
    batch = split.slice(0, 20)
    assert size_bytes(batch) == 12 * len(batch.history) + 20 * (4 * 4 + 4)  # int32 and int64 an item, five columns
    assert size_bytes(split) == 4 * len(batch.history) + 21 * 8 + 20 * (4 * 4 + 4)
    doubled = mapped(batch, lambda tensor: tensor * 2)
    assert all(torch.equal(getattr(doubled, f.name), getattr(batch, f.name) * 2) for f in fields(batch))


def test_a_split_of_some_rows_has_just_them(split):
    rows = torch.tensor([7, 0, 19, 3])
    some, taken = split.only(rows), split.take(rows)
    assert len(some) == 4
    for field in fields(Batch):
        ours, theirs = getattr(some.slice(0, 4), field.name), getattr(taken, field.name)
        assert ours is theirs is None or torch.equal(ours, theirs), field.name
    assert len(split.only(rows[:0])) == 0


def test_batches_end_where_they_are_told_to(split):
    order = torch.arange(19, -1, -1)
    found = [batch.user.tolist() for batch in split.batches(8, order=order, ends=[5, 7, 20])]
    assert found == [split.user[order][start:stop].tolist() for start, stop in ((0, 5), (5, 7), (7, 20))]

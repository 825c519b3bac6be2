import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_rows import by_row, encoder, rows_of

import mmctr.models.packed


def plain(module, target, history):
    """One item at a time."""
    counts = [0] * module.bins
    for item in history.numpy():
        cosine = target.numpy() @ item / np.linalg.norm(target) / np.linalg.norm(item)
        counts[min(math.floor((cosine + 1) / 2 * module.bins), module.bins - 1)] += 1
    return torch.tensor([math.log(1 + count) for count in counts])


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 1000), st.sampled_from([1, 2, 5, 16]))
def test_it_is_a_loop_over_items(lengths, seed, bins):
    module, (query, keys, row) = encoder("similarity", bins=bins), rows_of(lengths, seed=seed)
    expected = by_row(plain, module, query, keys, row).float()
    torch.testing.assert_close(module(query, keys, row), expected)


def test_ranges_go_from_opposite_to_equal():
    module = encoder("similarity", bins=4)
    angles = torch.tensor([math.pi, 2.0, 1.2, 0.3, 0.0])  # cosines -1, -0.42, 0.36, 0.96, 1
    keys = torch.stack([angles.cos(), angles.sin()], dim=1)
    out = module(torch.tensor([[2.0, 0.0]]), keys * 3, torch.zeros(5, dtype=torch.int64))
    torch.testing.assert_close(out.exp() - 1, torch.tensor([[1.0, 1.0, 1.0, 2.0]]))


@pytest.mark.parametrize("bins", [1, 2, 7, 16])
def test_a_vector_and_its_own_opposite_are_in_the_outer_ranges(bins):
    module, (query, _, _) = encoder("similarity", bins=bins), rows_of([2] * 500)
    keys = torch.stack([query, -query], dim=1).flatten(0, 1).float()
    counts = (module(query.float(), keys, torch.arange(500).repeat_interleave(2)).exp() - 1).sum(dim=0)
    assert counts[0] == (1000 if bins == 1 else 500)
    assert counts[-1] == counts[0]


def test_lengths_of_vectors_do_not_matter():
    module, (query, keys, row) = encoder("similarity"), rows_of()
    assert torch.equal(module(query * 1e-6, keys * 1e6, row), module(query, keys, row))


def test_items_without_content_are_in_no_range():
    module, (query, keys, row) = encoder("similarity"), rows_of([3, 2])
    keys[1] = 0
    found = (module(query, keys, row).exp() - 1).sum(dim=1)
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0]))
    query[1] = 0
    assert not module(query, keys, row)[1].any()


def test_chunks_do_not_matter(monkeypatch):
    module, (query, keys, row) = encoder("similarity"), rows_of()
    whole = module(query, keys, row)
    monkeypatch.setattr(mmctr.models.packed, "CHUNK", 4)
    assert torch.equal(module(query, keys, row), whole)


def test_it_has_no_weights_and_asks_for_no_gradient():
    module, (query, keys, row) = encoder("similarity"), rows_of()
    assert not list(module.parameters())
    assert not module(query.requires_grad_(), keys.requires_grad_(), row).requires_grad

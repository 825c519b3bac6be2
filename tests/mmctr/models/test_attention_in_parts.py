"""Target attention with ReLU: a few rows at a time, as with all of them together."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from without_gpu import Products, autocast_without_a_gpu

import mmctr.models.sequence.target_attention
from mmctr.models.sequence.target_attention import TargetAttention, _parts

DIM, ROWS = 6, 30


def inputs(rng, *, longest=9):
    lengths = rng.integers(0, longest + 1, ROWS)
    lengths[rng.integers(0, ROWS)] = 4 * longest
    row = torch.from_numpy(np.repeat(np.arange(ROWS), lengths))
    query, keys = (torch.randn(n, DIM, requires_grad=True) for n in (ROWS, len(row)))
    return query, keys, row


def attention(*, dropout=0.0):
    torch.manual_seed(0)
    return TargetAttention(DIM, hidden=(8, 5), activation="relu", dropout=dropout)


def plain(module, query, keys, row):
    """The paper's formula on all history items, with PyTorch's own layers."""
    q = query[row]
    hidden = module.first(torch.cat([q, keys, q - keys, q * keys], dim=1)).relu()
    weights = module.last(module.rest[0](hidden).relu())
    return torch.zeros_like(query).index_add(0, row, weights * keys)


@pytest.mark.parametrize("part", [1, 7, 10_000])
def test_values_and_gradients_are_those_of_plain_layers(monkeypatch, part):
    monkeypatch.setattr(mmctr.models.sequence.target_attention, "PART", part)
    module, (query, keys, row) = attention(), inputs(np.random.default_rng(0))
    needed = [query, keys, *module.parameters()]
    found, expected = module(query, keys, row), plain(module, query, keys, row)
    assert torch.allclose(found, expected, atol=1e-5)
    toward = torch.randn_like(found)
    for mine, theirs in zip(
        torch.autograd.grad(found, needed, toward), torch.autograd.grad(expected, needed, toward), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=1e-4)


@pytest.mark.parametrize("rows", [0, 3])
def test_rows_without_any_history_have_no_interest(rows):
    query = torch.randn(rows, DIM, requires_grad=True)
    interest = attention(dropout=0.1)(query, torch.zeros(0, DIM), torch.zeros(0, dtype=torch.int64))
    interest.sum().backward()
    assert interest.shape == (rows, DIM)
    assert not interest.any()


def test_dropout_draws_for_each_part_and_again_the_same_from_the_same_state(monkeypatch):
    monkeypatch.setattr(mmctr.models.sequence.target_attention, "PART", 7)
    module, (query, keys, row) = attention(dropout=0.3), inputs(np.random.default_rng(0))
    state = torch.get_rng_state()
    first, second = module(query, keys, row), module(query, keys, row)
    torch.set_rng_state(state)
    assert torch.equal(module(query, keys, row), first)
    assert not torch.equal(second, first)
    assert torch.equal(module.eval()(query, keys, row), module(query, keys, row))


@given(st.integers(0, 2**31 - 1), st.integers(1, 40))
def test_parts_are_whole_rows_and_no_longer_than_they_must_be(seed, part):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, rng.integers(1, 30))
    row = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
    assume(len(row) > part)  # else all is one part
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmctr.models.sequence.target_attention, "PART", part)
        rows, items = _parts(row, rows=len(lengths))
    assert sum(rows) == len(lengths)
    assert items == [part.sum() for part in np.split(lengths, np.cumsum(rows)[:-1])]
    assert all(count > 0 for count in rows)
    assert all(count <= part + lengths.max() for count in items)


def test_on_a_gpu_all_rows_go_through_at_once_in_bfloat16(monkeypatch):
    monkeypatch.setattr(mmctr.models.sequence.target_attention, "PART", 2)
    with FakeTensorMode(), torch.device("cuda"):
        module = TargetAttention(DIM, hidden=(8, 5), activation="relu", dropout=0.2)
        query, keys = torch.ones(ROWS, DIM), torch.ones(50, DIM)
        with autocast_without_a_gpu(torch.device("cuda")), Products() as products:
            interest = module(query, keys, torch.zeros(50, dtype=torch.int64))
    assert (interest.device.type, interest.dtype) == ("cuda", torch.float32)
    assert products.found == [{torch.bfloat16}] * 4  # two of the first layer, one of the second, the weights

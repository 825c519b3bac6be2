import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import histories, rows_of

import mmctr.models.packed
from mmctr.models.packed import blocks, chunks, inverse, permuted


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_blocks_have_each_row_once_with_its_items_in_order(lengths):
    _, keys, row = rows_of(lengths)
    whole = blocks(row, rows=len(lengths))
    of_row = histories(keys, row, rows=len(lengths))
    rows, items = iter(whole.rows.tolist()), keys[whole.items]
    for block, numbers in zip(whole.of_items(items), whole.of_rows(whole.rows), strict=True):
        assert len(block) == len(numbers)
        for history in block:
            assert torch.equal(history, of_row[next(rows)])
    assert list(rows) == []
    assert sorted(whole.rows.tolist()) == list(range(len(lengths)))
    assert whole.ends.tolist() == torch.tensor(sorted(lengths)).cumsum(0).tolist()
    assert [length for _, length in whole.shapes] == sorted(set(lengths)), "one block for each length"


@given(st.permutations(range(7)))
def test_a_permutation_and_its_gradient_are_those_of_a_lookup(order):
    order = torch.tensor(order)
    values = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    assert torch.equal(permuted(values, order), values[order])
    assert torch.equal(order[inverse(order)], torch.arange(7))
    toward = torch.randn(7, 3, dtype=torch.float64)
    found, expected = (torch.autograd.grad(out, values, toward) for out in (permuted(values, order), values[order]))
    assert torch.equal(found[0], expected[0])


@pytest.mark.parametrize(("items", "sizes"), [(0, []), (3, [3]), (4, [4]), (9, [4, 4, 1])])
def test_chunks_cover_all_items(monkeypatch, items, sizes):
    monkeypatch.setattr(mmctr.models.packed, "CHUNK", 4)
    values = torch.arange(items)
    assert [len(values[chunk]) for chunk in chunks(values)] == sizes
    assert [one for chunk in chunks(values) for one in values[chunk].tolist()] == values.tolist()

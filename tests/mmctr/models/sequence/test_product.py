"""The product is a loop over items, and what an MLP has not: what target and history have in common."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_rows import assert_as_plain, encoder, rows_of


def plain(module, target, history):
    """One item at a time."""
    return sum(target * item / len(history) for item in history)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 1000))
def test_it_is_a_loop_over_items_and_so_are_its_gradients(lengths, seed):
    query, keys, row = rows_of(lengths, seed=seed)
    assert_as_plain(plain, encoder("product"), query, keys, row)


def test_its_sum_is_the_mean_inner_product():
    query, keys, row = rows_of((4, 1))
    found = encoder("product")(query, keys, row).sum(1)
    torch.testing.assert_close(found, torch.stack([(keys[:4] @ query[0]).mean(), keys[4] @ query[1]]))

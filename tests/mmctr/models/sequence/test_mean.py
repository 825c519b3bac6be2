import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_rows import assert_as_plain, encoder, rows_of


def plain(module, target, history):
    """One item at a time."""
    return sum(item / len(history) for item in history)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any), st.integers(0, 1000))
def test_it_is_a_loop_over_items_and_so_are_its_gradients(lengths, seed):
    query, keys, row = rows_of(lengths, seed=seed)
    assert_as_plain(plain, encoder("mean"), query, keys, row)


def test_a_gradient_that_is_handed_in_stays_as_it_is():
    query, keys, row = rows_of()
    out = encoder("mean")(query, keys.requires_grad_(), row)
    toward = torch.ones_like(out)
    torch.autograd.grad(out, keys, toward)
    assert torch.equal(toward, torch.ones_like(out))

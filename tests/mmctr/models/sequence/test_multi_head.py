import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_rows import assert_as_plain, encoder, rows_of

LISTS = st.lists(st.integers(0, 9), min_size=1, max_size=8).filter(any)


def plain(module, target, history):
    """One head and one item at a time."""
    heads = []
    for head in torch.arange(module.width).chunk(module.heads):
        asked = module.query.weight[head] @ target + module.query.bias[head]
        scores = [asked @ (module.key.weight[head] @ item) / math.sqrt(len(head)) for item in history]
        total = sum(score.exp() for score in scores)
        values = [module.value.weight[head] @ item for item in history]
        heads.append(sum(score.exp() / total * value for score, value in zip(scores, values, strict=True)))
    return torch.cat(heads)


@settings(max_examples=20)
@given(LISTS, st.integers(0, 1000))
def test_it_is_a_loop_over_heads_and_items_and_so_are_its_gradients(lengths, seed):
    assert_as_plain(plain, encoder("multi_head", seed=seed), *rows_of(lengths, seed=seed))


def test_it_is_pytorchs_multi_head_attention():
    module, (query, keys, row) = encoder("multi_head"), rows_of([5])
    theirs = torch.nn.MultiheadAttention(module.width, module.heads, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([module.query.weight, module.key.weight, module.value.weight]))
        theirs.in_proj_bias.zero_()[: module.width].copy_(module.query.bias)
        theirs.out_proj.weight.copy_(torch.eye(module.width))
        expected, _ = theirs(query[:, None], keys[None], keys[None])
    torch.testing.assert_close(module(query, keys, row), expected[0])


@pytest.mark.parametrize("scale", [1e4, 1e18])
def test_large_scores_stay_finite(scale):
    module, (query, keys, row) = encoder("multi_head").float(), rows_of(dtype=torch.float32)
    out = module(query * scale, keys, row)
    assert out.isfinite().all()
    (most,) = (out.detach().abs().max(),)
    assert most <= (module.value(keys)).abs().max() * 1.0001, "a mean of values lies between them"


def test_a_history_seen_twice_is_the_same():
    """The weights are normalised over the history."""
    module, (query, keys, row) = encoder("multi_head"), rows_of()
    twice = module(query, keys.repeat_interleave(2, dim=0), row.repeat_interleave(2))
    torch.testing.assert_close(twice, module(query, keys, row))

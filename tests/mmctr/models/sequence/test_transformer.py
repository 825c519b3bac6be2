import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_rows import assert_as_plain, encoder, rows_of

LISTS = st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any)


def normalised(norm, x):
    deviation = x - x.mean()
    return deviation / (deviation.square().mean() + norm.eps).sqrt() * norm.weight + norm.bias


def plain_layer(layer, tokens):
    """Every token of the layer, one head and one pair of tokens at a time."""
    normed = [normalised(layer.attention_norm, token) for token in tokens]
    query, key, value = ([weight @ x for x in normed] for weight in layer.query_key_value.weight.chunk(3))
    out = []
    for token, asking in zip(tokens, query, strict=True):
        heads = []
        for head in torch.arange(len(token)).chunk(layer.heads):
            scores = [(asking[head] @ other[head] / math.sqrt(len(head))).exp() for other in key]
            heads.append(sum(s / sum(scores) * v[head] for s, v in zip(scores, value, strict=True)))
        token = token + layer.out(torch.cat(heads))
        first, _, second = layer.feedforward
        out.append(token + second(first(normalised(layer.feedforward_norm, token)).clamp(min=0)))
    return out


def plain(module, target, history):
    tokens = []
    for after, item in zip(range(len(history), -1, -1), [*history, target], strict=True):
        tokens.append(module.item(item) + module.positions[min(after, len(module.positions) - 1)])
    for layer in module.layers:
        tokens = plain_layer(layer, tokens)
    return normalised(module.norm, tokens[-1])


@settings(max_examples=20)
@given(LISTS, st.integers(0, 1000), st.integers(1, 3))
def test_it_is_a_loop_over_tokens_and_so_are_its_gradients(lengths, seed, layers):
    assert_as_plain(plain, encoder("transformer", seed=seed, layers=layers), *rows_of(lengths, seed=seed))


@pytest.mark.parametrize(("positions", "moved"), [(3, True), (2, False), (1, False)])
def test_items_beyond_the_last_position_share_it(positions, moved):
    module, (query, keys, row) = encoder("transformer", positions=positions), rows_of([4])
    swapped = keys[[1, 0, 2, 3]]
    difference = (module(query, swapped, row) - module(query, keys, row)).abs().max()
    assert difference < 1e-12, "the oldest two share a position in each"
    swapped = keys[[0, 2, 1, 3]]
    difference = (module(query, swapped, row) - module(query, keys, row)).abs().max()
    assert bool(difference > 1e-3) is moved


def test_a_history_that_is_longer_than_any_position_works():
    module, (query, keys, row) = encoder("transformer", positions=1), rows_of([300, 2])
    assert module(query, keys, row).isfinite().all()

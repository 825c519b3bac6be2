"""What every sequence encoder keeps to, whatever its kind."""

import inspect
import json
from pkgutil import iter_modules

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_rows import DIM, LENGTHS, PACKAGE, SEQUENCE, encoder, histories, rows_of
from part_losses import sequence_losses
from project import GOLDEN

import mmctr.models.sequence
from mmctr.common.components import load_component
from mmctr.compute.numerics import deterministic

KINDS = tuple(SEQUENCE)
ORDERED = ("transformer",)
OF_TARGET = tuple(kind for kind in KINDS if kind != "mean")
HISTORIES = st.lists(st.integers(0, 9), min_size=1, max_size=12)
each_kind = pytest.mark.parametrize("kind", KINDS)


def test_the_tests_know_every_kind():
    assert sorted(KINDS) == sorted(module.name for module in iter_modules(mmctr.models.sequence.__path__))


@each_kind
def test_options_are_keywords_that_must_be_given(kind):
    component = load_component(PACKAGE, kind)
    _, dim, *options = inspect.signature(component.__init__).parameters.values()
    assert dim.name == "dim"
    assert {option.name for option in options} == set(SEQUENCE[kind])
    assert all(option.kind is option.KEYWORD_ONLY and option.default is option.empty for option in options)
    assert component.of_content is (kind == "similarity")


@each_kind
@settings(max_examples=20)
@given(HISTORIES)
def test_other_rows_of_a_batch_do_not_matter(kind, lengths):
    module, (query, keys, row) = encoder(kind), rows_of(lengths)
    together = module(query, keys, row)
    assert together.shape == (len(lengths), module.width)
    for number, history in enumerate(histories(keys, row, rows=len(lengths))):
        alone = module(query[number, None], history, row.new_zeros(len(history)))
        torch.testing.assert_close(alone[0], together[number])


@each_kind
@settings(max_examples=20)
@given(HISTORIES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(kind, lengths, random):
    module, (query, keys, row) = encoder(kind), rows_of(lengths)
    order = random.sample(range(len(lengths)), len(lengths))
    moved = [histories(keys, row, rows=len(lengths))[number] for number in order]
    places = torch.repeat_interleave(torch.tensor([len(history) for history in moved]))
    torch.testing.assert_close(module(query[order], torch.cat(moved), places), module(query, keys, row)[order])


@each_kind
@pytest.mark.parametrize("training", [False, True])
def test_a_row_without_history_is_zeros_and_the_others_are_not(kind, training):
    module, (query, keys, row) = encoder(kind, **({"dropout": 0.0} if "dropout" in SEQUENCE[kind] else {})), rows_of()
    out = module.train(training)(query, keys, row)
    assert [bool(one.any()) for one in out] == [length > 0 for length in LENGTHS]


@each_kind
@pytest.mark.parametrize("rows", [1, 3])
def test_a_batch_without_any_history_trains(kind, rows):
    module, (query, keys, row) = encoder(kind).train(), rows_of([0] * rows)
    out = module(query.requires_grad_(), keys.requires_grad_(), row)
    assert out.shape == (rows, module.width)
    assert not out.any()
    if out.requires_grad:
        out.sum().backward()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in [query, *module.parameters()])


@each_kind
def test_one_row_trains(kind):
    module, (query, keys, row) = encoder(kind).train(), rows_of([4])
    out = module(query.requires_grad_(), keys.requires_grad_(), row)
    assert out.isfinite().all()
    if module.of_content:
        assert not out.requires_grad
    else:
        out.sum().backward()
        assert keys.grad.any()


@each_kind
def test_it_reacts_to_which_items_are_in_the_history_of_its_row_alone(kind):
    module, (query, keys, row) = encoder(kind), rows_of()
    before = module(query, keys, row)
    for item, of in enumerate(row.tolist()):
        changed = keys.clone()
        changed[item] = -changed[item]
        difference = (module(query, changed, row) - before).abs().amax(dim=1)
        assert difference[of] > 1e-3
        assert difference[torch.arange(len(query)) != of].max() < 1e-12


@each_kind
def test_it_reacts_to_how_long_the_history_is(kind):
    """Items that are left out change the row; a masked one that still counts, or the inverse of a mask, would not."""
    module, (query, keys, row) = encoder(kind), rows_of([4])
    whole = module(query, keys, row)
    for kept in ([1, 2, 3], [0, 1, 2], [3]):
        assert (module(query, keys[kept], row[kept]) - whole).abs().max() > 1e-3


@pytest.mark.parametrize("kind", OF_TARGET)
def test_it_reacts_to_the_target(kind):
    module, (query, keys, row) = encoder(kind), rows_of()
    moved = (module(query.flip(1), keys, row) - module(query, keys, row)).abs().amax(dim=1)
    longest = torch.tensor(LENGTHS).argmax()  # a single item has all the weight of a softmax, whatever the target is
    assert moved[longest] > 1e-3


def test_the_mean_is_the_same_for_every_target():
    module, (query, keys, row) = encoder("mean"), rows_of()
    assert torch.equal(module(-query, keys, row), module(query, keys, row))


@each_kind
def test_the_order_of_the_history_matters_to_those_that_know_positions(kind):
    module, (query, keys, row) = encoder(kind), rows_of()
    turned = torch.cat([history.flip(0) for history in histories(keys, row, rows=len(query))])
    difference = (module(query, turned, row) - module(query, keys, row)).abs().amax(dim=1)
    for length, moved in zip(LENGTHS, difference.tolist(), strict=True):
        assert moved > 1e-3 if kind in ORDERED and length > 1 else moved < 1e-12


@each_kind
def test_equal_seeds_are_equal_bits_while_training(kind):
    module, (query, keys, row) = encoder(kind).float().train(), rows_of(dtype=torch.float32)

    def run():
        torch.manual_seed(3)
        inputs = [query.clone().requires_grad_(), keys.clone().requires_grad_()]
        with deterministic():
            out = module(*inputs, row)
            wanted = [*inputs, *module.parameters()] if out.requires_grad else []
            return [out, *(torch.autograd.grad(out.sum(), wanted, materialize_grads=True) if wanted else ())]

    averages = {name: value.clone() for name, value in module.state_dict().items()}
    first = run()
    module.load_state_dict(averages)
    assert all(torch.equal(a, b) for a, b in zip(first, run(), strict=True))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "dropout" in SEQUENCE[kind]])
def test_dropout_drops_while_training_only(kind):
    module, (query, keys, row) = encoder(kind, dropout=0.5), rows_of()
    assert torch.equal(module(query, keys, row), module(query, keys, row))
    module.train()
    assert not torch.equal(module(query, keys, row), module(query, keys, row))


@each_kind
def test_the_width_of_an_item_may_be_any(kind):
    module, (query, keys, row) = encoder(kind, dim=7), rows_of(dim=7)
    assert module(query, keys, row).shape == (len(LENGTHS), module.width)
    assert DIM % 4


@each_kind
def test_products_in_bfloat16_stay_near_those_in_float32(kind):
    module, (query, keys, row) = encoder(kind, dim=16).float(), rows_of(dim=16, dtype=torch.float32)
    inputs = [query.requires_grad_(), keys.requires_grad_()]
    exact = module(*inputs, row)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = module(*inputs, row)
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.05)
    if exact.requires_grad:
        wanted = [*inputs, *module.parameters()]
        gradients = [torch.autograd.grad(out.float().sum(), wanted, materialize_grads=True) for out in (rounded, exact)]
        for found, expected in zip(*gradients, strict=True):
            assert found.dtype == torch.float32
            assert (found - expected).norm() <= 0.1 * expected.norm() + 0.02


@each_kind
def test_losses_are_those_of_the_golden_file(kind):
    expected = json.loads((GOLDEN / "parts" / f"{kind}.json").read_text())
    assert sequence_losses(kind) == pytest.approx(expected, rel=1e-4)


LEARNS = [(kind, {}) for kind in KINDS if kind != "transformer"]
LEARNS += [("transformer", {"rate": 0.004, "head_width": 8, "feedforward": 32, "dropout": 0.0})]


@pytest.mark.parametrize(("kind", "options"), LEARNS)
def test_what_the_history_says_of_the_target_is_learned(kind, options):
    """With the histories of other rows the loss stays above."""
    told, not_told = (sequence_losses(kind, steps=200, told=one, **options)[-40:] for one in (True, False))
    assert sum(told) / 40 < sum(not_told) / 40 - 0.03

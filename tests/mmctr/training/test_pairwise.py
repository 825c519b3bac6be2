"""The pairwise loss against a plain loop, and batches that hold whole users."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from short_training import SHORT, setting, with_users

import mmctr.training.step
from mmctr.common.errors import InputError
from mmctr.training.loop import fit
from mmctr.training.pairwise import ends_of_batches, pairwise_loss, users_in_turn
from mmctr.training.step import Learner, smoothed_loss, train_step


def plain_loss(logits, label, user):
    """User by user, pair by pair."""
    terms, weights = [], []
    for one in sorted(set(user.tolist())):
        own = (user == one).nonzero().squeeze(1).tolist()
        pairs = [(p, n) for p in own for n in own if label[p] == 1 and label[n] == 0]
        if pairs:
            losses = [torch.log1p(torch.exp(-(logits[p] - logits[n]))) for p, n in pairs]
            terms.append(len(own) * torch.stack(losses).mean())
            weights.append(len(own))
    return torch.stack(terms).sum() / sum(weights) if terms else (logits * 0).sum()


ROWS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(-3, 3, width=32)), min_size=1, max_size=30)


@given(ROWS)
def test_values_and_gradients_are_those_of_a_plain_loop(rows):
    user, label = torch.tensor([row[0] for row in rows]), torch.tensor([float(row[1]) for row in rows])
    found, expected = (torch.tensor([row[2] for row in rows], requires_grad=True) for _ in range(2))
    packed, plain = pairwise_loss(found, label, user.int()), plain_loss(expected, label, user)
    assert torch.allclose(packed, plain, atol=1e-6)
    packed.backward()
    plain.backward()
    assert torch.allclose(found.grad, expected.grad, atol=1e-6)


def test_it_joins_the_loss_that_is_lowered_and_not_the_one_that_is_told(monkeypatch):
    model, train, _ = with_users(setting(dropout=0.0))
    recipe = replace(SHORT, pairwise_weight=0.7)
    batch = train.slice(0, 64)
    learner, lowered = Learner(model, recipe=recipe), []
    monkeypatch.setattr(learner, "step", lambda loss, share: lowered.append(loss.item()))
    told = train_step(model.train(), batch, learner, recipe=recipe)
    model.train()
    logits = model(batch)
    bce = smoothed_loss(logits, batch.label, smoothing=0.01)
    assert float(told) == pytest.approx(bce.item(), rel=1e-5)
    assert lowered[0] == pytest.approx((bce + 0.7 * plain_loss(logits, batch.label, batch.user)).item(), rel=1e-5)


def test_users_come_in_a_random_order_with_their_rows_one_after_another():
    user = torch.tensor([0, 0, 1, 2, 2, 2, 0, 3])
    orders = {seed: users_in_turn(user, seed=seed) for seed in range(20)}
    for order in orders.values():
        assert sorted(order.tolist()) == list(range(8))
        assert int((user[order].diff() != 0).sum()) == 3
        of_user = [order[user[order] == one].tolist() for one in range(4)]
        assert all(rows == sorted(rows) for rows in of_user)
    assert len({int(user[order][0]) for order in orders.values()}) == 4
    assert torch.equal(orders[3], users_in_turn(user, seed=3))


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 10), st.data())
def test_batches_cut_no_user_apart_that_fits_into_one(lengths, batch_size, data):
    user = np.repeat(np.arange(len(lengths)), lengths)
    ends = ends_of_batches(user, batch_size)
    starts = [0, *ends]
    assert starts[-1] == len(user)
    assert all(0 < stop - start <= batch_size for start, stop in zip(starts, ends, strict=False))
    last_rows = np.cumsum(lengths)
    for end in ends:
        if end not in last_rows:  # within a user, who then has more rows than a batch holds
            assert lengths[user[end]] > batch_size
    begun = data.draw(st.sampled_from(starts))
    assert [begun + end for end in ends_of_batches(user[begun:], batch_size)] == [end for end in ends if end > begun]


def test_every_batch_of_a_training_holds_whole_users(monkeypatch):
    model, train, valid = with_users(setting())
    seen = []
    monkeypatch.setattr(
        mmctr.training.step, "pairwise_loss", lambda z, label, user: seen.append(user.tolist()) or z.sum() * 0
    )
    fit(model, train, valid, recipe=replace(SHORT, epochs=2, batch_size=10, pairwise_weight=1.0), progress=False)
    batches_of_user = [user for batch in seen for user in set(batch)]
    assert all(batches_of_user.count(user) == 2 for user in set(batches_of_user))  # once an epoch
    assert max(len(batch) for batch in seen) <= 10
    epochs = len(seen) // 2
    assert sorted(user for batch in seen[:epochs] for user in batch) == train.user.tolist()
    assert seen[:epochs] != seen[epochs:]


def test_without_users_it_is_refused_at_once():
    with pytest.raises(InputError, match=r"`pairwise_weight = 0\.5`\) compares rows of one user.*\(`user`\)"):
        fit(*setting(), recipe=replace(SHORT, pairwise_weight=0.5), progress=False)

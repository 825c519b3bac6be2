"""Draws among live items, and without replacement, beside slow counts."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmctr.inputs.from_logs.live import LiveItems
from mmctr.inputs.from_logs.negatives import _exact
from mmctr.inputs.from_logs.pools import Pool, Tally

LIVES = st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 15)), min_size=1, max_size=40)


@given(lives=LIVES, times=st.lists(st.integers(-25, 40), min_size=1, max_size=20))
def test_every_live_item_has_one_place(lives, times):
    first = np.array([begin for begin, _ in lives])
    last = first + np.array([length for _, length in lives])
    items, asked = LiveItems(first, last), np.array(times)
    counts = items.count(asked)
    for time, count in zip(times, counts.tolist(), strict=True):
        live = np.flatnonzero((first <= time) & (last >= time)).tolist()
        found = items.pick(np.full(count, time), np.arange(count)).tolist()
        assert sorted(found) == live


def pool(counts, by="popularity") -> Pool:
    tally = Tally(len(counts))
    code = np.repeat(np.arange(len(counts)), counts)
    tally.add(code, np.zeros(len(code), np.int64))
    return Pool(tally, by)


def test_draws_have_the_shares_of_the_events():
    popular = pool([0, 1, 0, 7, 2])
    drawn = popular.draw(np.zeros(1000, np.int64), (np.arange(1000) + 0.5) / 1000)
    assert np.bincount(drawn, minlength=5).tolist() == [0, 100, 0, 700, 200]
    alike = pool([0, 1, 0, 7, 2], "uniform")
    assert np.bincount(alike.draw(np.zeros(900, np.int64), (np.arange(900) + 0.5) / 900)).tolist() == [
        0,
        300,
        0,
        300,
        300,
    ]


def test_where_few_items_are_left_all_of_them_are_looked_at():
    popular, own = pool([5, 1, 3, 7, 2]), np.array([3])
    keys = np.random.default_rng(0).integers(0, 2**63, 4000).astype(np.uint64)
    drawn = np.array([_exact(key, own, pool=popular, time=0, number=2) for key in keys])
    assert not (drawn == 3).any()
    assert (drawn[:, 0] != drawn[:, 1]).all()
    first = np.bincount(drawn[:, 0], minlength=5) / 4000
    assert np.abs(first - np.array([5, 1, 3, 0, 2]) / 11).max() < 0.03
    assert _exact(keys[0], np.array([0, 1, 2]), pool=popular, time=0, number=3).tolist() == [-1, -1, -1]

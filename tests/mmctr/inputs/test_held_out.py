"""Which users are held out of train."""

import numpy as np
import pyarrow as pa
import pytest

from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import HeldOut


def held(part="valid", *, share=0.25, seed=0):
    return HeldOut(user="user", share=share, seed=seed, part=part)


def slow_hash(user, seed):
    """The rule, written down once more with Python's integers."""

    def mixed(number):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            number = (number ^ (number >> shift)) * factor % 2**64
        return number ^ (number >> 31)

    golden = 0x9E3779B97F4A7C15
    total = sum(mixed((byte + at * golden) % 2**64) for at, byte in enumerate(str(user).encode()))
    return mixed((total + seed * golden) % 2**64)


@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_the_rule(seed):
    users = [*range(-3, 500), "é", "a b", "x" * 300]
    kept = kept_rows(pa.array(list(map(str, users))), held(seed=seed))
    assert kept.tolist() == [slow_hash(user, seed) < 2**62 for user in users]


def test_an_integer_is_the_same_user_as_its_text_in_every_type():
    numbers = np.arange(1000)
    expected = kept_rows(pa.array(numbers), held()).tolist()
    for column in (pa.array(numbers.astype(float)), pa.array(map(str, numbers)), pa.array(numbers).dictionary_encode()):
        assert kept_rows(column, held()).tolist() == expected
    assert kept_rows(pa.array(map(str, numbers)).dictionary_encode().slice(10), held()).tolist() == expected[10:]
    assert kept_rows(pa.array([], pa.string()), held()).tolist() == []


def test_both_parts_are_all_rows_and_the_share_is_about_right():
    users = pa.array(np.arange(100_000))
    valid, train = kept_rows(users, held("valid", share=0.1)), kept_rows(users, held("train", share=0.1))
    assert (valid != train).all()
    assert abs(valid.mean() - 0.1) < 0.003
    assert abs((valid & kept_rows(users, held("valid", share=0.1, seed=1))).mean() - 0.01) < 0.002

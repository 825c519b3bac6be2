"""Which validation rows choose and which judge."""

import numpy as np
import polars as pl
import pytest

from mmctr.common.errors import InputError
from mmctr.evaluation.halves import rows_of
from mmctr.evaluation.scoring import auc_difference_interval, auc_standard_error
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import Half, HeldOut

CHOOSING, JUDGING = Half("user", "choosing"), Half("user", "judging")


@pytest.fixture
def clicks(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "valid.parquet"
    pl.DataFrame({"user": np.repeat(np.arange(500), 4), "label": rng.integers(0, 2, 2000)}).write_parquet(path)
    return path


def halves(path, *, user="user", held_out=None):
    rows = [rows_of(Half(user, part), [path], label="label", held_out=held_out) for part in ("choosing", "judging")]
    assert (rows[0] ^ rows[1]).all()
    return rows


def test_each_row_is_in_one_half_and_each_user_too(clicks):
    _, judging = halves(clicks)
    assert 850 < judging.sum() < 1150
    assert (judging.reshape(-1, 4) == judging.reshape(-1, 4)[:, :1]).all()

    shuffled = pl.read_parquet(clicks).with_columns(half=judging).sample(fraction=1, shuffle=True, seed=1)
    shuffled.write_parquet(clicks)
    np.testing.assert_array_equal(halves(clicks)[1], shuffled["half"].to_numpy())


@pytest.mark.parametrize("user", ["", "absent"])
def test_rows_without_a_user_go_by_their_number(clicks, user):
    _, judging = halves(clicks, user=user)
    assert 850 < judging.sum() < 1150
    assert len(set(judging.reshape(-1, 4).sum(axis=1))) > 3
    pl.read_parquet(clicks).head(1000).write_parquet(clicks)
    np.testing.assert_array_equal(halves(clicks, user=user)[1], judging[:1000])


def test_held_out_users_are_halved_too(clicks):
    held_out = HeldOut(user="user", share=0.5, seed=0, part="valid")
    valid = kept_rows(pl.read_parquet(clicks)["user"].to_arrow(), held_out)
    _, judging = halves(clicks, held_out=held_out)
    assert len(judging) == valid.sum()
    assert 0.4 < judging.mean() < 0.6, "the halves do not go by the hash that the users are held out by"


def test_a_half_needs_both_classes(clicks):
    pl.read_parquet(clicks).with_columns(label=0).write_parquet(clicks)
    with pytest.raises(InputError, match=r"2 rows of each class at least; the choosing one has 0 with label 1 and \d+"):
        halves(clicks)


def test_the_standard_error_is_that_of_the_difference_to_what_knows_nothing():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    scores = rng.normal(size=400) + labels
    low, high = auc_difference_interval(labels, scores, np.zeros(400))
    assert auc_standard_error(labels, scores) == pytest.approx((high - low) / 2 / 1.96)
    drawn = [auc_standard_error(labels, rng.normal(size=400) + labels) for _ in range(3)]
    assert drawn == pytest.approx([0.0225] * 3, abs=0.003)
    with pytest.raises(ValueError, match="two rows of each class"):
        auc_standard_error(np.array([0, 0, 1]), np.zeros(3))

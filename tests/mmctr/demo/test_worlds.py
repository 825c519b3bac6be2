"""The challenge world: the structure of the challenge's logs, and that the content world is what it was."""

import hashlib

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from flows.cli.main import main
from mmctr.demo.clicks import draw_rows
from mmctr.demo.coverage import covered
from mmctr.demo.oracle import oracle_logits
from mmctr.demo.world import make_world
from mmctr.demo.worlds import POOL_SHARE, WORLDS
from mmctr.demo.write import files_of, is_demo, write_demo
from mmctr.inputs.layout import MICROLENS_1M as NAMES

ITEMS, USERS, EVALUATION_USERS = 1000, 10000, 2500
CONTENT = "08ae160b0a656fa4fffb71639026a65633a3a403c5aee18a19333d37ba0631e7"  # before there was another world


@pytest.fixture(scope="module")
def drawn():
    """The challenge world in its own size: the world, and train and valid with the weights they were drawn by."""
    kind = WORLDS["challenge"]
    world = make_world(items=ITEMS, demand=kind.demand, rng=np.random.default_rng(0))
    of_train, of_valid = kind.weights(world, np.random.default_rng(1))
    drawn = draw_rows(world, first_user=1, users=USERS, weights=of_train, rng=np.random.default_rng(2))
    train = covered(drawn, world=world, rng=np.random.default_rng(4))
    assert np.array_equal(drawn.label, train.label)
    assert (drawn.item_id != train.item_id).mean() < 0.01
    valid = draw_rows(
        world, first_user=USERS + 1, users=EVALUATION_USERS, weights=of_valid, rng=np.random.default_rng(3)
    )
    return world, (train, of_train), (valid, of_valid)


def counts(rows, label):
    return np.bincount(rows.item_id[rows.label == label] - 1, minlength=ITEMS)


def test_train_has_one_positive_and_three_negatives_from_a_narrow_pool(drawn):
    world, (train, _), _ = drawn
    assert np.bincount(train.user_id)[1:].tolist() == [4] * USERS
    assert (np.bincount(train.user_id, weights=train.label)[1:] == 1).all()
    shown, clicked = counts(train, 0), counts(train, 1)
    assert (shown > 0).sum() == round(POOL_SHARE * ITEMS)
    assert shown[shown > 0].min() > 100
    assert ((clicked > 0) & (shown == 0)).mean() > 0.75  # items that are in train as positives only
    assert set(train.item_id) == set(np.flatnonzero(~world.cold) + 1)
    rows = train.item_id[:, None] == train.item_seq
    assert not rows.any()


def test_valid_has_negatives_of_all_items_and_few_cold_targets(drawn):
    world, (train, _), (valid, _) = drawn
    assert (counts(valid, 0) > 0).mean() > 0.98
    cold = ~np.isin(valid.item_id, train.item_id)
    assert 0.01 < cold.mean() < 0.04
    assert 0 < cold[valid.label == 1].mean() < 0.04
    assert (counts(valid, 1)[world.cold]).sum() > 0


def test_the_pool_is_known_by_id_alone(drawn):
    world, (_, of_train), _ = drawn
    pool = of_train.negative > 0
    assert 0.4 < roc_auc_score(pool, world.popularity) < 0.6
    assert np.bincount(world.topic[pool], minlength=24).min() > 0


def test_who_learns_the_ids_by_heart_loses_what_a_rule_of_topics_gains(drawn):
    world, (train, _), (valid, weights) = drawn
    odds = np.log(counts(train, 1) + 0.25) - np.log(counts(train, 0) + 0.25)  # what a table of ids ends at
    by_heart = {name: roc_auc_score(rows.label, odds[rows.item_id - 1]) for name, rows in (("t", train), ("v", valid))}
    assert by_heart["t"] > 0.94
    assert by_heart["v"] < 0.9
    assert roc_auc_score(valid.label, oracle_logits(world, valid, weights=weights)) > 0.96
    even = np.ones(ITEMS)
    topics = oracle_logits(world, valid, weights=type(weights)(positive=even, history=even, negative=even))
    assert roc_auc_score(valid.label, topics) > 0.92  # the history and the topics alone
    level = (world.likes_level + world.views_level)[valid.item_id - 1]
    assert 0.8 < roc_auc_score(valid.label, level) < 0.93


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A small challenge world, as the command writes it."""
    folder = tmp_path_factory.mktemp("worlds") / "challenge"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmctr.demo.write.TRAINING_PAIRS", 0)
        patch.setattr("mmctr.demo.tiny_clip.EPOCHS", 1)
        assert main(["demo", str(folder), "--world", "challenge", "--items", "150", "--users", "60"]) == 0
    return folder


def test_its_files(written):
    found = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert found == set(files_of("challenge"))
    assert is_demo(written, world="challenge")
    assert not is_demo(written)
    test, labels = pl.read_parquet(written / NAMES.test), pl.read_parquet(written / "test_labels.parquet")
    assert labels.drop("label", "cold").equals(test)
    train, valid = pl.read_parquet(written / NAMES.train), pl.read_parquet(written / NAMES.valid)
    assert labels["cold"].to_list() == (~test["item_id"].is_in(train["item_id"].to_list())).to_list()
    users = [set(rows["user_id"]) for rows in (train, valid, test)]
    assert [len(some) for some in users] == [60, 200, 200]
    assert len(set.union(*users)) == 460
    assert dict(train.schema)["item_seq"] == pl.Array(pl.Int64, 64)


def test_it_says_that_its_figures_are_not_codabench_figures(written, capsys):
    assert "not Codabench figures" in (written / "README.md").read_text("utf-8")
    assert main(["demo", str(written), "--world", "challenge", "--if-missing"]) == 0
    assert "is a demo data set already" in capsys.readouterr().out
    assert main(["demo", str(written), "--if-missing"]) == 2  # it is the other world's
    assert "new or an empty folder" in capsys.readouterr().err


def test_the_content_world_keeps_its_bytes(tmp_path, monkeypatch):
    """Its tables, as pictures and the tiny CLIP's floats are a machine's own."""
    monkeypatch.setattr("mmctr.demo.write.TRAINING_PAIRS", 0)
    monkeypatch.setattr("mmctr.demo.tiny_clip.EPOCHS", 1)
    write_demo(tmp_path / "demo", items=150, users=50, seed=3, progress=False)
    digest = hashlib.sha256()
    for name in ("item_topics.parquet", NAMES.items, NAMES.train, NAMES.valid, NAMES.test, "demo_truth.parquet"):
        table = pl.read_parquet(tmp_path / "demo" / name)
        digest.update(table.write_json().encode())
    assert digest.hexdigest() == CONTENT

"""Which of two models is the champion: on a real MLflow store, with small models and clicks."""

import numpy as np
import polars as pl
import pytest
import torch
from generated import architecture, din, item_table
from prefect.logging import disable_run_logger

from mmctr.checkpoint import Checkpoint, save_checkpoint
from mmctr.click_split import load_split
from mmctr.recipe import Recipe
from mmctr.training import train_din
from tasks.ancestor import Ancestor, find_ancestor
from tasks.config import PipelineConfig, PromoteConfig
from tasks.promote import promote
from tasks.references import FileRef, Workspace
from tasks.registry import CHALLENGER, CHAMPION, Registry
from tasks.results import Trained
from tasks.stage import Place
from tasks.tracking import Tracker

DIGESTS = {name: f"{name}-1" for name in ("items", "archive", "train", "valid", "test", "clip_model")}


class World:
    """Trainings that are there already, without their making."""

    def __init__(self, folder, tracking_uri):
        self.place = Place(base_path=folder, device="cpu", tracking_uri=tracking_uri, experiment="mmctr")
        self.workspace = Workspace(folder)
        self.tracker = Tracker(tracking_uri, "mmctr")
        self.registry = Registry(self.tracker, "mmctr-din")
        self.table = item_table(np.random.default_rng(0))
        self.folder = folder

    def valid(self, seed=0):
        """Clicks of which the first dimension of the target's vector says whether they are clicks."""
        rng = np.random.default_rng(seed)
        target = rng.choice(self.table.item_ids, 300)
        frame = pl.DataFrame(
            {
                "item_seq": [rng.choice(self.table.item_ids, 5).tolist() for _ in target],
                "item_id": target,
                "likes_level": rng.integers(1, 11, len(target)),
                "views_level": rng.integers(1, 11, len(target)),
                "label": (self.table.weights[self.table.lookup(target)][:, 0] > 0).astype(int),
            }
        )
        path = self.folder / f"valid{seed}.parquet"
        frame.write_parquet(path)
        return self.workspace.file_ref(path)

    def trained(self, *, good, digests=DIGESTS, ancestor=""):
        """A finished training of a model that knows the rule, or of one that knows nothing."""
        model, weights = architecture(self.table), din(self.table).state_dict()
        if good:
            split = load_split(self.workspace.path(self.valid(9)), table=self.table, with_label=True)
            settings = {"architecture": model, "recipe": Recipe(epochs=good, batch_size=30, learning_rate=0.01)}
            weights = train_din(self.table, split, split, **settings, max_len=64, device="cpu", progress=False)[
                0
            ].weights
        checkpoint = Checkpoint(model, weights, 64, torch.from_numpy(self.table.item_ids), {"valid_auc": 0.5})
        client, experiment = self.tracker.client, self.tracker.experiment_id()
        run_id = client.create_run(experiment).info.run_id
        path = self.folder / run_id / "task1and2_best.pt"
        save_checkpoint(checkpoint, path)
        (self.folder / run_id / "pca.npz").write_bytes(run_id.encode())
        client.log_artifact(run_id, str(path), "checkpoint")
        client.log_artifact(run_id, str(self.folder / run_id / "pca.npz"), "pca")
        for name, value in digests.items():
            client.set_tag(run_id, f"digest.{name}", value)
        if ancestor:
            client.set_tag(run_id, "mmctr.ancestor", ancestor)
        client.create_logged_model(experiment, name="din", source_run_id=run_id)
        client.set_terminated(run_id)
        ref = self.workspace.file_ref(path)
        figures = {"best_epoch": 1, "valid_auc": 0.5, "valid_logloss": 0.7}
        return Trained(checkpoint=ref, history=FileRef(path="x", sha256="x"), run_id=run_id, **figures)

    def promote(self, trained, *, valid=None, margin=0.0, digests=DIGESTS):
        with disable_run_logger():
            return promote.fn(
                self.place,
                config=PromoteConfig(margin=margin),
                trained=trained,
                valid=valid or self.valid(),
                digests=digests,
            )

    def ancestor(self, digests=DIGESTS, **settings):
        config = PipelineConfig(base_path=self.folder, reduce={"pca": "reuse"}, **settings)
        return find_ancestor(config, self.registry, digests=digests, workspace=self.workspace)


@pytest.fixture
def world(tmp_path, tracking_uri):
    return World(tmp_path, tracking_uri)


def test_the_first_model_is_champion_and_only_a_better_one_replaces_it(world):
    poor, good, poorer = world.trained(good=0), world.trained(good=8), world.trained(good=0)
    first = world.promote(poor)
    assert (first.alias, first.champion) == (CHAMPION, None)
    second = world.promote(good)
    assert second.alias == CHAMPION
    assert second.auc > 0.9 > second.champion_auc
    assert "beside" in second.reason
    third = world.promote(poorer)
    assert (third.alias, third.champion) == (CHALLENGER, second.version)
    assert world.registry.at(CHAMPION).run_id == good.run_id
    challenger = world.registry.at(CHALLENGER)
    assert challenger.run_id == poorer.run_id
    assert float(challenger.tags["decision.auc"]) == third.auc
    assert float(challenger.tags["decision.champion_auc"]) == third.champion_auc == second.auc
    assert challenger.tags["digest.train"] == "train-1"


def test_the_margin_must_be_exceeded_and_counts_on_this_validation_set(world):
    poor, good = world.trained(good=0), world.trained(good=8)
    world.promote(poor)
    stays = world.promote(good, margin=0.9)
    assert stays.alias == CHALLENGER
    wins = world.promote(good, margin=0.1)
    assert wins.alias == CHAMPION
    assert world.registry.at(CHALLENGER) is None
    assert [version.run_id for version in world.registry.versions()] == [good.run_id, poor.run_id]


def test_the_same_question_is_answered_once(world, monkeypatch):
    poor, good = world.trained(good=0), world.trained(good=8)
    world.promote(good)
    decision = world.promote(poor)
    monkeypatch.setattr("mmctr.scoring.score_checkpoint", lambda *_, **__: pytest.fail("scored again"))
    assert world.promote(poor) == decision
    assert world.promote(good).alias == CHAMPION
    with pytest.raises(pytest.fail.Exception):
        world.promote(poor, valid=world.valid(seed=3))


def test_a_process_that_died_between_decision_and_alias_is_made_good(world, monkeypatch):
    poor, good = world.trained(good=0), world.trained(good=8)
    world.promote(poor)
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "give", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.promote(good)
    assert world.registry.at(CHAMPION).run_id == poor.run_id
    assert world.promote(good).alias == CHAMPION
    assert world.registry.at(CHAMPION).run_id == good.run_id


def test_an_alias_that_was_moved_by_hand_stays(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(good)
    decision = world.promote(poor)
    world.tracker.client.set_registered_model_alias("mmctr-din", CHAMPION, decision.version)
    again = world.promote(poor)
    assert (again.alias, again.reason) == (CHAMPION, "champion: the alias was set by hand")
    assert world.registry.at(CHAMPION).run_id == poor.run_id


def test_a_champion_that_cannot_be_scored_stays_and_it_is_said(world, tracking_uri):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(good)
    stored = world.folder / "mlruns/artifacts/mmctr" / good.run_id / "artifacts/checkpoint/task1and2_best.pt"
    stored.write_bytes(b"damaged")
    decision = world.promote(poor)
    assert decision.alias == CHALLENGER
    assert "cannot be scored (cannot load the checkpoint" in decision.reason
    assert world.registry.at(CHAMPION).run_id == good.run_id


def test_a_run_starts_from_the_champion_but_the_same_data_from_what_that_one_started_from(world):
    assert world.ancestor() == Ancestor()
    first = world.trained(good=0)
    world.promote(first)
    assert world.ancestor() == Ancestor(), "the champion was trained on this data, from nothing"
    later = {**DIGESTS, "train": "train-2"}
    found = world.ancestor(later, train={"warm_start": True})
    assert found.run_id == first.run_id
    assert world.workspace.path(found.pca).read_bytes() == first.run_id.encode()
    assert found.checkpoint.sha256 == first.checkpoint.sha256
    second = world.trained(good=8, digests=later, ancestor=first.run_id)
    world.promote(second, digests=later)
    assert world.registry.at(CHAMPION).run_id == second.run_id
    assert world.ancestor(later, train={"warm_start": True}) == found, "the same data must not train twice"
    assert world.ancestor({**later, "test": "test-2"}, train={"warm_start": True}) == found, "test decides no model"
    assert world.ancestor({**DIGESTS, "train": "train-3"}).run_id == second.run_id
    assert world.ancestor({**DIGESTS, "train": "train-3"}).checkpoint is None, "weights are for a warm start"

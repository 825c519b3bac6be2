"""Which of two models is the champion: on a real MLflow store, with small models and clicks."""

import shutil
from threading import Thread

import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from prefect.exceptions import FailedRun
from prefect.states import State
from trainings import DIGESTS, World

from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256
from mmctr.inputs.vocabulary import texts, to_bytes
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor, space_of_run
from tasks.tracking.fetching import DIGEST_TAG
from tasks.tracking.registry import CHALLENGER, CHAMPION, Registry
from tasks.tracking.training_run import CHECKPOINT, PCA


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
    assert world.registry.version_at(CHAMPION).run_id == good.run_id
    challenger = world.registry.version_at(CHALLENGER)
    assert challenger.run_id == poorer.run_id
    assert float(challenger.tags["decision.auc"]) == third.auc
    assert float(challenger.tags["decision.champion_auc"]) == third.champion_auc == second.auc
    assert challenger.tags["digest.train"] == "train-1"


def test_the_margin_must_be_exceeded_and_counts_on_this_validation_set(world):
    poor, good, better = world.trained(good=0), world.trained(good=8), world.trained(good=8)
    world.promote(poor)
    assert world.promote(good, margin=0.9).alias == CHALLENGER
    assert world.promote(better, margin=0.1).alias == CHAMPION
    assert world.registry.version_at(CHALLENGER).run_id == good.run_id
    assert [version.run_id for version in world.registry.versions()] == [better.run_id, good.run_id, poor.run_id]


def test_a_cached_training_is_decided_once_and_never_promotes(world, monkeypatch):
    poor, good = world.trained(good=0), world.trained(good=8)
    world.promote(poor)
    decision = world.promote(good)
    assert decision.alias == CHAMPION
    assert world.promote(good) == decision
    world.tracker.client.set_registered_model_alias("mmctr-din", CHAMPION, "1")  # by hand, as in MLflow's page
    monkeypatch.setattr("mmctr.evaluation.scoring.score_checkpoint", lambda *_, **__: pytest.fail("scored again"))
    for settings in ({}, {"margin": 0.1}, {"policy": "newer"}, {"valid": world.valid(seed=3)}):
        again = world.promote(good, **settings)
        assert world.champion() == poor.run_id
        assert (again.version, again.alias) == ("2", "neither")
        assert "`mmctr promote BASE_PATH 2` makes it the champion" in again.reason


def test_a_cached_training_whose_version_was_deleted_by_hand_does_not_come_back_as_champion(world):
    poor, good = world.trained(good=0), world.trained(good=8)
    world.promote(poor)
    world.promote(good)
    world.tracker.client.delete_model_version("mmctr-din", "2")
    again = world.promote(good)
    assert (again.version, again.alias) == ("3", "neither")
    assert world.registry.version_at(CHAMPION) is None
    world.tracker.client.delete_registered_model("mmctr-din")
    assert world.promote(good).alias == CHAMPION, "a registry without any version starts anew"


@pytest.mark.parametrize("call", ["set_alias", "tag", "_remember"])
@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_while_it_decides_is_made_good(world, monkeypatch, call, after):
    poor, good = world.trained(good=0), world.trained(good=8)
    world.promote(poor)
    original = getattr(Registry, call)

    def killed(*arguments):
        if after:
            original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Registry, call, killed)
        with pytest.raises(KeyboardInterrupt):
            world.promote(good)
    assert world.champion() == (good.run_id if call == "_remember" or (call == "set_alias" and after) else poor.run_id)
    decision = world.promote(good)
    assert decision.alias == CHAMPION
    assert decision.reason.startswith("champion: AUC")
    assert world.champion() == good.run_id
    assert world.registry.champions() == ["1", "2"]


def test_an_alias_that_was_moved_by_hand_stays(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(good)
    decision = world.promote(poor)
    world.tracker.client.set_registered_model_alias("mmctr-din", CHAMPION, decision.version)
    again = world.promote(poor)
    assert (again.alias, again.reason) == (CHAMPION, "champion: the alias was set by hand")
    assert world.champion() == poor.run_id


def test_a_pinned_champion_stays_and_the_reason_says_so(world):
    poor, good, better = world.trained(good=0), world.trained(good=8), world.trained(good=8)
    world.promote(poor)
    world.registry.set_pin("2030-01-01 by me")
    decision = world.promote(good)
    assert decision.alias == CHALLENGER
    assert decision.auc > decision.champion_auc
    assert "version 1 is pinned (2030-01-01 by me), `mmctr promote BASE_PATH --unpin` ends that" in decision.reason
    assert world.champion() == poor.run_id
    world.registry.set_pin(None)
    assert world.promote(better).alias == CHAMPION


def test_one_decides_at_a_time_so_that_no_champion_is_compared_with_one_that_is_none_any_more(world):
    decided, trained = [], world.trained(good=0)
    deciding = Thread(target=lambda: decided.append(world.promote(trained)))
    with world.workspace.locks.of_champion():
        deciding.start()
        deciding.join(2)
        assert decided == []
        assert world.registry.versions() == []
    deciding.join(60)
    assert [decision.alias for decision in decided] == ["champion"]


def test_newer_replaces_the_champion_unless_it_is_clearly_worse(world):
    good, rather_good, poor = world.trained(good=8), world.trained(good=1), world.trained(good=0)
    world.promote(good)
    worse = world.promote(rather_good, tolerance=0.45, policy="newer")
    assert worse.auc < worse.champion_auc
    assert worse.alias == CHAMPION
    assert "newer and not clearly worse" in worse.reason
    assert "tolerance 0.45, the difference is in -" in worse.reason
    bad = world.promote(poor, policy="newer")
    assert bad.alias == CHALLENGER
    assert "newer and clearly worse" in bad.reason
    assert world.champion() == rather_good.run_id


def spoil_artifact(world, champion):
    world.artifact(champion, CHECKPOINT).write_bytes(b"damaged")


def remove_artifact(world, champion):
    world.artifact(champion, CHECKPOINT).unlink()


def delete_run(world, champion):
    world.tracker.client.delete_run(champion.run_id)


def other_architecture(world, champion):
    path = world.artifact(champion, CHECKPOINT)
    content = torch.load(path, weights_only=True)
    needed = ("items.content.weight", "row_features.tables.0.weight", "row_features.tables.1.weight")
    content["weights"] = {
        name if name in needed else f"of.another.{name}": weight for name, weight in content["weights"].items()
    }
    torch.save(content, path)
    tag = DIGEST_TAG + path.name
    world.tracker.client.set_tag(champion.run_id, tag, file_sha256(path))


def other_features(world, champion):
    path = world.artifact(champion, CHECKPOINT)
    content = torch.load(path, weights_only=True)
    for features in (content["architecture"]["row_features"], [one["feature"] for one in content["row_encoding"]]):
        features[0]["column"] = "shares_level"
    torch.save(content, path)
    world.tracker.client.set_tag(champion.run_id, DIGEST_TAG + path.name, file_sha256(path))


def other_ids(world, champion):
    path = world.artifact(champion, CHECKPOINT)
    content = torch.load(path, weights_only=True)
    ids = texts([f"item {number}" for number in content["item_ids"].tolist()])
    content["item_ids"] = dict(zip(("bytes", "offsets"), map(torch.from_numpy, to_bytes(ids)), strict=True))
    torch.save(content, path)
    world.tracker.client.set_tag(champion.run_id, DIGEST_TAG + path.name, file_sha256(path))


LOSSES = [
    (other_ids, "its item ids are texts, those of these clicks are integers"),
    (other_features, "it reads shares_level, which these clicks do not have"),
    (spoil_artifact, "its checkpoint/task1and2_best.pt is damaged"),
    (remove_artifact, "it has no checkpoint/task1and2_best.pt"),
    (delete_run, "the run was deleted"),
    (other_architecture, "the weights do not fit the architecture"),
]


@pytest.mark.parametrize(("lose", "why"), LOSSES, ids=[lose.__name__ for lose, _ in LOSSES])
def test_a_champion_that_cannot_be_loaded_gives_way_and_that_is_said_loudly(world, lose, why):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(good)
    lose(world, good)
    decision = world.promote(poor)
    assert decision.alias == CHAMPION
    assert "VERSION 1, CANNOT BE LOADED" in decision.reason
    assert why in decision.reason
    assert world.champion() == poor.run_id


def test_a_pinned_champion_that_cannot_be_loaded_stays(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(good)
    world.registry.set_pin("2030-01-01 by me")
    spoil_artifact(world, good)
    decision = world.promote(poor)
    assert decision.alias == CHALLENGER
    assert "CANNOT BE LOADED" in decision.reason
    assert "pinned (2030-01-01 by me)" in decision.reason


@pytest.mark.parametrize(
    "error", [MlflowException("503 Service Unavailable"), ConnectionResetError(104, "Connection reset by peer")]
)
def test_a_store_that_does_not_answer_decides_nothing(world, monkeypatch, error):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(good)

    def unanswered(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "download_artifacts", unanswered)
        with pytest.raises((MlflowException, OSError, FailedRun)):
            raise_on_failure(world.promote(poor))
    assert world.champion() == good.run_id
    assert "decision" not in world.registry.versions()[0].tags
    assert world.promote(poor).alias == CHALLENGER


def raise_on_failure(outcome):
    """A refusal is a state of Prefect's."""
    return outcome.result() if isinstance(outcome, State) else outcome


def test_clicks_that_are_replaced_while_they_are_scored_decide_nothing(world, monkeypatch):
    good, poor = world.trained(good=8), world.trained(good=0)
    world.promote(poor)
    valid, other = world.valid(), world.valid(seed=3)
    world.workspace.path(other).replace(world.workspace.path(valid))
    state = world.promote(good, valid=valid)
    assert "valid0.parquet changed" in state.message
    assert "decision" not in world.registry.versions()[0].tags
    assert world.champion() == poor.run_id


def test_a_copy_that_is_damaged_is_fetched_again(world):
    first = world.trained(good=0)
    world.promote(first)
    later = {**DIGESTS, "train": "train-2"}
    found = world.ancestor(later, train={"warm_start": True})
    whole = {ref: world.workspace.path(ref).read_bytes() for ref in (found.pca, found.checkpoint)}
    for ref, content in whole.items():
        path = world.workspace.path(ref)
        for damaged in (
            b"",
            b"garbage",
            content[:-30],
            content[:200] + bytes([content[200] ^ 1]) + content[201:],
            None,
        ):
            path.unlink()
            if damaged is None:
                path.mkdir()
            else:
                path.write_bytes(damaged)
            assert world.ancestor(later, train={"warm_start": True}) == found, (path.name, damaged)
            assert path.read_bytes() == content
    folder = world.workspace.models / first.run_id
    shutil.rmtree(folder)
    folder.write_bytes(b"a file where the folder must be")
    assert world.ancestor(later, train={"warm_start": True}) == found
    assert not list(folder.glob(".*"))


def test_a_pca_that_is_damaged_in_mlflow_is_refused_with_the_remedy(world):
    first = world.trained(good=0)
    world.promote(first)
    world.artifact(first, PCA).write_bytes(b"garbage")
    with pytest.raises(InputError, match=r'pca/pca.npz is damaged.*set reduce.pca = "refit", or make another') as error:
        world.ancestor({**DIGESTS, "train": "train-2"})
    assert len(str(error.value)) < 600


OFFICIAL = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"  # ViT-B/32


@pytest.mark.parametrize(
    ("theirs", "ours", "same"),
    [
        ("a" * 64, "a" * 64, True),
        ("a" * 64, "b" * 64, False),
        ("ViT-B/32", "ViT-B/16", False),
        ("ViT-B/32", "RN101", False),
        ("ViT-B/32", "ViT-B/32", True),
        ("ViT-B/32", OFFICIAL, True),
        (OFFICIAL, "ViT-B/32", True),
        ("ViT-B/16", OFFICIAL, False),
    ],
)
def test_a_pca_is_reused_for_vectors_of_its_own_clip_model_alone(world, theirs, ours, same):
    first = world.trained(good=0, digests={**DIGESTS, "clip_model": theirs})
    world.promote(first)
    now = {**DIGESTS, "train": "train-2", "clip_model": ours}
    if same:
        assert world.ancestor(now, train={"warm_start": True}).run_id == first.run_id
    else:
        with pytest.raises(InputError, match=r'are in different spaces.*set reduce.pca = "refit"'):
            world.ancestor(now, train={"warm_start": True})


COLUMNS = {"source": "columns", "columns": ["text", "image"], "fuse": "concat"}
OTHER_VECTORS = {
    "the model by its columns": ({}, COLUMNS, {}),
    "other columns": (COLUMNS, {**COLUMNS, "columns": ["image", "text"]}, {}),
    "another fuse": (COLUMNS, {**COLUMNS, "fuse": "mean"}, {}),
    "parts": (COLUMNS, COLUMNS, {"fit": "parts"}),
    "titles beside images": ({}, {"fuse": "concat"}, {}),
    "another architecture": ({}, {"model": "open_clip:ViT-B-32/laion2b_s34b_b79k"}, {}),
    "another tag": ({"model": "open_clip:ViT-B-32/laion2b_s34b_b79k"}, {"model": "open_clip:ViT-B-32/laion2b_e16"}, {}),
}


@pytest.mark.parametrize("name", OTHER_VECTORS)
def test_a_pca_is_reused_for_vectors_of_one_kind_alone(world, name):
    theirs, ours, reduce = OTHER_VECTORS[name]
    config = PipelineConfig(base_path=world.folder, embed=theirs)
    space = space_of_run(config.embed, config.reduce, clip_model="a" * 64)
    digests = {**DIGESTS, "clip_model": "a" * 64}
    world.promote(first := world.trained(good=0, digests=digests, space=space))
    now = {**digests, "train": "train-2"}
    assert world.ancestor(now, embed=theirs, train={"warm_start": True}).run_id == first.run_id
    for warm_start in (True, False):
        with pytest.raises(InputError, match=r'are in different spaces; .* set reduce.pca = "refit"') as error:
            world.ancestor(now, embed=ours, reduce=reduce, train={"warm_start": warm_start})
        assert len(str(error.value)) < 900


def test_the_clip_model_counts_of_the_training_whose_pca_is_taken(world):
    """The champion was trained on this very data, but started from a training with another CLIP model."""
    first = world.trained(good=0, digests={**DIGESTS, "clip_model": "ViT-B/16"})
    world.promote(world.trained(good=0, ancestor=first.run_id))
    with pytest.raises(
        InputError,
        match="had titles and images by ViT-B/16, fused by mean, and this run has",
    ):
        world.ancestor()


def test_a_run_starts_from_the_champion_but_the_same_data_from_what_that_one_started_from(world):
    assert world.ancestor() == Ancestor()
    first = world.trained(good=0)
    world.promote(first)
    assert world.ancestor() == Ancestor(), "the champion was trained on this data, from nothing"
    later = {**DIGESTS, "train": "train-2"}
    found = world.ancestor(later, train={"warm_start": True})
    assert found.run_id == first.run_id
    assert world.workspace.path(found.pca).read_bytes() == world.artifact(first, "pca/pca.npz").read_bytes()
    assert found.checkpoint.sha256 == first.checkpoint.sha256
    second = world.trained(good=8, digests=later, ancestor=first.run_id)
    world.promote(second, digests=later)
    assert world.registry.version_at(CHAMPION).run_id == second.run_id
    assert world.ancestor(later, train={"warm_start": True}) == found, "the same data must not train twice"
    assert world.ancestor({**later, "test": "test-2"}, train={"warm_start": True}) == found, "test decides no model"
    assert world.ancestor({**DIGESTS, "train": "train-3"}).run_id == second.run_id
    assert world.ancestor({**DIGESTS, "train": "train-3"}).checkpoint is None, "weights are for a warm start"

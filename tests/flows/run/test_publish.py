"""Whose files lie under BASE_PATH: always those of one model, and by default the champion's."""

import json
import shutil
from contextlib import suppress
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from publications import Runner, end_of_run, owner
from trainings import DIGESTS, World

from flows.predict import find_model
from flows.run.publish import Choice, publish_model
from mmctr.common.errors import InputError
from mmctr.models.checkpoint import load_checkpoint, save_checkpoint
from tasks.cache.public_files import publish, published
from tasks.cache.run_manifest import ManifestWriter
from tasks.cache.workspace import PUBLIC, Workspace
from tasks.settings.sections import PredictConfig
from tasks.tracking.fetching import ITEM_EMBEDDINGS
from tasks.tracking.training_run import CHECKPOINT


@pytest.fixture
def world(tmp_path, tracking_uri):
    return World(tmp_path, tracking_uri)


def test_a_losing_run_leaves_the_better_files_and_says_whose_they_are(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    first = end_of_run(world, good, test=world.write_test())
    assert first.owner == "mmctr-din version 1, the champion"
    assert owner(world) == good.run_id
    second = end_of_run(world, poor, test=world.write_test())
    assert owner(world) == good.run_id
    assert second.owner.startswith(
        "mmctr-din version 1, the champion, not of this run's version 2; those: mmctr predict"
    )
    assert second.owner.endswith("--model 2")
    end_of_run(world, poor, test=world.write_test(rows=33, seed=5))
    assert owner(world) == good.run_id, "the champion's submission is made for the new test split"
    assert json.loads((world.folder / ".mmctr/published.json").read_bytes())["model"] == "mmctr-din version 1"


def test_a_winning_run_and_the_setting_latest_publish_the_runs_own_files(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    end_of_run(world, poor, test=world.write_test())
    end_of_run(world, good, test=world.write_test())
    assert owner(world) == good.run_id
    outputs = end_of_run(world, poor, test=world.write_test(), publish="latest")
    assert owner(world) == poor.run_id
    assert "version 1, this run's; the champion is version 2" in outputs.owner


def test_where_the_champion_cannot_be_published_the_runs_own_files_are_and_it_is_said_loudly(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    end_of_run(world, good, test=world.write_test())
    world.promote(poor)
    shutil.rmtree(world.workspace.models, ignore_errors=True)
    world.artifact(good, CHECKPOINT).write_bytes(b"damaged")
    outputs = end_of_run(world, poor, test=world.write_test())
    assert owner(world) == poor.run_id
    assert "version 2, this run's, NOT OF THE CHAMPION, version 1, whose files cannot be made" in outputs.owner


def test_a_champion_that_does_not_know_the_test_split_is_said_loudly(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    end_of_run(world, good, test=world.write_test())
    runner, test = Runner.__call__, world.write_test(seed=4)

    def strange_to_the_champion(self, *arguments, checkpoint, **inputs):
        if checkpoint.sha256 == good.checkpoint.sha256:
            raise InputError("0% of the target items are known")
        return runner(self, *arguments, checkpoint=checkpoint, **inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "__call__", strange_to_the_champion)
        outputs = end_of_run(world, poor, test=test)
    assert owner(world) == poor.run_id
    assert "cannot be made: 0% of the target items are known" in outputs.owner


def predict_with(world, name):
    test = world.workspace.file_ref(world.folder / "MicroLens_1M_x1/test.parquet")
    model = find_model(str(name), world.registry, world.workspace)
    made = Runner(world)(None, config=PredictConfig(), test=test, checkpoint=model.checkpoint)
    return publish_model(Choice(model, made), workspace=world.workspace)


def test_a_prediction_publishes_all_files_of_the_model_that_is_named(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    end_of_run(world, good, test=world.write_test())
    end_of_run(world, poor, test=world.write_test())
    for name, expected in [
        ("2", poor),
        ("1", good),
        ("challenger", poor),
        ("champion", good),
        (poor.run_id, poor),
        (world.folder / good.run_id / "task1and2_best.pt", good),
    ]:
        predict_with(world, name)
        assert owner(world) == expected.run_id, name
    (world.folder / "1").write_bytes(b"a file of this name")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world.folder)
        assert find_model("1", world.registry, world.workspace).run_id == good.run_id
    for name in ("3", "nobody"):
        with pytest.raises(InputError, match=r"a version or an alias of mmctr-din \(1, 2, challenger, champion\)"):
            find_model(name, world.registry, world.workspace)


def test_two_that_publish_at_once_leave_files_of_one_model(world, monkeypatch):
    for good in (8, 0):
        end_of_run(world, world.trained(good=good), test=world.write_test())
    copyfile, others = shutil.copyfile, []

    def meanwhile(*paths):
        if not others:
            others.append(Thread(target=lambda: predict_with(World(world.folder, world.tracker.uri), "2")))
            others[0].start()
            others[0].join(2)
        return copyfile(*paths)

    predict_with(world, "2")
    monkeypatch.setattr("tasks.cache.public_files.shutil.copyfile", meanwhile)
    predict_with(world, "1")
    others[0].join(60)
    assert owner(world) == world.registry.find("2").run_id


def test_a_champion_that_another_run_makes_meanwhile_is_the_one_that_is_published(world):
    good, poor, last = world.trained(good=8), world.trained(good=0), world.trained(good=0)
    end_of_run(world, good, test=world.write_test())
    end_of_run(world, poor, test=world.write_test())
    submission = Runner.__call__

    def crowned_meanwhile(self, *arguments, checkpoint, **inputs):
        if checkpoint.sha256 == good.checkpoint.sha256:
            world.registry.make_champion(world.registry.find("2"))
        return submission(self, *arguments, checkpoint=checkpoint, **inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "__call__", crowned_meanwhile)
        outputs = end_of_run(world, last, test=world.write_test(seed=4))
    assert owner(world) == poor.run_id
    assert "version 2, the champion, not of this run's version 3" in outputs.owner


def test_a_checkpoint_whose_embedding_nobody_has_is_published_without_one(world):
    good = world.trained(good=8)
    end_of_run(world, good, test=world.write_test())
    stranger = find_model("1", world.registry, world.workspace)
    copy = world.folder / "mine.pt"
    shutil.copy(world.workspace.path(stranger.checkpoint), copy)
    checkpoint = load_checkpoint(copy)
    save_checkpoint(type(checkpoint)(**{**vars(checkpoint), "metrics": {"valid_auc": 0.1}}), copy)
    outputs = predict_with(world, copy)
    assert not (world.folder / PUBLIC["item_embeddings"]).exists()
    assert "item_emb_task1_clip.parquet is not known" in outputs.owner
    assert (world.folder / PUBLIC["checkpoint"]).read_bytes() == copy.read_bytes()
    predict_with(world, "champion")
    assert owner(world) == good.run_id


def test_without_a_store_the_published_checkpoint_keeps_the_embedding_beside_it(world):
    good = world.trained(good=8)
    end_of_run(world, good, test=world.write_test())
    for version in world.registry.versions():
        world.tracker.client.set_tag(version.run_id, "mmctr.sha256.task1and2_best.pt", "forgotten")
    predict_with(world, world.folder / PUBLIC["checkpoint"])
    assert (world.folder / PUBLIC["item_embeddings"]).read_bytes() == world.item_embeddings(good.run_id).read_bytes()


def test_an_embedding_that_mlflow_lacks_comes_from_the_run_in_base_path(world):
    good, poor = world.trained(good=8), world.trained(good=0)
    end_of_run(world, good, test=world.write_test())
    world.artifact(good, ITEM_EMBEDDINGS).unlink()
    manifest = ManifestWriter(world.workspace, settings="", inputs=DIGESTS, vectors="v", ancestor="")
    manifest.begin_stage("reduce", "key", runs=True)
    manifest.finish(mlflow_run=good.run_id)
    kept = world.workspace.store("reduce", "key") / "item_emb_task1_clip.parquet"
    kept.parent.mkdir(parents=True)
    shutil.copy(world.item_embeddings(good.run_id), kept)
    end_of_run(world, poor, test=world.write_test())
    assert owner(world) == good.run_id


# The set


@pytest.fixture
def sets(tmp_path):
    """A workspace and two whole sets of files."""
    workspace = Workspace(tmp_path)
    made = {}
    for name in ("old", "new"):
        folder = tmp_path / name
        folder.mkdir()
        for role in PUBLIC:
            (folder / role).write_text(f"{role} of {name}")
        made[name] = {role: workspace.file_ref(folder / role) for role in PUBLIC}
    return workspace, made["old"], made["new"]


def whose(workspace):
    return {(workspace.base_path / place).read_text().split()[-1] for place in PUBLIC.values()}


def test_a_set_that_cannot_be_written_whole_leaves_the_one_before(sets):
    workspace, old, new = sets
    publish(workspace, old, model="old", run_id="a")
    workspace.path(new["archive"]).unlink()
    with pytest.raises(FileNotFoundError):
        publish(workspace, new, model="new", run_id="b")
    assert whose(workspace) == {"old"}
    assert published(workspace).model == "old"
    assert not list(workspace.base_path.rglob(".*.partial"))


@pytest.mark.parametrize("moves", range(5))
def test_a_process_that_is_killed_between_two_moves_is_made_good_by_the_next(sets, monkeypatch, moves):
    workspace, old, new = sets
    publish(workspace, old, model="old", run_id="a")
    original, left = Path.replace, iter(range(moves))

    def killed(self, target):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with suppress(KeyboardInterrupt):
            publish(workspace, new, model="new", run_id="b")
    note = published(workspace)
    assert note is None or whose(workspace) == {note.model}
    publish(workspace, new, model="new", run_id="b")
    assert whose(workspace) == {"new"} == {published(workspace).model}


def test_files_that_are_there_already_are_not_written_again(sets):
    workspace, old, _ = sets
    places = publish(workspace, old, model="old", run_id="a")
    note = workspace.root / "published.json"
    before = [path.stat().st_mtime_ns for path in [*places.values(), note]]
    publish(workspace, old, model="old", run_id="a")
    assert [path.stat().st_mtime_ns for path in [*places.values(), note]] == before
    places["csv"].write_text("mine")
    assert published(workspace) is None
    publish(workspace, old, model="old", run_id="a")
    assert whose(workspace) == {"old"}


@pytest.mark.parametrize("content", [b"", b"garbage", b"[1]", b'{"files": {"x": "y"}}', b"[" * 5000])
def test_a_note_that_is_garbage_means_that_nobody_knows(sets, content):
    workspace, old, _ = sets
    workspace.root.mkdir()
    (workspace.root / "published.json").write_bytes(content)
    assert published(workspace) is None
    publish(workspace, old, model="old", run_id="a")
    assert published(workspace).run_id == "a"


# How far two models differ


def test_the_interval_of_a_difference_of_aucs_is_that_of_drawing_rows_anew():
    from mmctr.evaluation.metrics import auc
    from mmctr.evaluation.scoring import auc_difference_interval

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    shared = labels + rng.normal(size=400)
    first, second = (np.round(shared + rng.normal(size=400) * spread, 1) for spread in (0.3, 0.8))  # with ties
    low, high = auc_difference_interval(labels, first, second)
    draws = [rng.integers(0, 400, 400) for _ in range(600)]
    drawn = [auc(labels[rows], first[rows]) - auc(labels[rows], second[rows]) for rows in draws]
    assert (low + high) / 2 == pytest.approx(auc(labels, first) - auc(labels, second), abs=1e-12)
    assert (high - low) / 2 == pytest.approx(1.96 * np.std(drawn), rel=0.12)
    assert auc_difference_interval(labels, first, first) == (0.0, 0.0)
    assert auc_difference_interval(np.array([0, 1]), np.array([0.0, 1.0]), np.array([1.0, 0.0])) == (-1.0, 1.0)

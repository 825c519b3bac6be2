"""`mmctr predict`: the flow with a model that is there already, named in each of the ways a user may name one."""

import shutil

import polars as pl
import pytest
from publications import end_of_run
from trainings import copied_world, new_world

from flows.cli.main import main
from flows.predict import predict_with
from mmctr.submission.challenge import check_submission
from tasks.cache.public_files import published
from tasks.running.refusal import refusal
from tasks.settings.load import load_config
from tasks.tracking.training_run import CHECKPOINT

pytestmark = pytest.mark.usefixtures("prefect_server")
PREDICTION = "predictions_task1and2/prediction"
TEST = "MicroLens_1M_x1/test.parquet"


@pytest.fixture(scope="module")
def original(mlflow_original, tmp_path_factory):
    """Two versions, the second the champion, the files that it published, and a training that is no version."""
    folder = tmp_path_factory.mktemp("predict")
    world = new_world(folder, mlflow_original)
    trainings = [world.trained(good=good) for good in (0, 8, 0)]
    for trained in trainings[:2]:
        end_of_run(world, trained, test=world.write_test())
    world.registry.make_champion(world.registry.find(trainings[1].run_id))
    return folder, trainings


@pytest.fixture
def world(original, tmp_path, monkeypatch):
    return copied_world(original, tmp_path, monkeypatch)


def predicted(world, model="champion", *overrides):
    return predict_with(load_config(world.folder, overrides=list(overrides), device="cpu"), model=model)


def refused(world, model="champion"):
    """The message that a prediction is refused with."""
    state = predict_with(load_config(world.folder, device="cpu"), model=model, return_state=True)
    return refusal(state)


def names_of_a_model(world):
    """Each way to name the first version, with what is said of it."""
    first = world.trainings[0]
    checkpoint = world.artifact(first, CHECKPOINT)
    world.registry.set_alias("old", world.registry.find("1"))
    return {
        "1": "mmctr-din version 1",
        "old": "mmctr-din version 1 (old)",
        first.run_id: f"mmctr-din version 1 ({first.run_id})",
        str(checkpoint): str(checkpoint),
    }


def test_the_champion_predicts_and_all_public_files_are_its_own(world):
    found = predicted(world)
    assert found.model == "mmctr-din version 2 (champion)"
    assert (found.rows, found.cached) == (20, False)
    ids = pl.read_parquet(world.folder / TEST)["ID"]
    assert check_submission(world.folder / f"{PREDICTION}.zip", test_ids=ids) == 20
    assert published(world.workspace).run_id == world.trainings[1].run_id
    assert found.text().splitlines()[:2] == [
        "model         mmctr-din version 2 (champion)",
        "submission    20 rows",
    ]
    again = predicted(world)
    assert again.cached
    assert again.outputs == found.outputs


def test_each_name_of_a_model_means_the_same_files(world):
    before = (world.folder / f"{PREDICTION}.csv").read_bytes()
    made = set()
    for name, said in names_of_a_model(world).items():
        found = predicted(world, name)
        assert found.model == said
        assert published(world.workspace).run_id == world.trainings[0].run_id, name
        made.add((world.folder / f"{PREDICTION}.csv").read_bytes())
        embeddings = world.item_embeddings(world.trainings[0].run_id).read_bytes()
        assert (world.folder / "item_emb_task1_clip.parquet").read_bytes() == embeddings, name
    assert len(made) == 1
    assert made != {before}


def test_a_training_that_is_no_version_is_named_by_its_run(world):
    run_id = world.trainings[2].run_id
    assert predicted(world, run_id).model.startswith(f"MLflow run {run_id}")
    assert published(world.workspace).run_id == run_id


def test_a_checkpoint_that_no_store_knows_has_no_embeddings_beside_it(world):
    mine = world.folder / "mine.pt"
    weights = world.artifact(world.trainings[0], CHECKPOINT)
    shutil.copy(weights, mine)
    for run in world.trainings:
        world.tracker.client.delete_run(run.run_id)
    found = predicted(world, str(mine))
    assert "its item_emb_task1_clip.parquet is not known" in found.model
    assert set(found.outputs) == {"checkpoint", "csv", "archive"}
    assert not (world.folder / "item_emb_task1_clip.parquet").exists()


def test_a_test_split_that_changed_is_predicted_anew(world):
    assert predicted(world).rows == 20
    world.write_test(rows=7, seed=1)
    found = predicted(world)
    assert (found.rows, found.cached) == (7, False)


REFUSALS = {
    "9": "a version or an alias of mmctr-din (1, 2, champion); found '9'",
    "f" * 32: "the checkpoint of MLflow run " + "f" * 32 + " cannot be read from",
    "no/such.pt": "a model is the path of a checkpoint, the id of an MLflow run",
    "x" * 5000: "found 'xxx",
    "garbage.pt": "garbage.pt",
}


def test_what_is_no_model_is_refused_with_rule_value_and_remedy(world, monkeypatch):
    monkeypatch.chdir(world.folder)
    (world.folder / "garbage.pt").write_bytes(b"no checkpoint")
    before = {path: path.read_bytes() for path in world.folder.glob("predictions_task1and2/*")}
    for name, message in REFUSALS.items():
        said = refused(world, name)
        assert message in said, name
        assert len(said) < 900
    assert {path: path.read_bytes() for path in world.folder.glob("predictions_task1and2/*")} == before


def test_what_is_no_test_split_is_refused_before_a_server_starts(world, monkeypatch, capsys):
    monkeypatch.setattr("flows.cli.flow_commands._run_flow", lambda *_: pytest.fail("a server takes ten seconds"))
    (world.folder / TEST).unlink()
    assert main(["predict", str(world.folder)]) == 2
    assert "test.parquet" in capsys.readouterr().err


def test_a_model_that_knows_few_of_the_targets_is_refused(world):
    world.write_test(ids=[10**6 + 1])
    assert "it knows 0 of 20" in refused(world)
    assert predicted(world, "champion", "predict.min_known_targets=0").rows == 20

"""`mmctr predict --task1 M --task2 M --task12 M`: each column of one zip by its own model."""

import numpy as np
import polars as pl
import pytest
from generated import checkpoint as small_checkpoint
from generated import item_table
from publications import end_of_run
from trainings import copied_world, new_world

from flows.cli.main import main
from flows.predict import predict_with
from mmctr.evaluation.scoring import answer
from mmctr.models.checkpoint import load_checkpoint, save_checkpoint
from mmctr.submission.challenge import check_submission
from tasks.cache.public_files import published
from tasks.running.refusal import refusal
from tasks.settings.load import load_config

pytestmark = pytest.mark.usefixtures("prefect_server")
CSV, ARCHIVE = "predictions_task1and2/prediction.csv", "predictions_task1and2/prediction.zip"
TEST = "MicroLens_1M_x1/test.parquet"


@pytest.fixture(scope="module")
def original(mlflow_original, tmp_path_factory):
    """Two versions, the second the champion, and a training that is no version."""
    folder = tmp_path_factory.mktemp("columns")
    world = new_world(folder, mlflow_original)
    trainings = [world.trained(good=good) for good in (0, 8, 4)]
    for trained in trainings[:2]:
        end_of_run(world, trained, test=world.write_test())
    world.registry.make_champion(world.registry.find(trainings[1].run_id))
    return folder, trainings


@pytest.fixture
def world(original, tmp_path, monkeypatch):
    return copied_world(original, tmp_path, monkeypatch)


def predicted(world, **models):
    found = predict_with(load_config(world.folder, device="cpu"), **models)
    return found, pl.read_csv(world.folder / CSV)


def probabilities(world, trained):
    """What the model of a training says of the test split."""
    checkpoint = load_checkpoint(world.folder / trained.run_id / "task1and2_best.pt")
    logits = answer(checkpoint, [world.folder / TEST], device="cpu").logits
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).tolist()


def tags(world, trained):
    found = world.tracker.client.get_run(trained.run_id).data.tags
    return {name: value for name, value in found.items() if name.startswith("submission.")}


def test_each_column_is_of_its_own_model(world):
    first, champion, free = world.trainings
    found, rows = predicted(world, task1="1", task2=free.run_id)
    assert rows.columns == ["ID", "Task1", "Task2", "Task1&2"]
    for column, trained in (("Task1", first), ("Task2", free), ("Task1&2", champion)):
        assert rows[column].to_list() == pytest.approx(probabilities(world, trained), abs=1e-6), column
    ids = pl.read_parquet(world.folder / TEST)["ID"]
    assert check_submission(world.folder / ARCHIVE, test_ids=ids) == len(rows) == found.rows
    assert found.model == (
        f"mmctr-din version 2 (champion); Task1 by mmctr-din version 1; Task2 by MLflow run {free.run_id}"
    )
    note = published(world.workspace)
    assert (note.run_id, note.model) == (champion.run_id, found.model)
    again, _ = predicted(world, task1="1", task2=free.run_id)
    assert again.cached
    assert not found.cached


def test_mlflow_says_which_model_filled_which_column(world):
    first, champion, free = world.trainings
    predicted(world, task1="1")
    archive = world.workspace.file_ref(world.folder / ARCHIVE).sha256
    said = tags(world, champion)
    assert said["submission.Task1"].startswith(f"mmctr-din version 1, run {first.run_id}, checkpoint ")
    assert said["submission.Task1and2"].startswith(f"mmctr-din version 2 (champion), run {champion.run_id}")
    assert said["submission.Task2"] == "0"
    assert said["submission.sha256"] == archive
    assert tags(world, first) == said
    assert not tags(world, free)


def test_columns_without_a_model_stay_zero(world):
    _, before = predicted(world)
    _, rows = predicted(world, task2="1")
    assert rows["Task1"].to_list() == [0] * len(rows)
    assert rows["Task2"].to_list() != [0] * len(rows)
    assert rows.drop("Task2").equals(before.drop("Task2"))
    _, after = predicted(world)  # and the next prediction without them says so
    assert after.equals(before)
    assert not before.select("Task1", "Task2").to_numpy().any()


def test_one_model_may_fill_all_and_need_not_be_known_to_mlflow(world):
    mine = world.folder / "mine.pt"
    save_checkpoint(small_checkpoint(item_table(np.random.default_rng(0)), valid_auc=0.25), mine)
    _, rows = predicted(world, model=str(mine), task1=str(mine), task2=str(mine))
    assert rows["Task1"].to_list() == rows["Task2"].to_list() == rows["Task1&2"].to_list()
    assert not any(tags(world, trained) for trained in world.trainings)
    predicted(world, task1=str(mine))
    assert f"{mine}, run unknown" in tags(world, world.trainings[1])["submission.Task1"]


def refused(world, **models):
    return refusal(predict_with(load_config(world.folder, device="cpu"), **models, return_state=True))


def test_what_is_no_model_of_a_column_is_refused(world):
    before = (world.folder / CSV).read_bytes()
    assert "found 'xxx" in refused(world, task1="x" * 5000)
    (world.folder / "garbage.pt").write_bytes(b"no checkpoint")
    assert "garbage.pt" in refused(world, task2=str(world.folder / "garbage.pt"))
    assert (world.folder / CSV).read_bytes() == before


def test_a_plain_submission_has_no_such_columns(world, monkeypatch, capsys):
    config = load_config(world.folder, overrides=["data.submission=plain"], device="cpu")
    message = refusal(predict_with(config, task1="1", return_state=True))
    assert message.startswith("--task1 fill columns of the challenge's submission; data.submission is 'plain'")
    monkeypatch.setattr("flows.cli.flow_commands._run_flow", lambda *_: pytest.fail("a server takes ten seconds"))
    arguments = ["predict", str(world.folder), "--set", "data.submission=plain", "--task1", "1", "--task2", "1"]
    assert main(arguments) == 2
    assert "--task1 and --task2 fill columns" in capsys.readouterr().err


def test_the_command_hands_the_models_on(world, monkeypatch):
    given = {}

    def run(load):
        given.update(load().keywords)
        return 0

    monkeypatch.setattr("flows.cli.flow_commands._run_flow", run)
    assert main(["predict", str(world.folder), "--task1", "1", "--task12", "2"]) == 0
    assert (given["task1"], given["task2"], given["model"]) == ("1", None, "2")

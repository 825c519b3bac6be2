"""`mmctr score`: probabilities of any click file, without a Prefect server, written over nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from publications import end_of_run
from trainings import copied_world, new_world

from flows.cli.main import main
from mmctr.evaluation.metrics import auc, logloss
from tasks.tracking.training_run import CHECKPOINT


@pytest.fixture(scope="module")
def original(mlflow_original, tmp_path_factory):
    """A champion that knows the rule of the clicks, a version before it, and their published files."""
    folder = tmp_path_factory.mktemp("score")
    world = new_world(folder, mlflow_original)
    trainings = [world.trained(good=good) for good in (0, 8)]
    for trained in trainings:
        end_of_run(world, trained, test=world.write_test())
    world.registry.make_champion(world.registry.find(trainings[-1].run_id))
    world.valid(1)
    return folder, trainings


@pytest.fixture
def world(original, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "flows.cli.flow_commands._run_flow", lambda *_: pytest.fail("a server of Prefect's takes ten seconds")
    )
    return copied_world(original, tmp_path, monkeypatch)


@pytest.fixture
def score(world, capsys, monkeypatch):
    monkeypatch.chdir(world.folder)

    def score(*arguments):
        code = main(["score", str(world.folder), *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return score


TEST = "MicroLens_1M_x1/test.parquet"


def test_by_default_the_champion_scores_as_its_submission_has_it(world, score):
    before = {path: path.read_bytes() for path in world.folder.glob("predictions_task1and2/*")}
    code, out, _ = score(TEST)
    assert code == 0
    assert out.startswith("model         mmctr-din version 2 (champion)\nrows          20 of 1 file, 20 with a target")
    assert "AUC" not in out
    scored = pl.read_parquet(world.folder / "scores/test.parquet")
    assert scored.schema == {"ID": pl.Int64, "probability": pl.Float32}
    assert scored["ID"].to_list() == list(range(20))
    submitted = pl.read_csv(world.folder / "predictions_task1and2/prediction.csv")
    assert np.allclose(scored["probability"], submitted["Task1&2"], atol=1e-6)
    assert {path: path.read_bytes() for path in world.folder.glob("predictions_task1and2/*")} == before


def test_with_labels_its_figures_are_said_and_rows_without_ids_are_numbered(world, score):
    code, out, _ = score("valid1.parquet", "--out", "mine/v.csv")
    assert code == 0
    scored = pl.read_csv(world.folder / "mine/v.csv")
    assert scored.columns == ["row", "probability"]
    assert scored["row"].to_list() == list(range(300))
    labels, given = pl.read_parquet("valid1.parquet")["label"].to_numpy(), scored["probability"].to_numpy()
    assert auc(labels, given) > 0.9
    logits = np.log(given.astype(np.float64) / (1 - given))
    assert f"AUC           {auc(labels, given):.4f}, logloss {logloss(labels, logits):.4f}" in out
    assert f"labels        {labels.sum():,} of 300 are 1" in out
    assert out.endswith(f"written       {world.folder}/mine/v.csv\n  columns     row, probability\n")


def test_ids_of_rows_are_kept_as_they_are_and_csv_is_scored_as_parquet_is(world, score):
    clicks = pl.read_parquet(TEST).with_columns(ID=pl.format("r-{}", "ID"))
    clicks.write_parquet("named.parquet")
    history = pl.col("item_seq").cast(pl.List(pl.String)).list.join(" ")
    clicks.with_columns(history).write_csv("named.csv")
    for name in ("named.parquet", "named.csv"):
        code, _, err = score(name, "--out", f"{name}.scores.parquet")
        assert code == 0, err
    first, second = (pl.read_parquet(f"named.{form}.scores.parquet") for form in ("parquet", "csv"))
    assert first["ID"].to_list() == [f"r-{row}" for row in range(20)]
    assert first.equals(second)


def test_parts_are_scored_one_after_another(world, score):
    whole = pl.read_parquet("valid1.parquet")
    Path("parts").mkdir()
    for number, part in enumerate((whole[:100], whole[100:100], whole[100:])):
        part.write_parquet(f"parts/part-{number}.parquet")
    score("valid1.parquet")
    expected = pl.read_parquet("scores/valid1.parquet")
    for name, out in (("parts", "parts"), ("parts/part-*.parquet", "part-")):
        code, said, err = score(name)
        assert code == 0, err
        assert "of 3 files" in said
        assert_frame_equal(pl.read_parquet(f"scores/{out}.parquet"), expected, rel_tol=1e-5)  # as other batches round


def test_any_model_can_score(world, score):
    versions = {}
    artifact = world.artifact(world.trainings[0], CHECKPOINT)
    for name in ("1", "2", world.trainings[0].run_id, artifact):
        code, _, err = score(TEST, "--model", name, "--force")
        assert code == 0, err
        versions[str(name)] = pl.read_parquet("scores/test.parquet")["probability"].to_list()
    assert versions["1"] == versions[world.trainings[0].run_id] == versions[str(artifact)]
    assert versions["1"] != versions["2"]
    code, _, err = score(TEST, "--model", "9", "--force")
    assert code == 2
    assert "a version or an alias of mmctr-din (1, 2, champion); found '9'" in err


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1] * 300, "all 300 are the same, so AUC is not defined"),
        ([2] * 300, "cannot be used: they must be 0 or 1, 300 are not"),
        ([None] * 300, "cannot be used: they must be 0 or 1, 300 are not"),
    ],
)
def test_labels_of_no_use_hinder_no_probabilities(world, score, labels, said):
    pl.read_parquet("valid1.parquet").with_columns(label=pl.Series(labels, dtype=pl.Int64)).write_parquet("odd.parquet")
    code, out, err = score("odd.parquet")
    assert code == 0, err
    assert f"labels        {said}" in out
    assert "AUC  " not in out


def test_nothing_is_written_over(world, score):
    def bytes_of():
        return {path: path.read_bytes() for path in world.folder.rglob("*") if path.is_file() and "ml" not in str(path)}

    assert score("valid1.parquet")[0] == 0
    before = bytes_of()
    refused = [
        ([], "scores/valid1.parquet is there already; name another with --out, or add --force"),
        (["--out", "predictions_task1and2/prediction.csv", "--force"], "is such a place; name another with --out"),
        (["--out", TEST, "--force"], "never writes over what a run reads or writes"),
        (["--out", "valid1.parquet", "--force"], "never writes over what a run reads or writes"),
        (["--out", ".mmctr/x.parquet"], "never writes over what a run reads or writes"),
        (["--out", "clicks/x.parquet", "--set", "data.train=clicks/*.parquet"], "never writes over what a run reads"),
        (["--out", "photos/x.csv", "--set", 'data.images=["photos"]'], "never writes over what a run reads or writes"),
        (["--out", "x.txt"], "OUT must end in .parquet or .csv, which says its form; found x.txt"),
        (["--out", "a/b.parquet/c.parquet"], None),
    ]
    Path("a/b.parquet/c.parquet").mkdir(parents=True)
    for arguments, message in refused:
        code, out, err = score("valid1.parquet", *arguments)
        assert (code, out) == (2, ""), arguments
        assert (message or "OUT must be a file") in err
        assert len(err.splitlines()) == 2
    assert bytes_of() == before
    assert score("valid1.parquet", "--force", "--model", "1")[0] == 0
    assert bytes_of() != before


def test_what_is_no_click_log_is_refused(world, score):
    pl.DataFrame({"item_id": [1]}).write_parquet("other.parquet")
    Path("empty").mkdir()
    for file, message in (
        ("none.parquet", "none is missing"),
        ("test.parquet", "test.parquet is none: test.parquet is missing"),
        ("empty", "empty has no file that ends in .parquet or .csv"),
        ("other.parquet", "these clicks cannot be scored"),
        ("x*.parquet", "has no file that ends in"),
        ("a\x00b", "is none"),
    ):
        code, out, err = score(file)
        assert (code, out) == (2, ""), file
        assert message.removeprefix("none ") in err, file
    Path("elsewhere").mkdir()
    import os

    os.chdir("elsewhere")
    assert f"did you mean {world.folder / TEST}?" in score(TEST)[2]
    assert not (world.folder / "scores").exists()


def test_an_id_that_is_called_as_the_other_column_is_refused(world, score):
    pl.read_parquet(TEST).rename({"ID": "probability"}).write_parquet("named.parquet")
    code, _, err = score("named.parquet", "--set", "data.row_id=probability")
    assert code == 2
    assert "data.row_id must not be probability" in err


def test_a_model_that_knows_few_of_the_targets_is_refused(world, score):
    world.write_test(ids=[10**6 + 1, 10**6 + 2])
    code, _, err = score(TEST)
    assert code == 2
    assert "the model must know at least 50% of the target items, it knows 0 of 20" in err
    assert "predict.min_known_targets" in err
    assert score(TEST, "--set", "predict.min_known_targets=0")[0] == 0

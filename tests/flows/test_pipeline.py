"""The whole flow through real Prefect and a real MLflow store, once, and what a second run does."""

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest
import torch
from mlflow import MlflowClient
from shared import unchanged

from mmctr.evaluation.metrics import auc
from mmctr.models.checkpoint import load_checkpoint
from mmctr.submission.challenge import check_submission
from tasks.cache.workspace import PUBLIC
from tasks.settings.load import load_config

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_server")]

STAGES = ["extract", "embed", "reduce", "build_weights", "train", "predict"]
SHORT = ["train.epochs=3", "train.batch_size=128"]


def run(base, *overrides):
    from flows.pipeline import pipeline

    return pipeline(load_config(base, overrides=[*SHORT, *overrides]))


def ran(summary):
    return [report.name for report in summary.stages if not report.cached]


def sizes_and_bytes(summary):
    return {name: path.read_bytes() for name, path in summary.outputs.items()}


def published(base):
    return {place: (base / place).read_bytes() for place in PUBLIC.values()}


@pytest.fixture(scope="module")
def first_run(demo_original, mlflow_original, prefect_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    base = Path(shutil.copytree(demo_original, folder / "demo"))
    (folder / "mlruns").mkdir()
    uri = f"sqlite:///{shutil.copy(mlflow_original, folder / 'mlruns/mlflow.db')}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        summary = run(base)
    with unchanged(base / ".mmctr/store"):
        yield base, summary, MlflowClient(uri)


@pytest.fixture
def finished(first_run, monkeypatch):
    """BASE_PATH after one run, its summary and the MLflow store; no test changes them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", first_run[2].tracking_uri)
    return first_run


def test_from_base_path_to_submission_and_again(finished):
    base, first, client = finished
    assert [report.name for report in first.stages] == STAGES
    assert ran(first) == STAGES

    embeddings = pl.read_parquet(base / "item_emb_task1_clip.parquet")
    assert embeddings.schema == {"item_id": pl.Int64, "item_emb_d128": pl.List(pl.Float32)}
    assert len(embeddings) == 200
    assert sorted(torch.load(base / "models_task1and2/task1and2_best.pt", weights_only=True))[0] == "architecture"
    assert load_checkpoint(base / "models_task1and2/task1and2_best.pt").metrics["valid_auc"] == first.valid_auc
    ids = pl.read_parquet(base / "MicroLens_1M_x1/test.parquet")["ID"]
    assert check_submission(base / "predictions_task1and2/prediction.zip", test_ids=ids) == len(ids) == first.rows
    truth = pl.read_parquet(base / "demo_truth.parquet")
    predicted = pl.read_csv(base / "predictions_task1and2/prediction.csv").join(truth, on="ID")
    assert auc(predicted["label"].to_numpy(), predicted["Task1&2"].to_numpy()) > 0.7

    run_tags = [client.get_run(first.mlflow_run).data.tags]
    second = run(base, "rules=task12")
    run_tags.append(client.get_run(first.mlflow_run).data.tags)
    assert [tags["mmctr.preset"] for tags in run_tags] == ["mission", "mission"]
    assert [tags["mmctr.rules"] for tags in run_tags] == ["free", "task12"]
    assert "\nrules         task12 of the challenge, kept\n" in second.text()
    assert ran(second) == []
    assert sizes_and_bytes(second) == sizes_and_bytes(first)
    assert second.mlflow_run == first.mlflow_run
    assert len(client.search_runs(["1"])) == 1
    assert first.mlflow_run in second.text()


def test_what_mlflow_knows_of_a_training(finished, tmp_path):
    base, summary, client = finished
    record = client.get_run(summary.mlflow_run)
    assert record.info.status == "FINISHED"
    params, metrics, tags = record.data.params, record.data.metrics, record.data.tags
    assert params["train.epochs"] == "3"
    assert params["embed.max_pixels"] == "100000000"
    assert params["reduce.n_components"] == "128"
    assert metrics["best_valid_auc"] == summary.valid_auc
    assert 0 < metrics["best_valid_gauc"] <= 1
    assert 0 < metrics["best_valid_normalised_entropy"] < 2
    assert metrics["embed.items"] == 200
    assert metrics["embed.missing_images"] > 0
    assert 0.9 < metrics["explained_variance"] <= 1
    figures = ("train_loss", "valid_auc", "valid_gauc", "valid_logloss", "valid_normalised_entropy", "learning_rate")
    assert not {"epoch", "step", "l2_loss"} & set(metrics)
    for name in (*figures, "rows_per_second"):
        assert [metric.step for metric in client.get_metric_history(summary.mlflow_run, name)] == [1, 2, 3], name
    assert len(tags["prefect.flow_run_id"]) == 36
    assert len(tags["digest.train"]) == 64
    datasets = {entry.dataset.name: entry.dataset.digest for entry in record.inputs.dataset_inputs}
    assert datasets["train"] == tags["digest.train"][:36]
    assert set(datasets) == {"items", "images", "train", "valid", "test", "clip_model"}

    folder = Path(client.download_artifacts(summary.mlflow_run, "", str(tmp_path)))
    stored = (folder / "submission/prediction.zip").read_bytes()
    assert stored == (base / "predictions_task1and2/prediction.zip").read_bytes()
    checkpoint = (folder / "checkpoint/task1and2_best.pt").read_bytes()
    assert checkpoint == (base / "models_task1and2/task1and2_best.pt").read_bytes()
    for name in ("plots/explained_variance.png", "plots/valid_auc.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "reports/embed/embed.json").read_text())["items"] == 200


def test_the_logged_models_load_and_score(finished):
    base, _, client = finished
    mlflow.set_tracking_uri(client.tracking_uri)
    models = {m.name: m for m in client.search_logged_models(["1"])}
    assert set(models) == {"din", "pca"}

    scorer = mlflow.pyfunc.load_model(models["din"].model_uri)
    assert [column.name for column in scorer.metadata.signature.inputs] == [
        "item_seq",
        "item_id",
        "likes_level",
        "views_level",
    ]
    test = pl.read_parquet(base / "MicroLens_1M_x1/test.parquet")
    rows = test.select("item_seq", "item_id", "likes_level", "views_level").to_pandas()
    written = pl.read_csv(base / "predictions_task1and2/prediction.csv")["Task1&2"].to_numpy()
    assert np.allclose(scorer.predict(rows), written, atol=1e-6)

    pca = mlflow.sklearn.load_model(models["pca"].model_uri)
    embeddings = pl.read_parquet(next(base.glob(".mmctr/store/embed/*/embeddings.parquet")))
    published = pl.read_parquet(base / "item_emb_task1_clip.parquet")
    present = embeddings["embedding"].to_numpy().any(axis=1)
    reduced = pca.transform(embeddings["embedding"].to_numpy()[present].astype(np.float64))
    assert np.allclose(reduced, np.stack(published["item_emb_d128"].to_list())[present], atol=1e-5)


def test_a_users_mistake_is_said_once_and_loses_nothing(finished, tmp_path, caplog):
    from flows.pipeline import pipeline

    base = Path(shutil.copytree(finished[0], tmp_path / "demo"))
    before = published(base)
    assert len(before) == len(PUBLIC)
    train = base / "MicroLens_1M_x1/train.parquet"
    pl.read_parquet(train).drop("label").write_parquet(train)
    state = pipeline(load_config(base, overrides=SHORT), return_state=True)
    assert (state.name, state.message[:9]) == ("Failed", "Refused: ")
    assert "MicroLens_1M_x1/train.parquet: column label is missing" in state.message
    assert "Traceback" not in caplog.text
    assert published(base) == before


def test_a_stage_that_refuses_stops_the_run_without_a_trace(demo, tracking_uri, caplog):
    from flows.pipeline import pipeline

    state = pipeline(load_config(demo, overrides=["embed.max_failure_share=0.0"]), return_state=True)
    assert (state.name, state.message[:9]) == ("Failed", "Refused: ")
    assert "At most 0% of the images may be unreadable" in state.message
    assert "Traceback" not in caplog.text


def test_what_was_read_is_what_is_named(demo, tracking_uri, monkeypatch):
    """A click log that another takes the place of while it is read, and that is back before the end."""
    import mmctr.clicks.split
    from flows.pipeline import pipeline

    config = load_config(demo, overrides=["train.epochs=1", "train.batch_size=128"])
    path, aside = demo / "MicroLens_1M_x1/train.parquet", demo / "aside.parquet"
    load_split = mmctr.clicks.split.load_split

    def swapped(log, **options):
        if log != [path]:
            return load_split(log, **options)
        path.rename(aside)
        pl.read_parquet(aside).head(400).write_parquet(path)
        try:
            return load_split(log, **options)
        finally:
            aside.replace(path)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(mmctr.clicks.split, "load_split", swapped)
        state = pipeline(config, return_state=True)
    assert state.is_failed()
    assert "MicroLens_1M_x1/train.parquet changed meanwhile, nothing was made of it; run again" in state.message

    assert ran(pipeline(config)) == ["train", "predict"]


def test_data_that_arrives_while_a_training_goes_on_costs_nothing(demo, tracking_uri, monkeypatch):
    """What was read before counts; the next run sees the new data. A record is on the disk before work is removed."""
    import mmctr.training.loop
    import tasks.cache.stage
    from flows.pipeline import pipeline
    from tasks.cache.workspace import Workspace

    config = load_config(demo, overrides=["train.epochs=1", "train.batch_size=128"])
    reading, read = Workspace.reading_table, set()
    path, train_model, sync_file = (
        demo / "MicroLens_1M_x1/train.parquet",
        mmctr.training.loop.train_model,
        tasks.cache.stage.sync_file,
    )
    flushed = {}

    def arriving(*splits, **options):
        pl.read_parquet(path).head(400).write_parquet(path)
        return train_model(*splits, **options)

    def noted(record):
        sync_file(record)
        stage = json.loads(json.loads(record.read_bytes())["result"])["stage"]
        flushed[stage] = len(list(demo.glob(".mmctr/work/*/*")))

    def read_through(self, ref):
        read.add(Path(ref.path).name)
        return reading(self, ref)

    monkeypatch.setattr(Workspace, "reading_table", read_through)
    monkeypatch.setattr(mmctr.training.loop, "train_model", arriving)
    monkeypatch.setattr(tasks.cache.stage, "sync_file", noted)
    assert ran(pipeline(config)) == STAGES
    assert flushed == {stage: int(stage == "train") for stage in STAGES}, "work is removed after the record is safe"
    assert list(demo.glob(".mmctr/work/*/*")) == []
    inputs = {
        "item_images_2.rar",
        "item_feature.parquet",
        "tiny_clip.pt",
        "train.parquet",
        "valid.parquet",
        "test.parquet",
    }
    made = {"embeddings.parquet", "item_emb_task1_clip.parquet", "item_table.npz", "task1and2_best.pt"}
    assert inputs | made <= read
    assert ran(pipeline(config)) == ["train", "predict"]

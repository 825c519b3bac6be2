"""An MLflow store that was moved or copied with the project writes beside itself, and finds what it wrote before."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import numpy as np
import pytest
from generated import checkpoint as untrained
from generated import item_table
from mlflow import MlflowClient

from mmctr.common.errors import InputError
from mmctr.models.checkpoint import save_checkpoint
from tasks.cache.results import Trained
from tasks.cache.workspace import Workspace
from tasks.settings.sections import PredictConfig
from tasks.tracking.fetching import fetch
from tasks.tracking.lineage import Lineage
from tasks.tracking.lost_artifacts import log_lost_artifacts
from tasks.tracking.registry import Registry
from tasks.tracking.store import Tracker
from tasks.tracking.store_address import sqlite_uri
from tasks.tracking.store_check import check_store
from tasks.tracking.training_run import CHECKPOINT, PCA, TrainingRun, open_run


def training(project: Path, name: str) -> str:
    """Id of a finished run with a checkpoint, and a `din` that is the newest version of the model `m`."""
    from tasks.tracking.model_logging import log_din_model

    tracker = Tracker(sqlite_uri(project / "mlruns/mlflow.db"), "mmctr")
    run = TrainingRun(tracker, open_run(tracker, name))
    table = item_table(np.random.default_rng(0))
    checkpoint = project / "base" / Path(CHECKPOINT).name
    save_checkpoint(untrained(table, valid_auc=0.5), checkpoint)
    tracker.client.log_artifact(run.run_id, str(checkpoint), "checkpoint")
    log_din_model(tracker.uri, run.run_id, checkpoint=checkpoint)
    run.end("FINISHED")
    Registry(tracker, "m").register(run.run_id, tags={})
    return run.run_id


def is_whole(project: Path, run_id: str) -> bool:
    """Whether the checkpoint of a run and version 1 of the model are found, in the project itself."""
    tracker = Tracker(sqlite_uri(project / "mlruns/mlflow.db"), "mmctr")
    workspace = Workspace(project / "other base")
    fetched = fetch(tracker, run_id, CHECKPOINT, workspace=workspace)
    mlflow.set_tracking_uri(tracker.uri)
    model = mlflow.pyfunc.load_model("models:/m/1")
    places = [
        tracker.client.get_run(run_id).info.artifact_uri,
        tracker.client.get_model_version("m", "1").source,
        tracker.client.get_experiment_by_name("mmctr").artifact_location,
    ]
    within = all(place.startswith(f"{project.as_uri()}/mlruns/artifacts/mmctr") for place in places)
    return within and workspace.holds(fetched) and model is not None


def files(project: Path) -> dict[str, bytes]:
    return {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}


@pytest.fixture
def project(mlflow_original, tmp_path, monkeypatch):
    """A project's folder with one training in its store."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "old"
    (folder / "mlruns").mkdir(parents=True)
    shutil.copy(mlflow_original, folder / "mlruns/mlflow.db")
    yield folder, training(folder, "first")
    mlflow.set_tracking_uri(None)


def test_a_moved_store(project, tmp_path):
    old, first = project
    assert is_whole(old, first)
    new = old.rename(tmp_path / "a new %41 place")
    check_store(sqlite_uri(new / "mlruns/mlflow.db"), "mmctr")
    second = training(new, "second")
    assert not old.exists()
    assert len(list((new / "mlruns/artifacts/mmctr").iterdir())) == 3  # two runs, and their models
    new = new.rename(tmp_path / "another")
    assert is_whole(new, first)
    assert is_whole(new, second)
    back = new.rename(old)
    assert is_whole(back, first)


def test_a_copied_store_leaves_the_original_alone(project, tmp_path):
    old, first = project
    before = files(old)
    copy = Path(shutil.copytree(old, tmp_path / "copy"))
    training(copy, "second")
    assert is_whole(copy, first)
    assert files(old) == before
    shutil.rmtree(old)
    assert is_whole(copy, first)


def test_a_copy_of_the_database_alone_is_refused(project, tmp_path):
    old, _ = project
    copy = tmp_path / "copy/mlruns/mlflow.db"
    copy.parent.mkdir(parents=True)
    shutil.copy(old / "mlruns/mlflow.db", copy)
    for use in (check_store, Tracker):
        with pytest.raises(
            InputError, match=f"is a copy of {old}/mlruns/mlflow.db without them; copy .* to {copy.parent}"
        ):
            use(sqlite_uri(copy), "mmctr")


def test_artifacts_that_are_kept_elsewhere_stay_there(project, tmp_path):
    """The database alone was moved, or is reached through a link, or the experiment has a place of its own."""
    old, first = project
    moved = tmp_path / "database only/mlruns/mlflow.db"
    moved.parent.mkdir(parents=True)
    (old / "mlruns/mlflow.db").rename(moved)
    client = Tracker(sqlite_uri(moved), "mmctr").client
    assert client.get_run(first).info.artifact_uri.startswith(old.as_uri())
    moved.rename(old / "mlruns/mlflow.db")

    link = tmp_path / "link"
    link.symlink_to(old)
    client = Tracker(sqlite_uri(link / "mlruns/mlflow.db"), "mmctr").client
    assert client.get_run(first).info.artifact_uri.startswith(old.as_uri())

    MlflowClient(sqlite_uri(old / "mlruns/mlflow.db")).create_experiment("own", artifact_location=str(tmp_path / "own"))
    new = old.rename(tmp_path / "new")
    client = Tracker(sqlite_uri(new / "mlruns/mlflow.db"), "mmctr").client
    assert client.get_experiment_by_name("own").artifact_location == str(tmp_path / "own")


def test_what_an_earlier_version_wrote_at_the_old_place_after_a_move_is_still_found(project, tmp_path):
    old, first = project
    new = old.rename(tmp_path / "new")
    with closing(sqlite3.connect(new / "mlruns/mlflow.db")) as database:
        (place,) = database.execute("SELECT artifact_uri FROM runs").fetchone()
        database.execute(
            "INSERT INTO runs (run_uuid, artifact_uri) VALUES ('late', ?)", (place.replace(first, "late"),)
        )
        database.commit()
    (old / "mlruns/artifacts/mmctr/late/artifacts").mkdir(parents=True)
    Tracker(sqlite_uri(new / "mlruns/mlflow.db"), "mmctr")
    with closing(sqlite3.connect(new / "mlruns/mlflow.db")) as database:
        places = dict(database.execute("SELECT run_uuid, artifact_uri FROM runs"))
    assert places["late"].startswith(old.as_uri())
    assert places[first].startswith(new.as_uri())


def test_artifacts_that_were_deleted_are_logged_again(project, tmp_path, monkeypatch):
    """From the cache, into the same run and the same models, which versions in the registry name."""
    from sklearn import decomposition

    from mmctr.common.files import write_bytes
    from mmctr.embedding.pca import save_pca

    folder, run_id = project
    mlflow.set_tracking_uri(None)  # as in a process that has logged no model
    monkeypatch.chdir(tmp_path)
    tracker, base = Tracker(sqlite_uri(folder / "mlruns/mlflow.db"), "mmctr"), folder / "base"
    workspace = Workspace(base)
    components = decomposition.PCA(2).fit(np.random.default_rng(0).normal(size=(20, 3)))
    save_pca(components, base / "pca.npz")
    epoch = {"epoch": 1, "train_loss": 0.7, "valid_auc": 0.6, "valid_logloss": 0.69, "learning_rate": 0.1}
    write_bytes(base / "epochs.json", json.dumps([epoch]).encode())
    write_bytes(base / "report.json", b"{}")
    checkpoint, pca, epochs, report = (
        workspace.file_ref(base / name) for name in ("task1and2_best.pt", "pca.npz", "epochs.json", "report.json")
    )
    story = Lineage(params={}, digests={}, counts={}, pca=pca, reports={"embed": report})
    figures = {"best_epoch": 1, "valid_auc": 0.6, "valid_logloss": 0.69}
    trained = Trained(checkpoint=checkpoint, history=epochs, run_id=run_id, **figures)

    lost = log_lost_artifacts(tracker, trained, lineage=story, workspace=workspace)
    assert lost == [PCA]  # this run never had one
    assert not (tmp_path / "mlflow.db").exists()
    assert log_lost_artifacts(tracker, trained, lineage=story, workspace=workspace) == []
    shutil.rmtree(folder / "mlruns/artifacts")
    lost = log_lost_artifacts(tracker, trained, lineage=story, workspace=workspace)
    assert lost == [CHECKPOINT, PCA, "the model din"]
    assert is_whole(folder, run_id)
    names = ["checkpoint", "pca", "plots", "reports"]
    assert sorted(file.path for file in tracker.client.list_artifacts(run_id)) == names
    assert tracker.client.get_run(run_id).info.status == "FINISHED"
    assert log_lost_artifacts(tracker, trained, lineage=story, workspace=workspace) == []

    archive = base / "prediction.zip"
    write_bytes(archive, b"a submission")
    for _ in range(2):
        tracker.attach_submission(run_id, archive, sha256="0", config=PredictConfig())
        assert tracker.client.list_artifacts(run_id, "submission")
        shutil.rmtree(folder / "mlruns/artifacts/mmctr" / run_id / "artifacts/submission")

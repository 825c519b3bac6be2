"""One finished run for all tests of the cache: they put back what they change in it, or take a copy."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cache_contract import plan
from finished_run import Finished, outputs, ran, run, settings
from mlflow import MlflowClient

from tasks.settings.sections import PipelineConfig
from tasks.tracking.registry import Registry, Version
from tasks.tracking.training_run import TrainingRun

SETTLED_SECONDS = 2.1  # after which digests are remembered


def silence(patch: pytest.MonkeyPatch) -> None:
    """MLflow is told of runs, not of plots and models, which takes seconds."""
    for name in ("log_outcome", "log_files", "log_models"):
        patch.setattr(TrainingRun, name, lambda *args, **kwargs: None)
    patch.setattr(Registry, "register", lambda self, run_id, **_: Version("1", run_id, (), {}))
    for name in ("tag", "set_alias", "make_champion"):
        patch.setattr(Registry, name, lambda *args: None)
    for name in ("show_on_page", "log_lost_artifacts"):
        patch.setattr(f"flows.pipeline.{name}", lambda *args, **kwargs: None)


@pytest.fixture(scope="session")
def original(demo_original, mlflow_original, prefect_server, tmp_path_factory) -> Finished:
    """A finished run of the demo whose digests are remembered."""
    folder = tmp_path_factory.mktemp("contract")
    base = Path(shutil.copytree(demo_original, folder / "demo"))
    (folder / "mlruns").mkdir()
    shutil.copy(mlflow_original, folder / "mlruns/mlflow.db")
    uri = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        silence(patch)
        first = run(base)
        time.sleep(SETTLED_SECONDS)
        assert ran(run(base)) == []  # and digests are remembered now
    return Finished(base, first, outputs(first), MlflowClient(uri))


@pytest.fixture
def quiet_mlflow(original, monkeypatch) -> None:
    """Runs of a test know the store of the original, and tell it as little."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", original.client.tracking_uri)
    silence(monkeypatch)


@pytest.fixture
def finished(original, tmp_path) -> Iterator[Finished]:
    """A copy of the finished run for a test to change; the MLflow run that all copies share is put back."""
    base = Path(shutil.copytree(original.base, tmp_path / "demo"))
    yield Finished(base, original.first, original.outputs, original.client)
    original.restore_mlflow_run()


@pytest.fixture
def planned(original, monkeypatch):
    """What a run of the original with other settings or after a change would run."""
    known = original.results()

    def planned(config: PipelineConfig | None = None):
        return plan(config or settings(original.base), known=known, patch=monkeypatch.setattr)

    return planned

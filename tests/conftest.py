"""Fixtures that cost seconds and are shared: a demo data set, a Prefect server, an MLflow store."""

import flows.process.environment  # noqa: F401  before Prefect is imported

import logging
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from demo_size import DEMO_ITEMS, DEMO_SEED, DEMO_USERS
from hypothesis import settings

settings.register_profile("project", deadline=None, max_examples=50)  # two shared cores: no deadline on a single case
settings.load_profile("project")


@pytest.fixture(scope="session")
def demo_original(tmp_path_factory) -> Path:
    """A small demo data set that no test may change; `demo` gives a copy."""
    from mmctr.demo.write import write_demo

    folder = tmp_path_factory.mktemp("original") / "demo"
    write_demo(folder, items=DEMO_ITEMS, users=DEMO_USERS, seed=DEMO_SEED, progress=False)
    return folder


@pytest.fixture
def demo(demo_original, tmp_path) -> Path:
    """A small demo data set of the test's own."""
    return Path(shutil.copytree(demo_original, tmp_path / "demo"))


@pytest.fixture(scope="session")
def mlflow_original(tmp_path_factory) -> Path:
    """An empty MLflow database; making one takes seconds, so that each test gets a copy."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


@pytest.fixture
def tracking_uri(mlflow_original, tmp_path, monkeypatch) -> str:
    """Address of an empty MLflow store of the test's own, set for the pipeline."""
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(mlflow_original, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory) -> Iterator[None]:
    """A Prefect server with a database of its own for as long as the tests run."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(autouse=True)
def heard_library(monkeypatch) -> None:
    """Let `caplog` hear the library, which Prefect cuts off from the root logger once it is loaded."""
    monkeypatch.setattr(logging.getLogger("mmctr"), "propagate", True)

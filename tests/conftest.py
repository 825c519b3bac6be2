"""Fixtures that cost seconds and are shared: a demo data set, a Prefect server, an MLflow store."""

import flows.process.environment  # noqa: F401  before Prefect is imported

import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from demo_size import DEMO_ITEMS, DEMO_SEED, DEMO_USERS
from hypothesis import settings
from shared import MIGRATED, WORKER, made_once, prefect_api, session_folder, unchanged

settings.register_profile("project", deadline=None, max_examples=50)  # two shared cores: no deadline on a single case
settings.load_profile("project")

if WORKER is not None:  # each worker has a core, and so a thread; PyTorch and Polars read this when they are imported
    os.environ.update(OMP_NUM_THREADS="1", POLARS_MAX_THREADS="1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with whole runs go first, so that no worker has one left when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("integration")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def demo_original(tmp_path_factory) -> Iterator[Path]:
    """A small demo data set that no test may change; `demo` is a copy."""
    from mmctr.demo.write import write_demo

    size = {"items": DEMO_ITEMS, "users": DEMO_USERS, "seed": DEMO_SEED}
    folder = session_folder(tmp_path_factory) / "demo"
    with unchanged(made_once(folder, lambda folder: write_demo(folder, **size, progress=False))):
        yield folder


@pytest.fixture
def demo(demo_original, tmp_path) -> Path:
    """A small demo data set of the test's own."""
    return Path(shutil.copytree(demo_original, tmp_path / "demo"))


@pytest.fixture(scope="session")
def mlflow_original(tmp_path_factory) -> Path:
    """An empty MLflow database; making one takes seconds, so that each test gets a copy."""

    def make(folder: Path) -> None:
        from mlflow import MlflowClient

        folder.mkdir()
        MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()
        with closing(sqlite3.connect(folder / "mlflow.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    return made_once(session_folder(tmp_path_factory) / "mlflow", make) / "mlflow.db"


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
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with prefect_api(session_folder(tmp_path_factory) / "prefect") as api, temporary_settings({PREFECT_API_URL: api}):
        yield
        APILogWorker.instance().drain()  # what is still to be sent goes to this server


@pytest.fixture(scope="session")
def prefect_database(prefect_server, tmp_path_factory) -> Path:
    """A database of Prefect's with its tables, which a server of a test's own would need seconds to make."""
    return session_folder(tmp_path_factory) / "prefect" / MIGRATED


@pytest.fixture(autouse=True)
def heard_library(monkeypatch) -> None:
    """Let `caplog` hear the library, which Prefect cuts off from the root logger once it is loaded."""
    monkeypatch.setattr(logging.getLogger("mmctr"), "propagate", True)


@pytest.fixture(autouse=True)
def own_store_address() -> Iterator[None]:
    """Let no test's MLflow store be the next one's: MLflow puts the address it was last set to into the environment."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
    if before is not None:
        os.environ["MLFLOW_TRACKING_URI"] = before

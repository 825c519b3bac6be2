"""A local MLflow database that is made whole or not at all."""

import fcntl
import os
from pathlib import Path

import mlflow.store.db.utils
from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine_with_retry

from mmctr.common.files import partials_of, replacing
from tasks.cache.locks import LOCKLESS
from tasks.tracking.store_address import sqlite_uri

# It waits up to 51 s between ten attempts to open a database, whatever the reason that it cannot be opened.
mlflow.store.db.utils.MAX_RETRY_COUNT = 2


def make_database(path: Path) -> None:
    """Make an empty MLflow database at `path`, unless there is one.

    MLflow makes its tables one by one, and can use none of a database that a killed process left in between.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(descriptor)  # one process makes it, the others wait and find it made
        if not path.exists() or path.stat().st_size == 0:
            for leftover in partials_of(path):  # and their journals, which would be replayed
                leftover.unlink()
            with replacing(path) as partial:
                engine = create_sqlalchemy_engine_with_retry(sqlite_uri(partial))
                try:
                    _initialize_tables(engine)
                finally:
                    engine.dispose()  # a client would stay connected to the file under its old name
    finally:
        os.close(descriptor)


def _lock(folder: int) -> None:
    """Wait for the lock of an open folder; a file system that has none for folders lets two processes make one each."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in LOCKLESS:
            raise

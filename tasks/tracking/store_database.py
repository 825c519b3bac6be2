"""Whether an SQLite file can be the MLflow store. It is opened as MLflow would, and read by a few lines of SQL."""

import os
import re
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from tasks.tracking.store_address import local_database, shown
from tasks.tracking.store_folder import ANOTHER, check_artifacts, local_folder
from tasks.tracking.store_move import artifact_folder, moves

BUSY_SECONDS = 5
CHECKED_BYTES = 64 << 20  # of a database; larger ones are not read through
SQLITE_HEADER = b"SQLite format 3\0"


def check_database(address: str, experiment: str, *, writes: bool) -> None:
    """Refuse an SQLite store that cannot be used: its address, its file, its schema, its locks, its artifacts.

    Raises:
        InputError: with the reason and what to do.
    """
    path = local_database(address)
    if path is None:
        if address.rstrip("/") == "sqlite:" or ":memory:" in address or "mode=memory" in address:
            raise InputError(f"an MLflow store must outlive the process; {shown(address)} is in memory; {ANOTHER}")
        raise InputError(
            f"an SQLite store is written sqlite:////absolute/path/mlflow.db (or sqlite:///relative/path/mlflow.db); "
            f"found {shown(address)}; {ANOTHER}"
        )
    for folder in path.parents:
        if folder.exists():
            break
    if not folder.is_dir():
        raise InputError(f"the MLflow database {path} needs a folder, and {folder} is a file; {ANOTHER}")
    if writes and not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"the MLflow database {path} must be writable, its folder {folder} is not; {ANOTHER}")
    if path.exists() and not (path.is_file() and path.stat().st_size == 0):
        _check_file(path, experiment, writes=writes)
    elif writes:
        check_artifacts(artifact_folder(path), experiment)


def _check_file(path: Path, experiment: str, *, writes: bool) -> None:
    """Refuse a file that is no MLflow database of this version, or that cannot be locked and written."""
    if not path.is_file():
        raise InputError(f"an MLflow database is a file, {path} is none; {ANOTHER}")
    if writes and not os.access(path, os.R_OK | os.W_OK):
        raise InputError(f"the MLflow database must be writable, {path} is not; let this user write it")
    with path.open("rb") as stream:
        if stream.read(len(SQLITE_HEADER)) != SQLITE_HEADER:
            raise InputError(f"an MLflow database is an SQLite file, {path} is none; {ANOTHER}")
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and not {"alembic_version", "experiments", "runs"} <= tables:
                raise InputError(
                    f"{path} is the database of another program (it has {', '.join(sorted(tables)[:3])}); {ANOTHER}"
                )
            location = _read(connection, path, experiment) if tables else None
            if path.stat().st_size <= CHECKED_BYTES:
                (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(found)
            if writes:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
        if tables:
            moves(path)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    folder = artifact_folder(path) if location is None else local_folder(location)
    if writes and folder is not None:
        check_artifacts(folder, experiment)


def _read(connection: sqlite3.Connection, path: Path, experiment: str) -> str | None:
    """Where the experiment has its artifacts, None for one that does not exist yet or that follows a move."""
    versions = [version for (version,) in connection.execute("SELECT version_num FROM alembic_version")]
    known, newest = _schema_versions()
    if versions != [newest]:
        older = all(version in known for version in versions)
        raise InputError(
            f"{path} was written by an {'older' if older else 'unknown, probably newer'} version of MLflow "
            f"(schema {', '.join(versions)}, needed is {newest}); "
            + (f"copy it, then run: mlflow db upgrade 'sqlite:///{path}'" if older else ANOTHER)
        )
    row = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
    if row is None or row[0] is None:
        return None
    local = local_folder(row[0])
    follows = local is not None and local.parts[-2:] == artifact_folder(path).joinpath(experiment).parts[-2:]
    return None if follows else str(row[0])


def _schema_versions() -> tuple[set[str], str]:
    """All versions of MLflow's schema, and the one of the MLflow that is installed."""
    spec = find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in Path(spec.origin).parent.glob("store/db_migrations/versions/*.py")
    )
    known = set(re.findall(r'^revision(?:: str)? = "(\w+)"', text, re.MULTILINE))
    (newest,) = known - set(re.findall(r'^down_revision(?:: str)? = "(\w+)"', text, re.MULTILINE))
    return known, newest


def _unusable(path: Path, error: sqlite3.Error) -> InputError:
    primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        remedy = "stop the program that keeps it locked (`fuser` names it), or run again later"
    elif primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        remedy = f"bring back a copy of it, or move it away to start with an empty one; {ANOTHER}"
    elif primary in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
        remedy = f"SQLite needs a file system with locks, which some network disks lack; {ANOTHER}, on a local disk"
    else:
        remedy = ANOTHER
    return InputError(f"the MLflow database {path} cannot be used ({first_line(error)}); {remedy}")

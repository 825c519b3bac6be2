"""A local MLflow store that was moved or copied: its database holds the absolute locations of its artifacts.

The artifacts of a local store are beside its database, in `artifacts/<experiment>`. Where a database names another
folder of that shape, it was moved or copied with the project; the locations that it holds are then rewritten, in one
transaction, so that a moved store keeps its artifacts together and a copy never writes into the original.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from mmctr.common.errors import InputError

ARTIFACTS = "artifacts"
LOCATIONS = {  # columns that hold a location below an experiment's
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
BUSY_SECONDS = 20


@dataclass(frozen=True)
class Move:
    """A folder of artifacts as a database names it, and what has become of it."""

    old: Path
    prefix: str  # as the database writes `old`
    copied: bool  # the database that belongs to `old` is still there


def artifact_folder(database: Path) -> Path:
    """Where the artifacts of a local store are."""
    return database.parent / ARTIFACTS


def moves(database: Path) -> list[Move]:
    """The folders of artifacts that a database names and that are not its own.

    Raises:
        InputError: the database is a copy without the artifacts.
    """
    found = []
    for prefix in sorted(_prefixes(database)):
        old, new = local_path(prefix), artifact_folder(database)
        original = old.parent / database.name
        if old == new or (original.exists() and original.samefile(database)):
            continue
        copied = original.exists()
        if old.exists() and not new.exists():
            if not copied:  # the database alone was moved; its artifacts stay where they are
                continue
            raise InputError(
                f"an MLflow database must be beside its artifacts; {database} is a copy of {original} "
                f"without them; copy {old} to {new}"
            )
        found.append(Move(old, prefix, copied))
    return found


def follow_moves(database: Path) -> None:
    """Let a database that was moved or copied name its artifacts where they are now.

    A run whose files are at the old location alone keeps it, unless the original store is still there.
    """
    found = moves(database)
    if not found:
        return
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for move in found:
            for table, columns in LOCATIONS.items():
                for column in columns:
                    _rewrite(connection, table, column, move, new=artifact_folder(database))
        connection.execute("COMMIT")


def local_path(location: str) -> Path:
    """The folder that MLflow means by a location on this machine: a path, or an address that begins with `file:`."""
    is_address = location.startswith("file:")
    return Path(unquote(location.removeprefix("file://"))) if is_address else Path(location)


def _prefixes(database: Path) -> set[str]:
    """The folders of artifacts, as written, of all experiments that have theirs in `artifacts/<experiment>`."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as connection:
        experiments = connection.execute("SELECT name, artifact_location FROM experiments").fetchall()
    return {
        location.rpartition("/")[0]
        for name, location in experiments
        if location and (path := local_path(location)).is_absolute() and path.parts[-2:] == (ARTIFACTS, name)
    }


def _rewrite(connection: sqlite3.Connection, table: str, column: str, move: Move, *, new: Path) -> None:
    length = len(move.prefix)
    replacement = new.as_uri() if move.prefix.startswith("file:") else str(new)
    rows = connection.execute(  # names are this module's own
        f"SELECT rowid, {column} FROM {table} WHERE substr({column}, 1, ?) = ?",  # noqa: S608
        (length + 1, f"{move.prefix}/"),
    ).fetchall()
    changed = [(replacement + location[length:], row) for row, location in rows]
    if table != "experiments" and not move.copied:
        left_behind = [local_path(location).exists() for _, location in rows]
        changed = [
            (location, row)
            for (location, row), left in zip(changed, left_behind, strict=True)
            if not left or local_path(location).exists()
        ]
    connection.executemany(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", changed)  # noqa: S608

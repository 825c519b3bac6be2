"""What costs seconds and is shared by all workers of pytest-xdist: the first that needs it makes it."""

import fcntl
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flows.process.temporary_server import OWN, PROGRAM, is_healthy
from mmctr.common.files import file_sha256

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
MIGRATED = "migrated.db"  # the server's database before its first run


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole session, of which a worker has a part."""
    base = factory.getbasetemp()
    return base if WORKER is None else base.parent


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """`folder`, after `make(folder)` by the first that asks for it."""
    done = folder.with_name(f"{folder.name}.done")
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@contextmanager
def unchanged(folder: Path) -> Iterator[Path]:
    """`folder`, whose files must have the same bytes at the end."""

    def digests() -> dict[Path, str]:
        return {path: file_sha256(path) for path in folder.rglob("*") if path.is_file()}

    before = digests()
    yield folder
    changed = {path for path, _ in before.items() ^ digests().items()}
    assert not changed, f"a test has changed what others look at: {sorted(map(str, changed))[:5]}"


@contextmanager
def prefect_api(folder: Path) -> Iterator[str]:
    """Address of a Prefect server that runs as long as any process is within this context.

    Its standard input is a named pipe, which they all hold open: the server ends when the last of them has closed it.
    """
    address, pipe = folder / "address", folder / "pipe"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not address.exists():
            os.mkfifo(pipe)
        held = os.open(pipe, os.O_RDWR)
        if not address.exists():
            started = _start_server(folder, pipe)
            snapshot(folder / "prefect.db", folder / MIGRATED)
            address.write_text(started)
    try:
        yield address.read_text()
    finally:
        os.close(held)


def _start_server(folder: Path, pipe: Path) -> str:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, pipe.open("rb") as input_, (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", PROGRAM, str(listening.fileno())],
            env={**os.environ, **OWN, "PREFECT_HOME": str(folder)},
            pass_fds=[listening.fileno()],
            stdin=input_,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        threading.Thread(target=process.wait, daemon=True).start()
        port = listening.getsockname()[1]
        while not is_healthy(port):
            assert process.poll() is None, (folder / "log").read_text()
    return f"http://127.0.0.1:{port}/api"


def snapshot(database: Path, copy: Path) -> None:
    """A copy of a database that others may write to."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)

"""MLflow stores that cannot be used are refused before any work, and one that does not answer is asked again."""

import flows.process.environment

import errno
import http.server
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import urllib3
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE, UNAUTHENTICATED
from project import PROJECT
from sqlalchemy.exc import OperationalError

from flows.cli.main import main
from flows.run.hooks import end_mlflow_runs
from mmctr.common.errors import InputError
from tasks.tracking.mlflow_database import make_database
from tasks.tracking.store import Tracker
from tasks.tracking.store_address import local_database, shown, sqlite_uri, tracking_uri
from tasks.tracking.store_calls import HURRIED, StoreClient, StoreError, hurried
from tasks.tracking.store_check import check_store

ADDRESSES = {
    "./mlruns": "./mlruns is a folder, which MLflow writes no longer",
    "file:///data/mlruns": "is a folder, which MLflow writes no longer",
    "/data/mlruns": "is a folder, which MLflow writes no longer",
    "foo://host/path": "found foo://host/path",
    "s3://bucket/mlruns": "found s3://bucket/mlruns",
    "http://": "found http://",
    "http:localhost:5000": "found http:localhost:5000",
    "https://[::1": "found https://[::1",
    "oracle://host/db": "found oracle://host/db",
    "sqlite://": "sqlite:// is in memory",
    "sqlite:///:memory:": "is in memory",
    "sqlite://mlflow.db": "an SQLite store is written sqlite:////absolute",
    "sqlite:/data/mlflow.db": "an SQLite store is written sqlite:////absolute",
    "sqlite+nope:////data/mlflow.db": "cannot be read (Can't load plugin",
    "postgresql://me:secret@host/db": "needs the Python package psycopg2, which is missing",
    "mysql+pymysql://me:secret@host/db": "needs the Python package pymysql, which is missing",
    "mssql+pyodbc://me:secret@host/db": "needs the Python package pyodbc, which is missing",
    "postgresql://me:secret@host:abc/db": "cannot be read (invalid literal",
}


def test_the_projects_own_store_is_in_the_folder_that_the_environment_knows(monkeypatch):
    """Two modules say where the project is: the environment imports no `tasks`, as the current folder may have some."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert local_database(tracking_uri()) == flows.process.environment.PROJECT / "mlruns/mlflow.db"


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_that_names_no_store_of_use(address):
    with pytest.raises(InputError) as refused:
        check_store(address, "mmctr")
    assert ADDRESSES[address] in str(refused.value)
    assert "MLFLOW_TRACKING_URI" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_database_server_that_is_not_there(monkeypatch):
    monkeypatch.setattr("sqlalchemy.dialects.postgresql.psycopg2.PGDialect_psycopg2.import_dbapi", lambda: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"postgresql://me:secret@127.0.0.1:{free.getsockname()[1]}/db"
    with pytest.raises(InputError, match=r"must answer, and does not \(.*refused\); start it") as refused:
        check_store(address, "mmctr")
    assert "secret" not in str(refused.value)


def of_another_program(path):
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE alembic_version (version_num); CREATE TABLE flow_run (id)")


def of_version(version):
    def change(path):
        with closing(sqlite3.connect(path)) as database:
            database.execute("UPDATE alembic_version SET version_num = ?", (version,))
            database.commit()

    return change


def become_folder(path):
    path.unlink()
    path.mkdir()


def become_fifo(path):
    path.unlink()
    os.mkfifo(path)


def below_a_file(path):
    shutil.rmtree(path.parent)
    path.parent.write_text("a file")


def with_artifacts_at(place):
    def change(path):
        (path.parent / "file").write_text("")
        with closing(sqlite3.connect(path)) as database:
            database.execute(
                "INSERT INTO experiments (name, artifact_location, lifecycle_stage) VALUES ('mmctr', ?, 'active')",
                (place.format(path.parent),),
            )
            database.commit()

    return change


DATABASES = {
    "a folder": (become_folder, "an MLflow database is a file"),
    "a pipe": (become_fifo, "an MLflow database is a file"),
    "below a file": (below_a_file, "mlruns is a file"),
    "garbage": (lambda path: path.write_bytes(b"garbage" * 999), "an MLflow database is an SQLite file"),
    "cut off": (lambda path: path.write_bytes(path.read_bytes()[:20_000]), "malformed"),
    "damaged": (lambda path: path.write_bytes(path.read_bytes()[:8192] + bytes(99_999)), "cannot be used"),
    "of another program": (of_another_program, "the database of another program (it has alembic_version, flow_run)"),
    "of an older MLflow": (of_version("0a8213491aaa"), "older version of MLflow (schema 0a8213491aaa"),
    "of a newer MLflow": (of_version("ffffffffffff"), "probably newer version of MLflow (schema ffffffffffff"),
    "with artifacts below a file": (with_artifacts_at("file://{}/file/mmctr"), "file is no folder"),
    "with artifacts at a path below a file": (with_artifacts_at("{}/file/mmctr"), "file is no folder"),
}


@pytest.mark.parametrize("kind", DATABASES)
def test_a_database_of_no_use(kind, tracking_uri):
    change, message = DATABASES[kind]
    change(local_database(tracking_uri))
    with pytest.raises(InputError, match=r"MLFLOW_TRACKING_URI|mlflow db upgrade") as refused:
        check_store(tracking_uri, "mmctr")
    assert message in str(refused.value)


def test_a_database_that_another_process_keeps_locked(tracking_uri, monkeypatch):
    monkeypatch.setattr("tasks.tracking.store_database.BUSY_SECONDS", 0.1)
    with closing(sqlite3.connect(local_database(tracking_uri))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match=r"database is locked.*stop the program that keeps it locked"):
            check_store(tracking_uri, "mmctr")
    check_store(tracking_uri, "mmctr")


def test_a_database_where_this_user_may_not_write(tracking_uri, monkeypatch):
    folder = local_database(tracking_uri).parent
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != folder)
    with pytest.raises(InputError, match="must be writable, its folder"):
        check_store(tracking_uri, "mmctr")
    check_store(tracking_uri, "mmctr", writes=False)


def test_stores_of_use_are_seen_without_mlflow_and_left_as_they_are(tracking_uri, tmp_path):
    empty = tmp_path / "empty.db"
    empty.touch()
    for address in (tracking_uri, f"sqlite:///{empty}", f"sqlite:///{tmp_path / 'absent' / 'mlflow.db'}"):
        check_store(address, "mmctr")
    assert not (tmp_path / "absent").exists()
    assert empty.stat().st_size == 0
    check_store(tracking_uri, Tracker(tracking_uri, "mmctr").experiment)
    code = f"import sys; from tasks.tracking.store_check import check_store; check_store({tracking_uri!r}, 'mmctr')"
    code += "; assert not {'mlflow', 'prefect', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PROJECT)


def test_an_empty_file_becomes_a_store(tmp_path):
    (tmp_path / "mlflow.db").touch()
    assert Tracker(f"sqlite:///{tmp_path / 'mlflow.db'}", "mmctr").experiment_id() == "1"


def test_a_store_is_made_where_the_file_system_locks_no_folders(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", unsupported)
    monkeypatch.setattr("tasks.tracking.mlflow_database._initialize_tables", lambda _: None)
    make_database(tmp_path / "mlflow.db")
    assert (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("name", ["a?b", "a%2Fb", "a#b", "a b;c", "a\nb", "é中"])
def test_addresses_of_files_of_any_name(name, tmp_path, monkeypatch):
    path = tmp_path / name / "mlflow.db"
    assert local_database(sqlite_uri(path)) == path
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///relative/mlflow.db")
    monkeypatch.chdir(tmp_path)
    assert local_database(tracking_uri()) == tmp_path / "relative/mlflow.db"
    assert shown("postgresql://me:pass@host/db") == "postgresql://me:***@host/db"


@contextmanager
def server(status=200, text="<html><style>a{}</style><b>hello</b></html>", *, silent=False):
    """The address of a server that answers all alike, or takes the question and never answers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if silent:
                time.sleep(2)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    thread.join()
    running.server_close()


ANSWERS = [
    (200, "what answers at http://127.0.0.1:{} is none (200: hello)"),
    (404, "is none (404: hello)"),
    (401, "refuses this user (401: hello); set MLFLOW_TRACKING_USERNAME"),
    (403, "refuses this user (403: hello); set MLFLOW_TRACKING_USERNAME"),
    (500, "must answer, and does not (500: hello)"),
    (503, "must answer, and does not (503: hello)"),
]


@pytest.mark.parametrize(("status", "message"), ANSWERS)
def test_a_server_that_is_no_mlflow_server_or_refuses(status, message):
    with server(status) as address, pytest.raises(InputError) as refused:
        check_store(address, "mmctr")
    assert message.format(address.rpartition(":")[2]) in str(refused.value)


def test_a_server_that_keeps_artifacts_where_this_machine_cannot_write():
    answer = '{"experiment": {"artifact_location": "/proc/version/mlruns/1"}}'
    with (
        server(200, answer) as address,
        pytest.raises(InputError, match="1, and /proc/version is no"),
    ):
        check_store(address, "mmctr")
    with server(200, '{"experiment": {"artifact_location": "mlflow-artifacts:/1"}}') as address:
        check_store(address, "mmctr")


def test_a_registry_of_its_own_that_is_not_there_is_said_by_its_own_name(tracking_uri, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(InputError, match=r"must answer, and does not .* set MLFLOW_REGISTRY_URI to another one"):
            check_store(tracking_uri, "mmctr")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", tracking_uri)
    check_store(tracking_uri, "mmctr")


def test_a_server_that_is_not_there_or_says_nothing(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(StoreError, match=r"does not \(Failed to establish a new connection: .*refused\); start it"):
        check_store(address, "mmctr")
    with pytest.raises(StoreError, match="must answer, and does not"):
        check_store("http://127.0.0.1:99999", "mmctr")
    with pytest.raises(StoreError, match="Failed to resolve"):
        check_store("http://no-such-host.invalid:5000", "mmctr")
    monkeypatch.setitem(HURRIED, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with server(silent=True) as address, pytest.raises(StoreError, match=r"timed? ?out"):
        check_store(address, "mmctr")


@pytest.mark.parametrize("command", [["run"], ["predict"], ["gc"]])
@pytest.mark.parametrize("address", ["./mlruns", "foo://x"])
def test_the_commands_say_so_before_prefect_starts(command, address, demo_original, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setitem(sys.modules, "flows.pipeline", None)
    arguments = ["--set", f"embed.model={demo_original / 'tiny_clip.pt'}"] if command != ["gc"] else []
    assert main([*command, str(demo_original), *arguments]) == 2
    assert "mmctr: an MLflow store is a server (http://...) or a database" in capsys.readouterr().err
    assert not (demo_original / ".mmctr").exists()


def failing(errors, then="well"):
    """A method of MLflow's client that raises each of `errors` and then answers."""
    asked = []

    def method(self, *_):
        asked.append(len(asked))
        if len(asked) <= len(errors):
            raise errors[len(asked) - 1]
        return then

    return asked, method


def locked():
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = MlflowException(str(cause), error_code=TEMPORARILY_UNAVAILABLE)
    error.__cause__ = OperationalError("SELECT", {}, cause)
    error.__cause__.__cause__ = cause
    return error


def no_answer():
    try:
        try:
            raise requests.ConnectionError("refused")
        except requests.ConnectionError as problem:
            raise MlflowException(f"API request failed with exception {problem}")  # noqa: B904 as MLflow does
    except MlflowException as error:
        return error


@pytest.mark.parametrize("error", [locked, no_answer, lambda: OSError(5, "Input/output error")])
def test_what_passes_is_asked_again_and_then_said(error, tracking_uri, monkeypatch):
    client = StoreClient(tracking_uri, pauses=(0, 0))
    asked, method = failing([error(), error()])
    monkeypatch.setattr(MlflowClient, "get_run", method)
    assert client.get_run("a run") == "well"
    assert len(asked) == 3

    asked, method = failing([error()] * 3)
    monkeypatch.setattr(MlflowClient, "get_run", method)
    with pytest.raises(StoreError, match=r"must answer, and does not .*run the same command again"):
        client.get_run("a run")
    asked, method = failing([error()])
    monkeypatch.setattr(MlflowClient, "get_run", method)
    with hurried(), pytest.raises(StoreError):
        client.get_run("a run")
    assert len(asked) == 1


def full():
    cause = sqlite3.OperationalError("database or disk is full")
    cause.sqlite_errorcode = sqlite3.SQLITE_FULL
    error = MlflowException(str(cause), error_code=TEMPORARILY_UNAVAILABLE)  # "temporarily unavailable", says MLflow
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (lambda: MlflowException("no such run", error_code=RESOURCE_DOES_NOT_EXIST), MlflowException),  # an answer
        (lambda: MlflowException("who are you", error_code=UNAUTHENTICATED), StoreError),
        (full, MlflowException),  # the machine's: mmctr.common.errors has the words
        (lambda: MlflowException("The following failures occurred while downloading one or more"), MlflowException),
        (lambda: KeyError("a fault of ours"), KeyError),
    ],
)
def test_what_does_not_pass_is_asked_once(error, raised, tracking_uri, monkeypatch):
    asked, method = failing([error()])
    client = StoreClient(tracking_uri, pauses=(0, 0))
    monkeypatch.setattr(MlflowClient, "get_run", method)
    with pytest.raises(raised) as caught:
        client.get_run("a run")
    assert type(caught.value) is raised
    assert len(asked) == 1


def test_the_failure_hook_asks_a_dead_store_once(monkeypatch, caplog, tmp_path):
    """And not for eight minutes, as MLflow does by itself."""
    connect, asked = urllib3.util.connection.create_connection, []

    def counted(address, *arguments, **options):
        asked.append(address)
        return connect(address, *arguments, **options)

    monkeypatch.setattr("urllib3.util.connection.create_connection", counted)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
    state = SimpleNamespace(is_failed=lambda: True, name="Failed", message="")
    end_mlflow_runs(None, SimpleNamespace(id="1", parameters={"config": {"base_path": str(tmp_path)}}), state)
    assert len(asked) == 1
    assert "could not be marked as ended" in caplog.text

"""Prefect's server as an environment: settings, addresses, proxies, a temporary server and what it leaves."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.settings import PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK, temporary_settings
from project import PROJECT

from flows.process import environment, prefect_server, temporary_server
from flows.process.prefect_server import check_answers, check_result_block
from flows.process.prefect_settings import refuse_settings_of_other_folders, use_home
from flows.process.temporary_server import TemporaryServer
from mmctr.common.errors import InputError


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


# Settings


LOAD = """
from flows.process.prefect_settings import load_settings
from mmctr.common.errors import InputError
try:
    print("address", load_settings().api.url)
except InputError as error:
    print("refused", error)
"""


def settings(tmp_path, *, program=LOAD, **variables):
    """What a process says that loads Prefect's settings in `tmp_path`, which is no folder of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        **{"cwd": tmp_path, "env": kept | {"HOME": str(tmp_path)} | variables, "capture_output": True, "text": True},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("variables", "profiles", "message"),
    [
        ({"PREFECT_LOGGING_LEVEL": "LOUD"}, None, "PREFECT_LOGGING_LEVEL = 'LOUD': Input should be 'DEBUG'"),
        ({}, "x = = 3", "Invalid value (at line 1, column 5); correct or remove it where it stands"),
    ],
)
def test_settings_that_prefect_does_not_accept_are_refused_with_their_place(tmp_path, variables, profiles, message):
    if profiles is not None:
        (tmp_path / ".prefect").mkdir()
        (tmp_path / ".prefect/profiles.toml").write_text(profiles)
    said = settings(tmp_path, **variables)
    assert said.startswith("refused Prefect's settings must be usable")
    assert message in said
    assert str(tmp_path / ".prefect/profiles.toml") in said or profiles is None


def test_a_temporary_server_that_is_forbidden_is_not_started(tmp_path):
    program = "from flows.process.prefect_server import connect\nfrom mmctr.common.errors import InputError\n"
    program += "try:\n    connect(on_loss=print)\nexcept InputError as error:\n    print(error)"
    variables = {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false", "PREFECT_HOME": str(tmp_path / "home")}
    assert "PREFECT_API_URL is not set, and PREFECT_SERVER" in settings(tmp_path, program=program, **variables)


def test_a_profile_of_the_user_counts_though_the_home_is_the_projects(tmp_path):
    (tmp_path / ".prefect").mkdir()
    (tmp_path / ".prefect/profiles.toml").write_text(
        'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "http://x/api"\n'
    )
    assert settings(tmp_path) == "address http://x/api\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1\nexport PREFECT_LOGGING_SETTINGS_PATH=logging.yml"),
        ("prefect.toml", "[api]\nurl = 'http://x/api'"),
        ("prefect.toml", "no TOML"),
        ("pyproject.toml", "[tool.prefect]\nlogging.config_path = 'logging.yml'"),
    ],
)
def test_settings_in_a_folder_of_anybodys_are_refused(tmp_path, monkeypatch, name, text):
    (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"{name} has some, or cannot be read; run in another folder"):
        refuse_settings_of_other_folders()


def test_files_of_other_programs_are_nobodys_settings(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("MLFLOW_TRACKING_URI=x")
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 3")
    monkeypatch.chdir(tmp_path)
    refuse_settings_of_other_folders()


# The environment


def test_own_servers_are_asked_directly_whatever_proxies_there_are(monkeypatch):
    for name in environment.PROXIES:
        monkeypatch.delenv(name, raising=False)
    for known, wanted in {"": "127.0.0.1,localhost,::1", "a,localhost": "a,localhost,127.0.0.1,::1", "*": "*"}.items():
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", known)
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        environment.set_defaults()
        assert os.environ["NO_PROXY"] == wanted
        assert os.environ.get("no_proxy", wanted) == wanted


def test_a_proxy_that_no_client_can_use_is_dropped(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert environment.drop_unusable_proxies() == ["ALL_PROXY"]
    assert "ALL_PROXY" not in os.environ
    assert "HTTPS_PROXY" in os.environ


def test_nothing_is_imported_from_the_current_folder(tmp_path):
    (tmp_path / "logging.py").write_text("raise SystemExit('logging.py of the current folder')")
    program = "import sys, subprocess\nfrom flows.cli.main import main\nmain(['check', 'absent'])\nimport logging\n"
    program += "sys.exit(subprocess.run([sys.executable, '-c', 'import logging']).returncode)"
    paths = os.pathsep.join(["", str(PROJECT)])
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        **{"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": paths}, "capture_output": True, "text": True},
    )
    assert done.returncode == 0, done.stderr
    assert "logging.py of" not in done.stderr


def test_a_user_without_a_home_is_at_home_in_the_project(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
    environment.set_defaults()
    assert os.environ["HOME"] == str(PROJECT / "mlruns")


def test_a_home_that_cannot_be_written_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "file/home"))
    assert f"{tmp_path}/file/home cannot be written (Not a directory)" in use_home()
    assert Path(os.environ["PREFECT_HOME"]).is_dir()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "a/b"))
    assert use_home() == ""
    assert list((tmp_path / "a").rglob("*")) == [tmp_path / "a/b"]


# A configured server


@contextmanager
def answering(code, body):
    """Address of a server that answers every request so."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            content = body(self.path) if callable(body) else body
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def refusal(address):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: address}), pytest.raises(InputError) as refused:
        check_answers(address)
    assert len(str(refused.value)) < 400
    return str(refused.value)


@pytest.mark.parametrize(
    ("code", "body", "message"),
    [
        (401, b"{}", "it answers 401; set PREFECT_API_KEY"),
        (404, b"{}", "it answers 404; the address of Prefect's API ends with /api"),
        (200, b"<html>", "what it answers is not Prefect's"),
        (200, b'{"a": 1}', "what it answers is not Prefect's"),
        (200, lambda path: b'"2.20.1"' if "version" in path else b"[]", "server: 2.20.1. Major versions must match"),
    ],
)
def test_a_server_that_is_no_prefect_of_this_version_is_refused(code, body, message):
    with answering(code, body) as address:
        assert message in refusal(address)


def test_a_server_that_is_not_there_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert "Connection refused; start it (make ui)" in refusal(f"http://127.0.0.1:{port}/api")
    assert "that is no address" in refusal(f"127.0.0.1:{port}/api")
    assert "secret" not in refusal(f"http://me:secret@127.0.0.1:{port}/api")


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(prefect_server, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        assert "must answer, and does not within" in refusal(address)


# A temporary server


FAKE = """
import http.server, os, socket, sys, threading, time
def health(self):
    self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
handler = type("Health", (http.server.BaseHTTPRequestHandler,), {"do_GET": health, "log_message": lambda *_: None})
if os.path.exists(os.environ["PREFECT_HOME"] + "/broken"):
    sys.exit("sqlite3.DatabaseError: file is not a database")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.buffer.read()
"""


@pytest.fixture
def fake_program(tmp_path, monkeypatch):
    """A server in the place of Prefect's, which starts at once, and a watch that looks often."""
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(temporary_server, "PROGRAM", tmp_path / "fake.py")
    monkeypatch.setattr(temporary_server, "LOOK_SECONDS", 0.5)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


@pytest.mark.usefixtures("fake_program")
def test_a_server_that_dies_or_hangs_is_replaced_at_the_same_address_until_it_is_too_often(monkeypatch, capsys):
    monkeypatch.setattr(temporary_server, "HANGS_AFTER", 5.0)
    lost, answers, answers_in = [], [], TemporaryServer._answers_in

    def noted(self, timeout):
        answers.append(answers_in(self, timeout))
        return answers[-1]

    monkeypatch.setattr(TemporaryServer, "_answers_in", noted)
    server = TemporaryServer(timeout=30, on_loss=lost.append)
    try:
        server.wait()
        for looks, number in enumerate((signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL), start=2):
            os.kill(server.process.pid, number)
            wait_until(lambda looks=looks: len(answers) == looks)  # who watches it has seen the next one answer
        assert answers == [True] * 4
        assert (server.replacements, lost) == (3, [])
        server.process.kill()
        wait_until(lambda: lost)
    finally:
        server.stop()
    assert "ended again and again" in lost[0]
    assert capsys.readouterr().err.count("ended early (it ended with code -9); starting another one") == 4
    assert server.process.poll() is not None


@pytest.mark.usefixtures("fake_program")
def test_a_home_that_the_server_cannot_work_in_is_said_and_replaced(tmp_path, capsys):
    (tmp_path / "home/broken").touch()
    server = TemporaryServer(timeout=30, on_loss=print)
    server.wait()
    folder = Path(server.temporary_home)
    assert folder.is_dir()
    server.stop()
    assert not folder.exists()
    said = capsys.readouterr().err
    assert f"cannot work in {tmp_path / 'home'} (sqlite3.DatabaseError: file is not a database)" in said


@pytest.mark.usefixtures("fake_program")
def test_a_server_that_cannot_start_at_all_is_refused_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////nowhere/prefect.db")
    (tmp_path / "home/broken").touch()
    server = TemporaryServer(timeout=30, on_loss=print)
    with pytest.raises(InputError, match=r"must start, and does not: sqlite3\.DatabaseError: file is not a database"):
        server.wait()
    server.stop()


def test_a_configured_server_that_goes_away_ends_the_command(monkeypatch):
    monkeypatch.setattr(prefect_server, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(prefect_server, "AWAY_SECONDS", 0.0)
    lost = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: address}):
        prefect_server.watch_configured(on_loss=lost.append)
        wait_until(lambda: lost)
    assert lost[0].startswith(f"the Prefect server at {address}")
    assert "no longer answers" in lost[0]


def test_an_error_of_prefects_client_is_said_in_one_line():
    import httpx

    def fail(error):
        with prefect_server.server_that_stays():
            raise RuntimeError("could not report") from error

    with pytest.raises(InputError, match=r"no longer does .refused.; what was done is kept: start it"):
        fail(httpx.ConnectError("refused"))
    with pytest.raises(RuntimeError):
        fail(KeyError("a fault of ours"))


def test_a_block_for_results_that_is_not_there_is_refused():
    words = r"must name a block of Prefect's server, and 'nonsense' cannot be loaded .*unset"
    with (
        temporary_settings({PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK: "nonsense"}),
        pytest.raises(InputError, match=words),
    ):
        check_result_block("nonsense")
    check_result_block(None)

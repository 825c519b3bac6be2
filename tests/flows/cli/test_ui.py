"""`make ui`: ports, both addresses once both answer, a clean end; Python's own web server takes the part of both."""

import shutil
import signal
import socket
import subprocess
import sys

import pytest
from project import PROJECT

from flows.cli.ui import serve_pages
from mmctr.common.errors import InputError
from tasks.tracking.store import ui_address

PROGRAM = """
import sys
from flows.cli import interrupts
from flows.cli import ui

def page(name, port):
    return ui.Page(name, port, "PORT", ["http.server", str(port), "--bind", ui.UI_HOST], "/", {})

ui._mlflow = lambda port, store: page("MLflow", port)
ui._prefect = lambda port: page("Prefect", port)
with interrupts.stoppable():
    ui.serve_pages(mlflow_port=int(sys.argv[1]), prefect_port=int(sys.argv[2]))
"""


def free_ports():
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_addresses_are_said_and_a_signal_ends_both_servers(number, tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow, prefect = free_ports()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(mlflow), str(prefect)],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": PROJECT},
    )
    with process:
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[:2] == [f"MLflow  http://127.0.0.1:{mlflow}\n", f"Prefect http://127.0.0.1:{prefect}\n"]
        assert f"export PREFECT_API_URL=http://127.0.0.1:{prefect}/api" in lines[2]
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stderr.read() == "stopping the servers\n"
    for port in (mlflow, prefect):
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass


def test_a_taken_port_is_said_at_once_with_another(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")  # has pages of its own
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"127.0.0.1:{port} cannot be used .*make ui PREFECT_PORT={port + 1}"):
            serve_pages(mlflow_port=5000, prefect_port=port)


def test_outputs_name_the_port_that_the_pages_are_on(monkeypatch):
    monkeypatch.delenv("MLFLOW_PORT", raising=False)
    assert ui_address() == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_PORT", "5001")
    assert ui_address() == "http://127.0.0.1:5001"


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_hands_the_ports_on():
    command = ["make", "-n", "ui", "MLFLOW_PORT=5001", "PREFECT_PORT=4201"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=True)
    assert '.venv/bin/mmctr ui --mlflow-port "5001" --prefect-port "4201"' in done.stdout

"""The pages of MLflow and Prefect: two servers on the loopback address, until Ctrl-C."""

from flows.process.environment import PROJECT

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flows.process.prefect_settings import use_home
from flows.process.terminal import say, show
from mmctr.common.errors import InputError
from tasks.tracking.store import UI_HOST
from tasks.tracking.store_address import local_database, tracking_uri

START_SECONDS = 180.0
END_SECONDS = 8.0  # for each, before it is killed


@dataclass
class Page:
    """One server: its command, and the path at which it says that it is there."""

    name: str
    port: int
    variable: str  # sets the port
    command: Sequence[str]
    health: str
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{UI_HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What it prints."""
        return Path(os.environ["PREFECT_HOME"]) / f"{self.name.lower()}-server.log"


def serve_pages(*, mlflow_port: int, prefect_port: int) -> None:
    """Start both servers, say their addresses once both answer, and end both on Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        InputError: a port is taken, or a server ends by itself.
    """
    if problem := use_home():
        say(problem)
    pages = [_prefect(prefect_port)]
    store = tracking_uri()
    if not store.startswith("http"):
        pages.insert(0, _mlflow(mlflow_port, store))
    for page in pages:
        _check_free(page)
    try:
        for page in pages:
            page.process = _start(page)
        _wait_until_ready(pages)
        lines = [f"{page.name:8}{page.address}" for page in pages]
        lines.append(f"in every other terminal: export PREFECT_API_URL={pages[-1].address}/api; Ctrl-C here ends both")
        show("\n".join(lines))
        while True:
            time.sleep(1)
            _check_alive(pages)
    except KeyboardInterrupt:
        say("stopping the servers")
    finally:
        _stop(pages)


def _mlflow(port: int, store: str) -> Page:
    if (database := local_database(store)) is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    options = ["--host", UI_HOST, "--port", str(port), "--backend-store-uri", store]
    return Page(
        "MLflow",
        port,
        "MLFLOW_PORT",
        ["mlflow", "server", *options],
        "/health",
        {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


def _prefect(port: int) -> Page:
    options = ["--host", UI_HOST, "--port", str(port)]
    own = {"PREFECT_API_URL": f"http://{UI_HOST}:{port}/api"}  # what its pages ask, whatever a profile names
    return Page("Prefect", port, "PREFECT_PORT", ["prefect", "server", "start", *options], "/api/health", own)


def _check_free(page: Page) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((UI_HOST, page.port))
        except OSError as error:
            raise InputError(
                f"{page.name}'s pages need a free port, and {UI_HOST}:{page.port} cannot be used ({error.strerror}); "
                f"end what uses it, or choose another: make ui {page.variable}={page.port + 1}"
            ) from error


def _start(page: Page) -> "subprocess.Popen[bytes]":
    with page.log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", *page.command],
            env={**os.environ, **page.environment},
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # the terminal's Ctrl-C goes to this process alone, which ends both in order
        )


def _wait_until_ready(pages: Sequence[Page]) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = list(pages)
    while waiting:
        _check_alive(pages)
        if time.monotonic() > deadline:
            late = waiting[0]
            raise InputError(f"{late.name}'s server must answer within {START_SECONDS:.0f} s; see {late.log}")
        time.sleep(0.2)
        waiting = [page for page in waiting if not _answers(page)]


def _answers(page: Page) -> bool:
    connection = http.client.HTTPConnection(UI_HOST, page.port, timeout=2)
    try:
        connection.request("GET", page.health)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _check_alive(pages: Sequence[Page]) -> None:
    for page in pages:
        if page.process is not None and page.process.poll() is not None:
            lines = [line.strip() for line in page.log.read_text(errors="replace").splitlines() if line.strip()]
            raise InputError(
                f"{page.name}'s server must run, and ended with code {page.process.returncode}: "
                f"{lines[-1][:300] if lines else 'it said nothing'}; see {page.log}"
            )


def _stop(pages: Sequence[Page]) -> None:
    running = [page.process for page in pages if page.process is not None]
    for process in running:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGTERM)
    for process in running:
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(END_SECONDS)
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # what is left of the group
        process.wait()

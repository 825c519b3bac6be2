"""Ctrl-C and SIGTERM: a command that is stopped ends in order and takes the processes it started with it."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM; it stops a command as Ctrl-C does."""


def signal_number(stop: KeyboardInterrupt) -> signal.Signals:
    """The signal that was answered with `stop`."""
    return signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise `Terminated`, also after Prefect has told its server and hands the signal on."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 the interpreter gives both
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def start_prefect() -> None:
    """Start Prefect's temporary server, where no other is configured, out of reach of the terminal's Ctrl-C.

    Ctrl-C goes to all processes of the terminal, and with its server gone the run could tell nobody that it stops: it
    would try for minutes. A child inherits the signals that the thread which starts it blocks.
    """
    errors: list[Exception] = []

    def start() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        from prefect.client.orchestration import get_client

        try:
            get_client(sync_client=True)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=start, name="start-prefect", daemon=True)  # daemon: Ctrl-C need not wait for it
    thread.start()
    thread.join()
    if errors:
        raise errors[0]

"""What the command line leaves out of Prefect's log on the console."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging.handlers import PrefectConsoleHandler

from tasks.running.refusal import is_no_refusal


@contextmanager
def refusals_said_once() -> Iterator[None]:
    """Keep the final state of a refused flow off the console, where the command says the message itself."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, PrefectConsoleHandler)]
    for handler in handlers:
        handler.addFilter(is_no_refusal)
        # `mmctr run DATA 2>&1 | head` goes on; Rich would exit.
        handler.console.on_broken_pipe = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(is_no_refusal)

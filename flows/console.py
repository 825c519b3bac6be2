"""What the command line leaves out of Prefect's log on the console."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging.handlers import PrefectConsoleHandler

from tasks.stage import REFUSED

LINES = (f"Finished in state {REFUSED}(", f"Task run failed with state: {REFUSED}(")  # as Prefect 3 writes them


@contextmanager
def refusals_said_once() -> Iterator[None]:
    """Keep the final state of a refused stage and of its flow off the console.

    Prefect shows a state with its message, so one mistake would stand there three times: as the stage's state, as the
    flow's, and as what the command says. On Prefect's own pages all of them stay.
    """
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, PrefectConsoleHandler)]
    for handler in handlers:
        handler.addFilter(_is_no_refusal)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_is_no_refusal)


def _is_no_refusal(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(LINES)

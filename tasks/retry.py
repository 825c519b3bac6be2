"""Which errors a second try can mend: those of a disk, a network or a store, never those of the user's input."""

import errno
import sqlite3
from typing import Any, TypedDict

from mlflow.exceptions import MlflowException
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from mmctr.errors import causes
from tasks.config import RunConfig
from tasks.refusal import TIMED_OUT, refusal

PASSING = {  # what a network file system, a busy disk or a restarted server gives
    *(errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.EPIPE, errno.ENOTCONN),
    *(errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
}
LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
UNAVAILABLE = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


class Retries(TypedDict):
    """Options of a Prefect task."""

    retries: int
    retry_delay_seconds: Any
    retry_condition_fn: Any


def retries(config: RunConfig) -> Retries:
    """How a task is tried again: with a pause that doubles, and only where that can help."""
    return {
        "retries": config.retries,
        "retry_delay_seconds": exponential_backoff(config.retry_delay) if config.retry_delay else 0,
        "retry_condition_fn": can_help,
    }


def can_help(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 Prefect gives all three
    """Whether the task that ended in `state` may end otherwise in a second try."""
    if state.name == TIMED_OUT or refusal(state) is not None:
        return False
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_passing(error)


def is_passing(error: BaseException) -> bool:
    """Whether an error, or what it came from, may be gone in a moment."""
    return any(_is_passing(cause) for cause in causes(error))


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in LOCKED
    if isinstance(error, MlflowException):
        return error.error_code in UNAVAILABLE
    return isinstance(error, ConnectionError) or (isinstance(error, OSError) and error.errno in PASSING)

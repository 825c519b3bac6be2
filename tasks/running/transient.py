"""Which errors are transient: those of a disk, a network or a store. Prefect is not imported."""

import errno
import sqlite3
from collections.abc import Iterator

import requests
from mlflow.exceptions import MlflowException

from tasks.settings.sections import RunConfig

TRANSIENT = {  # of a network file system, a busy disk or a restarted server
    *(errno.EIO, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ESTALE, errno.EPIPE, errno.ENOTCONN),
    *(errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
}
SQLITE_TRANSIENT = {  # locked; the last two are of a network file system
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL),
}
UNAVAILABLE = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
NO_ANSWER = (requests.ConnectionError, requests.Timeout, requests.exceptions.RetryError)


def pauses(config: RunConfig) -> tuple[float, ...]:
    """Seconds before each further try of a call to MLflow's store."""
    return tuple(config.retry_delay * 2**number for number in range(config.retries))


def is_transient(error: BaseException) -> bool:
    """Whether an error, or what it came from, may be gone at the next try."""
    known = list(chain(error))
    for cause in known:
        if isinstance(cause, sqlite3.Error) and hasattr(cause, "sqlite_errorcode"):
            return (
                cause.sqlite_errorcode & 0xFF in SQLITE_TRANSIENT
            )  # MLflow calls each of them unavailable for a while
    return any(_is_transient(cause) for cause in known)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, MlflowException):
        return error.error_code in UNAVAILABLE or error.get_http_status_code() in (502, 503, 504)
    if isinstance(error, requests.exceptions.SSLError):
        return False
    return isinstance(error, (*NO_ANSWER, ConnectionError)) or (isinstance(error, OSError) and error.errno in TRANSIENT)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """`error` and what it came from; MLflow raises its own in handling of others without naming them."""
    while error is not None:
        yield error
        handled = isinstance(error, MlflowException) or not error.__suppress_context__
        error = error.__cause__ or (error.__context__ if handled else None)

"""Calls to an MLflow store: what may be gone in a moment is tried again, and what cannot be used is said.

Everything that this project asks of a store goes through here, so that a store that does not answer is the same to all:
a call is repeated as often and as late as `run.retries` and `run.retry_delay` say, then it is the user's to fix.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from urllib3.exceptions import MaxRetryError

from mmctr.common.errors import InputError, as_input_error
from mmctr.common.text import first_line
from tasks.running.transient import chain, is_transient
from tasks.tracking.store_address import shown

R = TypeVar("R")
ANSWERS = (  # of a store that is well; whoever asked knows what they mean
    *("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT", "RESOURCE_LIMIT_EXCEEDED"),
    *("INVALID_PARAMETER_VALUE", "INVALID_STATE", "NOT_FOUND"),
)
_in_a_hurry = ContextVar("_in_a_hurry", default=False)
NO_FILES = "The following failures occurred while downloading"  # as MLflow says it, whatever the reason
NOT_KEPT = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)
HURRIED = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
logger = logging.getLogger(__name__)
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it warns of each try in three lines


class StoreError(InputError):
    """The MLflow store does not answer, or cannot be used."""


class StoreClient:
    """MLflow's client, each of whose calls is made by `call`."""

    def __init__(self, uri: str, *, pauses: Sequence[float] = ()) -> None:
        self.uri, self.pauses = uri, pauses
        mlflow.set_tracking_uri(uri)  # it looks for models in this one, whatever store a client is of
        self.client = call(lambda: MlflowClient(uri), uri=uri, pauses=pauses, opening=True)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *args, **named: call(lambda: method(*args, **named), uri=self.uri, pauses=self.pauses)


def call(function: Callable[[], R], *, uri: str, pauses: Sequence[float] = (), opening: bool = False) -> R:
    """The result of a function that asks the store at `uri`; tried again after each of `pauses`, in seconds.

    Args:
        function: may be called again after it failed in between.
        uri: the store's address, for the message.
        pauses: between the tries.
        opening: whether the store is being opened, so that no error can be its answer to a question.

    Raises:
        StoreError: the store does not answer, or it cannot be used.
        MlflowException: the store's answer, such as that there is no such run.
    """
    waits = list(pauses)
    while True:
        try:
            with _any_file_system():
                return function()
        except Exception as error:
            if waits and not _in_a_hurry.get() and not isinstance(error, StoreError) and is_transient(error):
                logger.warning("MLflow does not answer (%s); asked again in %g s", reason(error), waits[0])
                time.sleep(waits.pop(0))
                continue
            unusable = as_unusable(error, uri=uri, opening=opening)
            if unusable is None:
                raise
            raise unusable from error


@contextmanager
def _any_file_system() -> Iterator[None]:
    """Let MLflow copy files to disks that keep no modes or times; it copies them too, and fails where it may not."""
    original = shutil.copystat

    def copystat(*paths: Any, **options: Any) -> None:
        try:
            original(*paths, **options)
        except OSError as error:
            if error.errno not in NOT_KEPT:
                raise

    shutil.copystat = copystat
    try:
        yield
    finally:
        shutil.copystat = original


def as_unusable(error: Exception, *, uri: str, opening: bool = False) -> StoreError | None:
    """The message for a user whose store raised `error`; None where that is an answer, or no fault of the store's."""
    if isinstance(error, StoreError):
        return error
    if as_input_error(error) is not None:  # such as a full disk
        return None
    of_the_store = isinstance(error, (SQLAlchemyError, requests.RequestException)) or is_transient(error)
    if isinstance(error, MlflowException):
        of_the_store = error.error_code not in ANSWERS and not _is_fault_in(error)
    if not of_the_store and not (opening and isinstance(error, (MlflowException, ImportError, ValueError))):
        return None
    remedy = "start it, or set MLFLOW_TRACKING_URI to another one"
    if getattr(error, "error_code", None) in ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"):
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    elif is_transient(error):
        remedy += ", then run the same command again; what is done is kept"
    return StoreError(f"the MLflow store at {shown(uri)} must answer, and does not ({reason(error)}); {remedy}")


def reason(error: BaseException) -> str:
    """Why a store does not answer, in one line: of a chain of errors the one that says most."""
    for cause in chain(error):
        if isinstance(cause, DBAPIError) and cause.orig is not None:
            return first_line(cause.orig)
        if isinstance(cause, MaxRetryError) and cause.reason is not None:
            return first_line(cause.reason).rpartition("): ")[2]
    if isinstance(error, ModuleNotFoundError):
        return f"the Python package {error.name} is missing"
    return first_line(error)


def _is_fault_in(error: MlflowException) -> bool:
    """Whether an error says nothing about the store: a file of a run, or a fault of MLflow's or ours."""
    cause = error.__cause__
    if str(error).startswith(NO_FILES):
        return True
    return cause is not None and not isinstance(cause, (MlflowException, SQLAlchemyError, OSError))


@contextmanager
def hurried() -> Iterator[None]:
    """Try each call once and for a few seconds, where waiting costs more than the answer is worth."""
    before = {name: os.environ.get(name) for name in HURRIED}
    os.environ.update(HURRIED)
    token = _in_a_hurry.set(True)
    try:
        yield
    finally:
        _in_a_hurry.reset(token)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

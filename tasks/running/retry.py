"""Which tasks are retried: those that a disk, a network or a store failed, never those that the input failed."""

from typing import Any, TypedDict

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from tasks.running.refusal import TIMED_OUT, refusal
from tasks.running.transient import is_transient
from tasks.settings.sections import RunConfig


class Retries(TypedDict):
    """Options of a Prefect task."""

    retries: int
    retry_delay_seconds: Any
    retry_condition_fn: Any


def retries(config: RunConfig) -> Retries:
    """How a task is retried: with a pause that doubles, and only where that can help."""
    return {
        "retries": config.retries,
        "retry_delay_seconds": exponential_backoff(config.retry_delay) if config.retry_delay else 0,
        "retry_condition_fn": can_help,
    }


def can_help(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001 Prefect passes all three
    """Whether a retry of the task that ended in `state` may end otherwise."""
    if state.name == TIMED_OUT or refusal(state) is not None:
        return False
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)

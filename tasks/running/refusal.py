"""The state of a task or flow that ends by a mistake of the user's: failed, with the message and no stack trace, once.

The state is Prefect's own `Failed`, which its pages and alerts know; the message begins with `Refused: `, and by this
a refusal is known from a fault, in this process and in what the server keeps.
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from prefect.client.schemas.objects import State
from prefect.exceptions import FailedRun
from prefect.states import Cancelled, Failed

from mmctr.common.errors import InputError, as_input_error
from mmctr.common.text import first_line
from tasks.running.pruned import PrunedError

P = ParamSpec("P")
R = TypeVar("R")
REFUSED = "Refused: "  # begins the message of a state
TIMED_OUT = "TimedOut"  # Prefect's own name
PRUNED = "Pruned"  # name of a state of its kind Cancelled
ENDS = ("Finished in state Failed(", "Task run failed with state: Failed(")  # as Prefect 3 writes them,
LINES = tuple(f"{end}{quote}{REFUSED}" for end in ENDS for quote in "'\"")  # with the `repr` of the message


class TimedOutError(InputError):
    """A task did not end in the time that it was allowed."""


_said: set[str] = set()  # messages of refusals of this process


def refused(error: InputError) -> State[Any]:
    """The state of a task or flow that the user's input stopped."""
    message = f"{REFUSED}{error}"
    _said.add(message)
    return Failed(message=message)


def refusal(state: State[Any] | None) -> str | None:
    """What a task or flow was refused with; None where it has not ended, or ended otherwise."""
    message = str(state.message) if state is not None and state.is_failed() else ""
    return message.removeprefix(REFUSED) if message.startswith(REFUSED) else None


def refusing(function: Callable[P, R]) -> Callable[P, Any]:
    """Let a task's or flow's function end in the state `refused` where the user can fix what went wrong.

    A trial that is pruned ends in a state that is no failure.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except PrunedError as pruned:
            return Cancelled(name=PRUNED, message=str(pruned))
        except Exception as error:
            mistake = as_input_error(error)
            if mistake is None:
                raise
            return refused(mistake)

    return call


def outcome(state: State[Any], *, of: str) -> Any:
    """The result of a task that has ended.

    Raises:
        InputError: the user can fix what went wrong; a limit on time that the user has set is such a thing.
        PrunedError: it was a trial, and is pruned.
    """
    if state.name == PRUNED:
        raise PrunedError(state.message)
    refused_with = refusal(state)
    if refused_with is not None:
        raise InputError(refused_with)
    if state.name == TIMED_OUT:
        raise TimedOutError(
            f"{of} must end in the time that run.timeout allows: {state.message}; raise it and run again"
        )
    return state.result()


def is_no_refusal(record: logging.LogRecord) -> bool:
    """Whether a line of the log is anything but the final state, message and all, of what was refused."""
    return not record.getMessage().startswith(LINES)


def is_no_trace_of_refusal(record: logging.LogRecord) -> bool:
    """Whether a line of the log is anything but the stack trace that a worker's process ends with for a failed run."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, FailedRun) and str(error) in _said)


def without_trace(record: logging.LogRecord) -> bool:
    """Let every line pass, without the stack trace of an error that the user can fix."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and as_input_error(error) is not None:
        record.msg, record.args = f"{record.getMessage()}: {first_line(error)}", None
        record.exc_info = record.exc_text = None
    return True


# A flow ends in the state that its stage ended in and says the message itself; the stage's own page shows its state.
for _filter in (is_no_refusal, without_trace):
    logging.getLogger("prefect.task_runs").addFilter(_filter)
logging.getLogger("prefect.flow_runs").addFilter(is_no_trace_of_refusal)

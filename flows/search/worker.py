"""The program of a process that runs trials for a search: it is told them one by one, and asked nothing else."""

import flows.process.environment  # noqa: F401  before Prefect is imported

import logging
import os
import select
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from types import FrameType

from flows.search.slots import Broken, Heard, Hello
from flows.search.trial import run_trial
from mmctr.common.errors import as_input_error

logger = logging.getLogger(__name__)


def main(number: int) -> None:
    """Run trials until the pipe with this number is closed at its other end."""
    pipe: Connection = Connection(number)
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with, args=(number,), name="end-with-search", daemon=True).start()

    def hear(trial: int, validation: int, auc: float) -> bool:
        pipe.send(Heard(trial, validation, auc))
        return bool(pipe.recv())

    try:
        hello: Hello = pipe.recv()
        with hello.surroundings.context(hello.device).workspace.running():
            while True:
                job = pipe.recv()
                pipe.send(run_trial(job, hello.surroundings, device=hello.device, hear=hear))
    except (EOFError, OSError) as error:
        if not isinstance(error, EOFError | BrokenPipeError | ConnectionError):
            pipe.send(_broken(error))
    except Exception as error:
        pipe.send(_broken(error))


def _broken(error: Exception) -> Broken:
    mistake = as_input_error(error)
    if mistake is not None:
        return Broken(str(mistake), is_mistake=True)
    return Broken("".join(traceback.format_exception(error)), is_mistake=False)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 the interpreter passes both
    raise KeyboardInterrupt


def _end_with(number: int) -> None:
    """Stop this process when the search is gone, also in the middle of an epoch."""
    poll = select.poll()
    poll.register(number, 0)  # that the other end is closed is always told
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except KeyboardInterrupt:
        logger.warning("stopped with the search")
    logging.shutdown()
    os._exit(0)  # at the interpreter's end Prefect would wait for its server, which may be gone

"""Where trials run: here, one after the other, or several at once, each in a process with its threads or its GPU."""

from flows.process.environment import THREADS

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, Protocol

from prefect.settings import PREFECT_API_URL

from flows.search.trial import Ended, Hear, Job, Surroundings, run_trial
from mmctr.common.errors import InputError
from mmctr.compute.cores import usable_cores
from mmctr.compute.device import resolve_device

CORES_A_JOB = 4  # of a machine without a GPU; more threads for one training bring little
MOST_JOBS = 64
END_SECONDS = 8.0  # in which a process that is told to end logs that it was stopped

logger = logging.getLogger(__name__)


class Slots(Protocol):
    """Places for trials."""

    @property
    def is_free(self) -> bool:
        """Whether another trial can begin."""
        ...

    def begin(self, job: Job) -> None:
        """Begin a trial in a free place."""
        ...

    def wait(self, hear: Hear) -> list[Ended]:
        """Let trials go on until one has ended or a validation was heard of; returns those that have ended.

        Raises:
            InputError: a trial met something that further ones would meet too.
        """
        ...

    def close(self) -> None:
        """End all that go on."""
        ...


class Here:
    """One place, in this process."""

    def __init__(self, surroundings: Surroundings, *, device: str) -> None:
        self.surroundings, self.device = surroundings, device
        self.job: Job | None = None

    @property
    def is_free(self) -> bool:
        return self.job is None

    def begin(self, job: Job) -> None:
        self.job = job

    def wait(self, hear: Hear) -> list[Ended]:
        job, self.job = self.job, None
        assert job is not None
        return [run_trial(job, self.surroundings, device=self.device, hear=hear)]

    def close(self) -> None:
        self.job = None


@dataclass(frozen=True)
class Hello:
    """What a process is told first."""

    surroundings: Surroundings
    device: str


@dataclass(frozen=True)
class Heard:
    """What a process says after a validation; the answer is whether its trial is pruned."""

    number: int
    validation: int
    auc: float


@dataclass(frozen=True)
class Broken:
    """What a process says where it cannot go on; of a mistake the message alone, of a fault its trace."""

    message: str
    is_mistake: bool


class Place:
    """A process that runs one trial after another."""

    def __init__(self, surroundings: Surroundings, *, device: str, threads: int, log: Path) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
        environment["PREFECT_API_URL"] = PREFECT_API_URL.value() or ""
        with theirs, log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "flows.search.worker", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is this process's, which ends the others
            )
        self.pipe: Connection = Connection(ours.detach())
        self.log, self.job = log, None  # type: tuple[Path, Job | None]
        self.send(Hello(surroundings, device))

    def send(self, message: Any) -> None:
        with suppress(OSError):  # its end is seen when it is read
            self.pipe.send(message)

    def receive(self) -> Any:
        """What it says.

        Raises:
            InputError: it is gone.
        """
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            code = self.process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            number = "" if self.job is None else f" in trial {self.job.number}"
            raise InputError(
                f"a process that runs trials must not end by itself, one did{number} ({how}; its log is {self.log}); "
                "with SIGKILL memory was short: use fewer --jobs, then run the same command again"
            ) from None

    def close(self) -> None:
        self.pipe.close()  # which ends it too, where it does not get the signal
        with suppress(OSError):
            self.process.terminate()


class Processes:
    """Several places, each a process."""

    def __init__(self, surroundings: Surroundings, *, devices: Sequence[str], threads: int, folder: Path) -> None:
        self.places: list[Place] = []
        try:
            for number, device in enumerate(devices, start=1):
                log = folder / f"process-{number}.log"
                self.places.append(Place(surroundings, device=device, threads=threads, log=log))
        except BaseException:
            self.close()
            raise

    @property
    def is_free(self) -> bool:
        return any(place.job is None for place in self.places)

    def begin(self, job: Job) -> None:
        place = next(place for place in self.places if place.job is None)
        place.job = job
        place.send(job)

    def wait(self, hear: Hear) -> list[Ended]:
        ready, ended = wait([place.pipe for place in self.places if place.job is not None]), []
        for place in self.places:
            if place.pipe in ready:
                message = place.receive()
                if isinstance(message, Heard):
                    place.send(hear(message.number, message.validation, message.auc))
                elif isinstance(message, Broken):
                    raise (InputError if message.is_mistake else RuntimeError)(message.message)
                else:
                    ended.append(message)
                    place.job = None
        return ended

    def close(self) -> None:
        for place in self.places:
            place.close()
        for place in self.places:
            try:
                place.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                place.process.kill()
                place.process.wait()


def slots_for(jobs: int | Literal["auto"], surroundings: Surroundings, *, device: str, folder: Path) -> Slots:
    """The places for so many trials at once.

    Raises:
        InputError: there cannot be so many.
    """
    resolved = resolve_device(device)
    devices = _gpus() if resolved == "cuda" else [resolved]
    cores = usable_cores()
    at_once = max(1, cores // CORES_A_JOB) if jobs == "auto" else jobs
    if jobs == "auto" and resolved.startswith("cuda"):
        at_once = len(devices)
    if not 1 <= at_once <= MOST_JOBS:
        raise InputError(f"--jobs must be auto or from 1 to {MOST_JOBS}; found {jobs}")
    if at_once == 1:
        return Here(surroundings, device=device)
    if at_once > cores:
        raise InputError(f"--jobs must be at most the cores that can be used; found {jobs}, there are {cores}")
    shared = [devices[number % len(devices)] for number in range(at_once)]
    return Processes(surroundings, devices=shared, threads=max(1, cores // at_once), folder=folder)


def _gpus() -> list[str]:
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]

"""Who works in `.mmctr`: locks of the operating system, which go with their process however it ends.

    lock                         shared by every run for its life; `mmctr gc` has it for itself
    locks/begin                  whoever takes or leaves `lock`, for that moment
    locks/runs/<manifest>        a run of the pipeline, for its life
    locks/searches/<name>        a search, for its life
    locks/stages/<stage>-<key>   whoever runs that stage: from the look at its record until the record is written
    locks/champion               whoever compares a model with the champion, or makes another one champion
    locks/models                 whoever fetches files of earlier trainings
    locks/publish                whoever puts files into BASE_PATH

They are taken in this order. From `stages` down a process has at most one stage or the champion, and besides one of
the last two; `begin` is taken with `lock` alone. So no two processes wait for each other. What is written to the files
names processes for messages, and decides nothing. Files that only save time (digests.json, checked.json) need no
lock: each is replaced as a whole, and what one of two writers loses is found out again.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mmctr.common.errors import InputError

LOCKLESS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}  # of a file system without locks
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.5  # seconds between two looks at a lock that another process has
QUIET_SECONDS = 1.0  # of waiting, after which it is said for whom

Say = Callable[[str], None]
logger = logging.getLogger(__name__)


class Locks:
    """The locks of the folder `root`, the `.mmctr` of a BASE_PATH."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def running(self, *, tidy: Callable[[], None]) -> Iterator[None]:
        """Work here beside other runs, and never beside `mmctr gc`, whose end is waited for.

        `tidy` is called where no other run goes on: what is unfinished then was left by processes that were killed.
        """
        with self._opened("lock") as lock:
            with self._held("locks/begin", "begins to work here"):
                is_alone = self._take(lock, fcntl.LOCK_EX)
                if is_alone:
                    self._remove_names()
                    tidy()
                self._wait(lock, fcntl.LOCK_SH, "works here alone")
                _write(lock, [*([] if is_alone else _read(lock)), os.getpid()])
            try:
                yield
            finally:
                with self._held("locks/begin", "begins to work here"):
                    processes = _read(lock)
                    with suppress(ValueError):
                        processes.remove(os.getpid())
                    _write(lock, processes)

    @contextmanager
    def alone(self, *, tidy: Callable[[], None]) -> Iterator[None]:
        """Keep all runs out; those that begin meanwhile wait.

        Raises:
            InputError: runs go on here; the message names their processes.
        """
        with self._opened("lock") as lock:
            with self._held("locks/begin", "begins to work here"):
                if not self._take(lock, fcntl.LOCK_EX):
                    named, several = _named(_read(lock))
                    raise InputError(
                        f"nothing is removed while a run may use it, and in {self.root.parent} {named} "
                        f"{'do' if several else 'does'}; wait until {'they end' if several else 'it ends'}, or stop "
                        f"{'them' if several else 'it'}"
                    )
                self._remove_names()
                tidy()
                _write(lock, [os.getpid()])
            yield

    @contextmanager
    def of_run(self, name: str) -> Iterator[None]:
        """Let others see that the run of this name goes on."""
        with self._held(f"locks/runs/{name}", "goes on"):
            yield
            (self.root / "locks/runs" / name).unlink(missing_ok=True)

    def run_goes_on(self, name: str) -> bool:
        """Whether a process is in a block of `of_run` for this name."""
        try:
            descriptor = os.open(self.root / "locks/runs" / name, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            return not self._take(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    @contextmanager
    def of_search(self, name: str) -> Iterator[None]:
        """Be the one that goes on with a search.

        Raises:
            InputError: another process does; the message names it.
        """
        with self._opened(_search(name)) as descriptor:
            if not self._take(descriptor, fcntl.LOCK_EX):
                raise InputError(
                    f"one process goes on with a search, and {_named(_read(descriptor))[0]} does with {name}; wait for "
                    "its end, or choose another --study; more trials at once are --jobs"
                )
            _write(descriptor, [os.getpid()])
            yield

    @contextmanager
    def search_if_free(self, name: str) -> Iterator[bool]:
        """Be the one that goes on with a search, where nobody is; yields whether that is so."""
        with self._opened(_search(name)) as descriptor:
            yield self._take(descriptor, fcntl.LOCK_EX)

    @contextmanager
    def of_stage(self, stage: str, key: str, *, say: Say) -> Iterator[None]:
        """Be the one that runs a stage for a key."""
        with self._held(_stage(stage, key), f"runs {stage} on the same inputs; its result will be used", say=say):
            yield

    @contextmanager
    def stage_if_free(self, stage: str, key: str) -> Iterator[bool]:
        """Be the one that runs a stage for a key, where nobody is; yields whether that is so."""
        with self._opened(_stage(stage, key)) as descriptor:
            yield self._take(descriptor, fcntl.LOCK_EX)

    @contextmanager
    def of_champion(self) -> Iterator[None]:
        """Be the one that decides which model is the champion."""
        with self._held("locks/champion", "decides which model is the champion"):
            yield

    @contextmanager
    def of_models(self) -> Iterator[None]:
        """Be the one that fetches files of earlier trainings."""
        with self._held("locks/models", "fetches files of earlier trainings"):
            yield

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Be the one that puts files into BASE_PATH."""
        with self._held("locks/publish", "publishes its files"):
            yield

    @contextmanager
    def _held(self, name: str, doing: str, *, say: Say = logger.warning) -> Iterator[None]:
        """Have a lock for a block; `doing` is what its holder does, for those that wait."""
        with self._opened(name) as descriptor:
            self._wait(descriptor, fcntl.LOCK_EX, doing, say=say)
            _write(descriptor, [os.getpid()])
            yield

    def _wait(self, descriptor: int, kind: int, doing: str, *, say: Say = logger.warning) -> None:
        """Wait for a lock in short sleeps, which a signal can end at any time."""
        began, pause, is_said = time.monotonic(), SHORTEST_PAUSE, False
        while not self._take(descriptor, kind):
            if not is_said and time.monotonic() - began > QUIET_SECONDS:
                say(f"waiting for {_named(_read(descriptor))[0]}, which {doing}")
                is_said = True
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _take(self, descriptor: int, kind: int) -> bool:
        """Lock an open file, by whichever of the two kinds of lock its file system knows; False where another has it.

        Raises:
            InputError: the file system knows neither.
        """
        for take in (fcntl.flock, fcntl.lockf):
            try:
                take(descriptor, kind | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):  # the second is what a POSIX lock may raise for the same
                return False
            except OSError as error:
                if error.errno not in LOCKLESS:
                    raise
            else:
                return True
        raise InputError(
            f"two runs must not write to one cache, and the file system of {self.root} knows no locks; mount it with "
            f"locks, or make {self.root.name} a link to a folder on a local disk"
        )

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _remove_names(self) -> None:
        """Remove what there is one of for each run and stage; the caller is alone, so nobody has any of them."""
        for folder in ("runs", "searches", "stages"):
            for path in (self.root / "locks" / folder).glob("*"):
                path.unlink()


def _search(name: str) -> str:
    return f"locks/searches/{name}"


def _stage(stage: str, key: str) -> str:
    return f"locks/stages/{stage}-{key}"


def _read(descriptor: int) -> list[int]:
    """Processes that wrote themselves into a lock's file; of those that shared it, some may have been killed."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    return [int(line) for line in os.read(descriptor, 65_536).split() if line.isdigit()]


def _write(descriptor: int, processes: Sequence[int]) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, "".join(f"{process}\n" for process in processes).encode(), 0)


def _named(processes: Sequence[int]) -> tuple[str, bool]:
    """Those of the processes that are there, in words, and whether they are several."""
    there = sorted({process for process in processes if _is_there(process)}) or list(processes[-1:])
    return f"process{'es' if len(there) > 1 else ''} {', '.join(map(str, there)) or 'unknown'}", len(there) > 1


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

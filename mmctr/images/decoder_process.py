"""A child process that decodes images (`mmctr.images.decoder_child`), and the watch over it.

Shapes: n images of a request, R the model's resolution.

Parent and child talk over the child's standard input and output: a request is one line of JSON, the answer is a line of
JSON for each image, as soon as it is decoded, and then the pixels as bytes. multiprocessing is not used, because its
children import the caller's main module again, which here would bring Prefect and torch into each of them, and because
a child that waits for its input ends by itself when its parent dies.
"""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

import numpy as np
import PIL

import mmctr
from mmctr.common.errors import InputError
from mmctr.images.decoder_child import Reading
from mmctr.images.preprocess import View

PATIENCE = 60.0  # seconds without any work after which a process counts as stopped
IN_THE_KERNEL = 10  # times as long for one that waits for a disk or a network
COMPUTING = 5  # times as many seconds of a processor for one image
IDLE_SHARE = 0.01  # of a processor: who gets less does nothing
FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}

# Each package comes from the very file that the parent took it from. No folder of the parent's path is searched, as the
# current folder or a data folder may be among them; -P and no PYTHONPATH keep them out of the child's own path.
PACKAGES = {package.__name__: str(package.__file__) for package in (np, PIL, mmctr)}
# The kernel ends the child with the thread that started it, also one that is stopped and so never sees its input end.
PROGRAM = """
import json, os, sys
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
except (ImportError, AttributeError, OSError):
    pass
if os.getppid() != int(sys.argv[3]):
    sys.exit()
from importlib.util import module_from_spec, spec_from_file_location
from os.path import dirname
for name, file in json.loads(sys.argv[1]).items():
    spec = spec_from_file_location(name, file, submodule_search_locations=[dirname(file)])
    sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
from mmctr.images.decoder_child import serve
serve()
"""


class DecoderProcess:
    """A process that runs `decoder_child.serve`. One thread at a time may read."""

    def __init__(self, view: View) -> None:
        environment = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON" or name[6:] == "HOME"}
        self.verdict = ""  # why the watch ended the process
        self._complaints = _scratch_file()
        arguments = json.dumps(PACKAGES), json.dumps(asdict(view)), str(os.getpid())
        self.process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-c", PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=environment | {"OPENBLAS_NUM_THREADS": "1"},  # NumPy's threads; there are as many workers instead
        )
        self._paths: Sequence[Path] = ()  # of the request that is being answered
        self._answers = 0  # to all requests
        self._answered = 0  # of this request
        self._looked = (-1, 0.0, 0.0)  # the watch's last look: answers, seconds of a processor, then and at first
        self._idle = 0.0  # seconds without work

    def read(self, paths: Sequence[Path], pixels: np.ndarray) -> list[Reading]:
        """`read_image` in the process for each of `paths`; fills `pixels`, uint8 (n, 3, R, R)."""
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None
        assert isinstance(replies, io.BufferedReader)
        self._answered, self._paths = 0, paths
        try:
            requests.write(json.dumps([os.fspath(path) for path in paths]).encode() + b"\n")
            requests.flush()
            readings = [self._next(replies) for _ in paths]
            if replies.readinto(pixels.data.cast("B")) != pixels.nbytes:
                raise InputError(self._epitaph())
        except BrokenPipeError:
            raise InputError(self._epitaph()) from None
        finally:
            self._paths = ()
        return readings

    def _next(self, replies: io.BufferedReader) -> Reading:
        line = replies.readline()
        if not line.endswith(b"\n"):  # a process that is killed leaves half a line
            raise InputError(self._epitaph())
        reply = json.loads(line)
        if "error" in reply:
            raise InputError(reply["error"])
        if "errno" in reply:
            raise OSError(reply["errno"], os.strerror(reply["errno"]), reply["path"])
        self._answers, self._answered = self._answers + 1, self._answered + 1
        return Reading(**reply)

    def look(self, seconds: float, *, patience: float) -> None:
        """End the process if it neither answers nor works; `seconds` have passed since the last look.

        A stop by a signal and a hang show no work. What works for long on one image is ended, too, but by the time that
        it got of a processor, so that a slow or busy machine changes nothing.
        """
        paths, number, state = self._paths, self._answered, _state(self.process.pid)
        if self.verdict or not paths or state is None:
            self._idle, self._looked = 0.0, (-1, 0.0, 0.0)
            return
        kind, used = state
        answers, before, first = self._looked
        if answers != self._answers:
            self._idle, before, first = 0.0, used, used
        elif used - before <= IDLE_SHARE * seconds:
            self._idle += seconds
        else:
            self._idle = 0.0
        self._looked = (self._answers, used, first)
        path = paths[min(number, len(paths) - 1)]
        if self._idle > patience * (IN_THE_KERNEL if kind == "D" else 1):
            self.verdict = (
                f"Image workers must work until all is read, but one did nothing for {self._idle:.0f} s at {path}: it "
                f"{'was stopped by a signal' if kind in 'Tt' else 'hangs'}, and was ended.\nRun again; what was "
                "computed is kept. `workers=0` decodes in this process."
            )
        elif used - first > COMPUTING * patience:
            self.verdict = (
                f"An image must be decoded in {COMPUTING * patience:.0f} s of a processor's time, but {path} was not."
                "\nTake it out of the images, or put another file in its place. What was computed is kept."
            )
        if self.verdict:
            self.process.kill()

    def _epitaph(self) -> str:
        code = self.process.wait()
        if self.verdict:
            return self.verdict
        self._complaints.seek(0)
        last_line = self._complaints.read().decode(errors="replace").strip().rpartition("\n")[2][:300]
        end = f"was killed by signal {-code}" if code < 0 else f"ended with code {code} {last_line}".rstrip()
        path = self._paths[min(self._answered, len(self._paths) - 1)]
        remedy = "If memory ran out, use fewer `workers` or a lower `max_pixels`; `workers=0` decodes in this process."
        if -code in FAULTS:
            remedy = "That is a fault of the decoder. Take the image out, or put another file in its place."
        return f"Image workers must live until all is read, but one {end} at {path}.\n{remedy}"

    def close(self) -> None:
        """Let go of a process that was killed."""
        for stream in (self.process.stdin, self.process.stdout, self._complaints):
            assert stream is not None
            with suppress(BrokenPipeError):  # a request that was never sent
                stream.close()
        self.process.wait()


class Watch:
    """A thread that looks at processes now and then; `patience` in seconds is how long one may do nothing."""

    def __init__(self, processes: Sequence[DecoderProcess], *, patience: float) -> None:
        self._processes, self._patience = processes, patience
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="image-watch", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        step, last = min(1.0, self._patience / 8), time.monotonic()
        while not self._ended.wait(step):
            now = time.monotonic()
            passed, last = min(now - last, 2 * step), now  # this process may have been stopped itself
            for process in self._processes:
                process.look(passed, patience=self._patience)

    def end(self) -> None:
        """Look no longer."""
        self._ended.set()
        self._thread.join()


def _state(pid: int) -> tuple[str, float] | None:
    """A process's state as one letter, and the seconds that it has computed; None where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _scratch_file() -> IO[bytes]:
    """A file without a name, in memory where the system has such files: the folder for others may be full."""
    try:
        return os.fdopen(os.memfd_create("complaints"), "w+b")
    except (AttributeError, OSError):
        return tempfile.TemporaryFile()

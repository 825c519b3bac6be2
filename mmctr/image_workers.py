"""Images read ahead of the encoder, in worker processes that import neither torch nor the caller's program.

Shapes: n images of a request, b images of a batch, R the model's resolution.

Each worker is a plain child process with a thread here that talks to it over its standard input and output: a request
is one line of JSON, the answer is one line of JSON and then the pixels as bytes. multiprocessing is not used, because
its children import the caller's main module again, which here would bring Prefect and torch into each of them, and
because a child that waits for its input ends by itself when this process dies.
"""

import io
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mmctr.clip_images import UnreadableImage, View, preprocess_image
from mmctr.errors import InputError

CHUNK = 32  # images a worker decodes per request: at R = 224 about 5 MB and a tenth of a second

Failures = list[tuple[int, str]]
Batch = tuple[np.ndarray, np.ndarray, Failures]
Submit = Callable[[Sequence[Path], np.ndarray], Callable[[], Failures]]


def read_images(paths: Sequence[Path], *, view: View, batch_size: int, workers: int) -> Generator[Batch, None, None]:
    """Decode `paths` in order, a few batches ahead of the caller.

    Yields per `batch_size` paths: positions in `paths` of the images read, int64 (b,); their pixels, uint8
    (b, 3, R, R); and (position, reason) for each path whose content is no usable image. The same paths give the same
    batches whatever `workers` is; 0 decodes in this process. Closing the iterator ends the workers, and they end by
    themselves when this process dies. Raises InputError where a file cannot be opened or a worker dies.
    """
    with ExitStack() as stack:
        workers = min(workers, -(-len(paths) // CHUNK))
        submit: Submit
        if workers:
            submit = stack.enter_context(_decoders(workers, view))
            ahead = 2 + workers * CHUNK // batch_size
        else:
            submit, ahead = _decode_here(view), 1
        pending: deque[Callable[[], Batch]] = deque()
        for start in range(0, len(paths), batch_size):
            pending.append(
                _begin_batch(submit, paths, range(start, min(start + batch_size, len(paths))), view.resolution)
            )
            if len(pending) >= ahead:
                yield pending.popleft()()
        while pending:
            yield pending.popleft()()


def _begin_batch(submit: Submit, paths: Sequence[Path], batch: range, resolution: int) -> Callable[[], Batch]:
    """Hand a batch out in chunks; the call returned waits for them and gives what `read_images` yields."""
    pixels = np.empty((len(batch), 3, resolution, resolution), np.uint8)
    chunks = [
        (chunk, submit(paths[chunk[0] : chunk[-1] + 1], pixels[chunk[0] - batch[0] : chunk[-1] + 1 - batch[0]]))
        for chunk in (batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK))
    ]

    def finish() -> Batch:
        failures = [(chunk[row], reason) for chunk, result in chunks for row, reason in result()]
        failed = {position for position, _ in failures}
        good = np.array([position for position in batch if position not in failed], np.int64)
        return good, pixels[good - batch[0]] if failures else pixels, failures

    return finish


def _read_chunk(paths: Sequence[Path], pixels: np.ndarray, view: View) -> Failures:
    """Fill `pixels`, uint8 (n, 3, R, R); gives (row, reason) for the rows that could not be filled."""
    failures = []
    for row, path in enumerate(paths):
        try:
            pixels[row] = preprocess_image(path, view)
        except UnreadableImage as error:
            pixels[row] = 0
            failures.append((row, error.reason))
        except OSError as error:
            raise InputError(
                f"Every listed image must be there while it is embedded, but {path} cannot be opened: "
                f"{error.strerror}.\nExtract the images again."
            ) from error
    return failures


def _decode_here(view: View) -> Submit:
    """The same without workers: a chunk is decoded when its result is asked for."""
    return lambda paths, pixels: lambda: _read_chunk(paths, pixels, view)


@contextmanager
def _decoders(workers: int, view: View) -> Iterator[Submit]:
    """Start worker processes, each with a thread that talks to it; end them on leaving, whatever they are doing."""
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    started: list[_Worker] = []
    threads = ThreadPoolExecutor(workers, thread_name_prefix="image-worker")

    def read(paths: Sequence[Path], pixels: np.ndarray) -> Failures:
        worker = idle.get()
        try:
            return worker.read(paths, pixels)
        finally:
            idle.put(worker)

    try:
        for _ in range(workers):
            started.append(_Worker(view))
            idle.put(started[-1])
        yield lambda paths, pixels: threads.submit(read, paths, pixels).result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in started:
            worker.process.kill()
        threads.shutdown(wait=True)
        for worker in started:
            worker.close()


class _Worker:
    """A process that runs `serve`."""

    def __init__(self, view: View) -> None:
        program = (
            "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from mmctr.image_workers import serve; serve()"
        )
        arguments = [json.dumps(sys.path), json.dumps(asdict(view))]
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.complaints,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},  # NumPy's threads; there are as many workers instead
        )

    def read(self, paths: Sequence[Path], pixels: np.ndarray) -> Failures:
        """`_read_chunk` in the worker: one line of JSON each way, then the pixels as bytes."""
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None
        assert isinstance(replies, io.BufferedReader)
        try:
            requests.write(json.dumps([os.fspath(path) for path in paths]).encode() + b"\n")
            requests.flush()
            line = replies.readline()
        except BrokenPipeError:
            line = b""
        reply = json.loads(line) if line.endswith(b"\n") else None  # a worker that is killed leaves half a line
        if reply is not None and "error" in reply:
            raise InputError(reply["error"])
        if reply is None or replies.readinto(pixels.data.cast("B")) != pixels.nbytes:
            raise InputError(self._epitaph(paths))
        return [(row, reason) for row, reason in reply["failures"]]

    def _epitaph(self, paths: Sequence[Path]) -> str:
        code = self.process.wait()
        self.complaints.seek(0)
        last_line = self.complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        end = f"was killed by signal {-code}" if code < 0 else f"ended with code {code} {last_line}".rstrip()
        return (
            f"Image workers must live until all is read, but one {end} among {len(paths)} images from {paths[0]} on.\n"
            "If memory ran out, use fewer workers or a lower max_pixels; workers=0 decodes in the main process."
        )

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout, self.complaints):
            assert stream is not None
            with suppress(BrokenPipeError):  # a request that was never sent
                stream.close()
        self.process.wait()


def serve() -> None:
    """The worker's side: answer requests on standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the main process ends the workers
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a decoder prints must not fall among the replies
    view = View(**json.loads(sys.argv[2]))
    for line in sys.stdin.buffer:
        paths = [Path(path) for path in json.loads(line)]
        pixels = np.empty((len(paths), 3, view.resolution, view.resolution), np.uint8)
        try:
            failures = _read_chunk(paths, pixels, view)
        except InputError as error:
            replies.write(json.dumps({"error": str(error)}).encode() + b"\n")
        else:
            replies.write(json.dumps({"failures": failures}).encode() + b"\n")
            replies.write(pixels.data.cast("B"))
        replies.flush()

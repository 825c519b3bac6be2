"""Images read ahead of the encoder, in child processes (`mmctr.images.decoder_process`), each with its thread.

Shapes: n images of a request, b images of a batch, R the model's resolution.
"""

import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmctr.images.decoder_child import Reading, read_image
from mmctr.images.decoder_process import PATIENCE, DecoderProcess, Watch
from mmctr.images.preprocess import View

CHUNK = 32  # images a worker decodes per request: at R = 224 about 5 MB and a tenth of a second

Submit = Callable[[Sequence[Path], np.ndarray], Callable[[], list[Reading]]]


@dataclass(frozen=True)
class Batch:
    """What became of some consecutive paths; a position is one in the list of all paths."""

    positions: np.ndarray  # int64 (b,), of the images read
    pixels: np.ndarray  # uint8 (b, 3, R, R), theirs
    failures: list[tuple[int, str]]  # position and reason of each path whose content is no usable image
    sha256: list[str]  # of the very bytes that were decoded, or found unusable, for each path of the batch


def read_images(
    paths: Sequence[Path], *, view: View, batch_size: int, workers: int, patience: float = PATIENCE
) -> Generator[Batch, None, None]:
    """Decode `paths` in order, a few batches ahead of the caller.

    Yields a Batch per `batch_size` paths. The batches do not depend on `workers`; 0 decodes in this process. Closing
    the iterator ends the workers, and they end with the thread that asked for the first batch. Raises InputError where
    a file is gone, where a worker dies, or where it does nothing for `patience` seconds; OSError where the machine does
    not let a file be read.
    """
    with ExitStack() as stack:
        workers = min(workers, -(-len(paths) // CHUNK))
        submit: Submit
        if workers:
            submit = stack.enter_context(_decoders(workers, view, patience=patience))
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
    """Hand a batch out in chunks; the call returned waits for them."""
    pixels = np.empty((len(batch), 3, resolution, resolution), np.uint8)
    chunks = [
        submit(paths[chunk[0] : chunk[-1] + 1], pixels[chunk[0] - batch[0] : chunk[-1] + 1 - batch[0]])
        for chunk in (batch[start : start + CHUNK] for start in range(0, len(batch), CHUNK))
    ]

    def finish() -> Batch:
        readings = [reading for result in chunks for reading in result()]
        good = np.array([reading.reason == "" for reading in readings], bool)
        failures = [(position, reading.reason) for position, reading in zip(batch, readings, strict=True)]
        return Batch(
            positions=batch[0] + np.flatnonzero(good),
            pixels=pixels if good.all() else pixels[good],
            failures=[(position, reason) for position, reason in failures if reason],
            sha256=[reading.sha256 for reading in readings],
        )

    return finish


def _decode_here(view: View) -> Submit:
    """The same without workers: a chunk is decoded when its result is asked for."""
    return lambda paths, pixels: lambda: [read_image(path, view, row) for path, row in zip(paths, pixels, strict=True)]


@contextmanager
def _decoders(workers: int, view: View, *, patience: float) -> Iterator[Submit]:
    """Start worker processes, each with a thread that talks to it; end them on leaving, whatever they are doing."""
    idle: queue.SimpleQueue[DecoderProcess] = queue.SimpleQueue()
    started: list[DecoderProcess] = []
    threads = ThreadPoolExecutor(workers, thread_name_prefix="image-worker")
    watch = None

    def read(paths: Sequence[Path], pixels: np.ndarray) -> list[Reading]:
        worker = idle.get()
        try:
            return worker.read(paths, pixels)
        finally:
            idle.put(worker)

    try:
        for _ in range(workers):
            started.append(DecoderProcess(view))
            idle.put(started[-1])
        watch = Watch(started, patience=patience)
        yield lambda paths, pixels: threads.submit(read, paths, pixels).result
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        if watch is not None:
            watch.end()
        for worker in started:
            worker.process.kill()
        threads.shutdown(wait=True)
        for worker in started:
            worker.close()

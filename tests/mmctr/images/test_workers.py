"""Images read by worker processes: the same batches as without, and no worker outlives or hangs its caller."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_clip import picture

from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256
from mmctr.images import decoder_child, decoder_process
from mmctr.images.decoder_child import read_image
from mmctr.images.preprocess import View, preprocess_image
from mmctr.images.workers import read_images

R = 32


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """100 files, of which number 7 is empty and number 70 a web page."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(100):
        picture(number).save(folder / f"{number}.jpg")
    (folder / "7.jpg").write_bytes(b"")
    (folder / "70.jpg").write_text("<html>")
    return [folder / f"{number}.jpg" for number in range(100)]


def test_batches_hold_the_images_and_the_failures_by_position(paths: list[Path]) -> None:
    batches = list(read_images(paths, view=View(R), batch_size=64, workers=0))
    assert [len(batch.positions) + len(batch.failures) for batch in batches] == [64, 36]
    assert batches[0].failures == [(7, "empty file")]
    assert batches[1].failures == [(70, "not an image in a known format")]
    assert [digest for batch in batches for digest in batch.sha256] == [file_sha256(path) for path in paths]
    for batch in batches:
        assert batch.pixels.dtype == np.uint8
        for position, image in zip(batch.positions, batch.pixels, strict=True):
            np.testing.assert_array_equal(image, preprocess_image(paths[position], View(R)))


def test_workers_change_nothing(paths: list[Path]) -> None:
    expected = list(read_images(paths, view=View(R), batch_size=24, workers=0))
    found = list(read_images(paths, view=View(R), batch_size=24, workers=2))
    assert len(found) == len(expected) == 5
    for batch, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(batch.positions, other.positions)
        np.testing.assert_array_equal(batch.pixels, other.pixels)
        assert (batch.failures, batch.sha256) == (other.failures, other.sha256)


def test_workers_are_told_of_the_view(tmp_path: Path) -> None:
    picture(0, width=640, height=360).save(tmp_path / "large.jpg")
    view = View(R, max_pixels=640 * 360, jpeg_draft=True)
    [batch] = read_images([tmp_path / "large.jpg"], view=view, batch_size=8, workers=1)
    np.testing.assert_array_equal(batch.pixels[0], preprocess_image(tmp_path / "large.jpg", view))
    assert (batch.pixels[0] != preprocess_image(tmp_path / "large.jpg", View(R))).any()
    [batch] = read_images([tmp_path / "large.jpg"], view=View(R, max_pixels=9), batch_size=8, workers=1)
    assert batch.failures == [(0, "more than 9 pixels")]


def test_nothing_to_read() -> None:
    assert list(read_images([], view=View(R), batch_size=8, workers=2)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_failures_only(paths: list[Path], workers: int) -> None:
    [batch] = read_images([paths[7], paths[70]], view=View(R), batch_size=8, workers=workers)
    assert batch.positions.shape == (0,)
    assert batch.pixels.shape == (0, 3, R, R)
    assert [position for position, _ in batch.failures] == [0, 1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_gone_is_an_input_error(paths: list[Path], tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError, match=r"absent.jpg cannot be opened: No such file.*\nExtract the images again"):
        list(read_images([paths[0], tmp_path / "absent.jpg"], view=View(R), batch_size=8, workers=workers))


def children() -> set[int]:
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def test_closing_early_ends_the_workers(paths: list[Path]) -> None:
    before = children()
    batches = read_images(paths, view=View(R), batch_size=8, workers=2)
    next(batches)
    assert len(children() - before) == 2
    batches.close()
    assert children() == before


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(signal.SIGKILL, "use fewer `workers`"), (signal.SIGSEGV, "a fault of the decoder. Take the")],
)
def test_a_killed_worker_is_reported_and_nothing_hangs(paths: list[Path], number: signal.Signals, remedy: str) -> None:
    before = children()
    batches = read_images(paths * 3, view=View(R), batch_size=8, workers=1)
    next(batches)
    [worker] = children() - before
    os.kill(worker, number)
    with pytest.raises(InputError, match=rf"one was killed by signal {int(number)} at .*\n.*{remedy}"):
        list(batches)
    assert children() == before


def test_a_worker_that_cannot_start_is_reported(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_process, "PROGRAM", "import no_such_module")
    with pytest.raises(InputError, match="one ended with code 1 ModuleNotFoundError"):
        list(read_images(paths, view=View(R), batch_size=8, workers=1))


@pytest.mark.parametrize("moment", ["before it answers", "among its images"])
def test_a_worker_that_is_stopped_is_ended_and_named(paths: list[Path], tmp_path: Path, moment: str) -> None:
    """A debugger, a batch system or a user can do that; the run must not wait for ever and in silence."""
    before = children()
    batches = read_images(paths * 3, view=View(R), batch_size=8, workers=1, patience=1.5)
    if moment == "among its images":
        next(batches)
        [worker] = children() - before
    else:
        os.mkfifo(tmp_path / "fifo.jpg")  # nobody writes to it, so it waits there
        batches = read_images([tmp_path / "fifo.jpg"], view=View(R), batch_size=8, workers=1, patience=1.5)
    if moment == "among its images":
        os.kill(worker, signal.SIGSTOP)
        words = r"one did nothing for \d+ s at .*\.jpg: it was stopped by a signal, and was ended.\nRun again"
    else:
        words = r"one did nothing for \d+ s at .*fifo.jpg: it hangs, and was ended"
    with pytest.raises(InputError, match=words):
        list(batches)
    assert children() == before


def test_a_worker_that_computes_without_end_is_ended(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time that it got of a processor, so that a slow machine changes nothing."""
    before = children()
    monkeypatch.setattr(decoder_process, "PROGRAM", "while True: pass")
    with pytest.raises(InputError, match=r"decoded in 2 s of a processor's time, but .*0.jpg was not.\nTake it out"):
        list(read_images(paths, view=View(R), batch_size=8, workers=1, patience=0.4))
    assert children() == before


def test_a_worker_that_works_slowly_is_let_alone(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is one image, and not all of a request."""
    slow = decoder_process.PROGRAM.replace(
        "from mmctr.images.decoder_child import serve",
        "import time\nfrom mmctr.images import decoder_child as at\nread, serve = at.read_image, at.serve\n"
        "at.read_image = lambda *of: (time.sleep(0.12), read(*of))[1]",
    )
    monkeypatch.setattr(decoder_process, "PROGRAM", slow)
    [batch] = read_images(paths[:32], view=View(R), batch_size=32, workers=1, patience=2)
    assert len(batch.sha256) == 32


@pytest.mark.parametrize("place", ["", ".", "absolute"])
def test_nothing_is_imported_from_the_current_folder(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """However it got into the caller's own path: `python -m`, a notebook, PYTHONPATH."""
    for name in ("json", "numpy", "PIL", "mmctr", "hashlib", "signal", "sitecustomize", "usercustomize", "defusedxml"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'a').write('{name} ')")
    monkeypatch.chdir(tmp_path)
    entry = str(tmp_path) if place == "absolute" else place
    monkeypatch.syspath_prepend(entry)
    monkeypatch.setenv("PYTHONPATH", entry)
    [batch] = read_images(paths[:4], view=View(R), batch_size=8, workers=1)
    assert len(batch.positions) == 4
    assert not (tmp_path / "run").exists(), (tmp_path / "run").read_text()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("OSError(5, 'Input/output error')", OSError, "Input/output error"),
        ("PermissionError(13, 'Permission denied')", PermissionError, "Permission denied"),
        ("MemoryError()", InputError, "Memory must suffice"),
    ],
)
def test_a_fault_of_the_machine_is_no_unreadable_image(
    paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    fault: str,
    error: type[Exception],
    words: str,
) -> None:
    """It says nothing about the bytes, so it must not be kept for them; another try may go well."""
    program = (
        "import mmctr.images.decoder_child as at\ndef fail(*_): raise {}\n"
        "at.preprocess_image = fail\nfrom mmctr.images.decoder_child import serve"
    )
    broken = decoder_process.PROGRAM.replace("from mmctr.images.decoder_child import serve", program.format(fault))
    monkeypatch.setattr(decoder_process, "PROGRAM", broken)

    def fail(*_: object) -> None:
        raise eval(fault)

    monkeypatch.setattr(decoder_child, "preprocess_image", fail)
    with pytest.raises(error, match=words) as raised:
        list(read_images(paths, view=View(R), batch_size=8, workers=workers))
    assert str(paths[0]) in str(raised.value)


def test_the_digest_is_that_of_the_bytes_that_were_decoded(paths: list[Path], tmp_path: Path) -> None:
    """The file is read once; what is written there afterwards changes nothing."""
    reads = []

    class Once(type(tmp_path)):
        def read_bytes(self) -> bytes:
            reads.append(self)
            return paths[len(reads)].read_bytes()

    pixels = np.empty((3, R, R), np.uint8)
    assert read_image(Once(tmp_path), View(R), pixels).sha256 == file_sha256(paths[1])
    assert len(reads) == 1
    np.testing.assert_array_equal(pixels, preprocess_image(paths[1], View(R)))


READER = """
import sys
from pathlib import Path
from mmctr.images.preprocess import View
from mmctr.images.workers import read_images
for _ in read_images([Path(p) for p in sys.argv[1:]] * 200, view=View(224), batch_size=8, workers=2):
    print(open("/proc/self/task/%d/children" % __import__("os").getpid()).read(), flush=True)
"""


@pytest.mark.parametrize(("end", "stopped"), [(signal.SIGINT, False), (signal.SIGKILL, False), (signal.SIGKILL, True)])
def test_no_worker_outlives_its_caller(paths: list[Path], end: signal.Signals, stopped: bool) -> None:
    """Ctrl-C, which reaches the workers too, and a caller that is killed without a word, with workers that stand."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with reader:
        workers = [int(pid) for pid in reader.stdout.readline().split()]
        assert len(workers) == 2
        for pid in workers if stopped else []:
            os.kill(pid, signal.SIGSTOP)
        if end == signal.SIGINT:
            os.killpg(reader.pid, end)
        else:
            reader.kill()
        reader.stdout.close()
        assert reader.wait(timeout=20) != 0
    deadline = time.monotonic() + 20
    while any(running(pid) for pid in workers):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.05)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_import_no_torch() -> None:
    program = "import sys, mmctr.images.workers, mmctr.images.decoder_process\n"
    program += "print('torch' in sys.modules, 'polars' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    assert answer.stdout.split() == [b"False", b"False"]

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

from mmctr import image_workers
from mmctr.clip_images import View, preprocess_image
from mmctr.errors import InputError
from mmctr.image_workers import read_images

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
    assert [len(positions) + len(failures) for positions, _, failures in batches] == [64, 36]
    assert batches[0][2] == [(7, "empty file")]
    assert batches[1][2] == [(70, "not an image in a known format")]
    for positions, pixels, _ in batches:
        assert pixels.dtype == np.uint8
        for position, image in zip(positions, pixels, strict=True):
            np.testing.assert_array_equal(image, preprocess_image(paths[position], View(R)))


def test_workers_change_nothing(paths: list[Path]) -> None:
    expected = list(read_images(paths, view=View(R), batch_size=24, workers=0))
    found = list(read_images(paths, view=View(R), batch_size=24, workers=2))
    assert len(found) == len(expected) == 5
    for (positions, pixels, failures), (positions_too, pixels_too, failures_too) in zip(expected, found, strict=True):
        np.testing.assert_array_equal(positions, positions_too)
        np.testing.assert_array_equal(pixels, pixels_too)
        assert failures == failures_too


def test_workers_are_told_of_the_view(tmp_path: Path) -> None:
    picture(0, width=640, height=360).save(tmp_path / "large.jpg")
    view = View(R, max_pixels=640 * 360, jpeg_draft=True)
    [(_, pixels, _)] = read_images([tmp_path / "large.jpg"], view=view, batch_size=8, workers=1)
    np.testing.assert_array_equal(pixels[0], preprocess_image(tmp_path / "large.jpg", view))
    assert (pixels[0] != preprocess_image(tmp_path / "large.jpg", View(R))).any()
    [(_, _, failures)] = read_images([tmp_path / "large.jpg"], view=View(R, max_pixels=9), batch_size=8, workers=1)
    assert failures == [(0, "more than 9 pixels")]


def test_nothing_to_read() -> None:
    assert list(read_images([], view=View(R), batch_size=8, workers=2)) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_of_failures_only(paths: list[Path], workers: int) -> None:
    [(positions, pixels, failures)] = read_images([paths[7], paths[70]], view=View(R), batch_size=8, workers=workers)
    assert positions.shape == (0,)
    assert pixels.shape == (0, 3, R, R)
    assert [position for position, _ in failures] == [0, 1]


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


def test_a_killed_worker_is_reported_and_nothing_hangs(paths: list[Path]) -> None:
    before = children()
    batches = read_images(paths * 3, view=View(R), batch_size=8, workers=1)
    next(batches)
    [worker] = children() - before
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(InputError, match=r"one was killed by signal 9 among .*\n.*use fewer workers"):
        list(batches)
    assert children() == before


def test_a_worker_that_cannot_start_is_reported(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_workers.sys, "path", [])
    with pytest.raises(InputError, match="one ended with code 1 ModuleNotFoundError"):
        list(read_images(paths, view=View(R), batch_size=8, workers=1))


READER = """
import sys
from pathlib import Path
from mmctr.clip_images import View
from mmctr.image_workers import read_images
for _ in read_images([Path(p) for p in sys.argv[1:]] * 200, view=View(224), batch_size=8, workers=2):
    print(open("/proc/self/task/%d/children" % __import__("os").getpid()).read(), flush=True)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_caller(paths: list[Path], end: signal.Signals) -> None:
    """Ctrl-C, which reaches the workers too, and a caller that is killed without a word."""
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
    program = "import sys, mmctr.image_workers; print('torch' in sys.modules, 'polars' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    assert answer.stdout.split() == [b"False", b"False"]

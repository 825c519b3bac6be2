"""Fixtures of the tests that encode with a tiny CLIP; a module takes them with `pytest_plugins`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_clip import save_tiny_clip

from mmctr.encoders.clip import ClipEncoder, load_clip


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from more threads, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny.pt")


@pytest.fixture(scope="module")
def encoder(checkpoint: Path) -> ClipEncoder:
    return load_clip(str(checkpoint), device="cpu")

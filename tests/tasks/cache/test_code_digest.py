"""Which code and packages count for a stage's key."""

from pathlib import Path

import pytest

import tasks.cache.code_digest
from tasks.cache.code_digest import code_digest, reached_modules


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Modules by name, as a test writes them."""
    written: dict[str, Path] = {}

    def write(module: str, text: str) -> None:
        written[module] = tmp_path / f"{module}.py"
        written[module].write_text(text)

    monkeypatch.setattr("tasks.cache.code_digest._file", lambda module: written[module])
    monkeypatch.setattr("tasks.cache.code_digest._is_library_module", lambda name: name in written)
    code_digest.cache_clear()
    write("mmctr", "")
    yield write
    code_digest.cache_clear()


@pytest.mark.parametrize("line", ["import pandas", "from pandas.core import frame", "def late():\n    import pandas"])
def test_a_package_that_nobody_listed_is_an_error_wherever_it_is_imported(sources, line):
    sources("mmctr.library", line)
    sources("tasks.cache.stage", "from mmctr.library import anything")
    with pytest.raises(
        RuntimeError, match=r"mmctr.library imports pandas; add it to DISTRIBUTIONS if .* or to NEUTRAL"
    ):
        code_digest("tasks.cache.stage")


def test_listed_packages_and_those_of_python_are_none(sources):
    listed = [*tasks.cache.code_digest.DISTRIBUTIONS, *tasks.cache.code_digest.NEUTRAL, "json", "os.path", "__future__"]
    sources("tasks.cache.stage", "\n".join(f"import {name}" for name in listed))
    assert len(code_digest("tasks.cache.stage")) == 64


def test_reached_modules_are_those_of_the_library_with_their_packages():
    reached = reached_modules("tasks.tracking.scorer")
    assert {"mmctr", "mmctr.models", "mmctr.models.checkpoint", "mmctr.common.errors"} <= reached
    assert not any(name.startswith(("tasks", "mmctr.demo", "mmctr.images", "mmctr.training")) for name in reached)

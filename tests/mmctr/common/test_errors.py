"""Whose mistake an error is, and what a memory that is garbage remembers."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.run.inputs import _remembered
from mmctr.common.errors import as_input_error, causes
from mmctr.common.files import read_json, remember_json
from tasks.cache.public_files import published
from tasks.cache.workspace import Workspace
from tasks.running.retry import is_transient

DENIED = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/data/file")


def raised(call: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as error:  # noqa: PT011 whatever it raises
        call()
    return error.value


def in_module(name: str, code: str) -> Callable[[], object]:
    """A function `handle` of a module with this name."""
    namespace = {"__name__": name, "DENIED": DENIED}
    exec(code, namespace)
    return namespace["handle"]


HANDLER = """
def fail():
    raise DENIED.with_traceback(None)

def handle():
    try:
        fail()
    except OSError{as_error}:
        raise KeyError("a fault"){from_what}
"""


@pytest.mark.parametrize("name", ["mmctr.common.files", "tasks.embed", "flows.cli.main", "__main__"])
def test_a_fault_of_ours_while_a_mistake_was_handled_is_a_fault(name: str) -> None:
    error = raised(in_module(name, HANDLER.format(as_error="", from_what="")))
    assert list(causes(error)) == [error]
    assert as_input_error(error) is None
    assert not is_transient(error)


def test_what_we_raise_from_a_mistake_and_what_a_library_makes_of_it_is_the_mistake() -> None:
    ours = raised(in_module("tasks.embed", HANDLER.format(as_error=" as error", from_what=" from error")))
    library = raised(in_module("requests.adapters", HANDLER.format(as_error="", from_what="")))
    for error in (ours, library):
        assert "cannot use /data/file: Permission denied" in str(as_input_error(error))
    hidden = raised(in_module("requests.adapters", HANDLER.format(as_error="", from_what=" from None")))
    assert as_input_error(hidden) is None


def test_a_fault_in_the_clean_up_of_a_context_of_ours_is_a_fault() -> None:
    code = """
from contextlib import contextmanager

@contextmanager
def replacing():
    try:
        yield
    except OSError:
        raise KeyError("a fault")

def handle():
    with replacing():
        raise DENIED.with_traceback(None)
"""
    assert as_input_error(raised(in_module("mmctr.common.files", code))) is None


GARBAGE = [
    *(b"", b"\xff", b"[1]", b"null", b"{", b'{"a": 1}', b'{"a": {}}', b'"x"', b"1" * 10_000, b'{"\\ud800": [1]}'),
    *(b"[" * 200_000, b'{"a":' * 100_000),
]


@pytest.mark.parametrize("content", [*GARBAGE, None], ids=lambda content: str(content)[:12])
def test_a_memory_that_is_garbage_or_a_folder_remembers_nothing(tmp_path: Path, content: bytes | None) -> None:
    workspace = Workspace(tmp_path)
    workspace.root.mkdir()
    (tmp_path / "file").write_bytes(b"content")
    os.utime(tmp_path / "file", (1, 1))
    for name in ("digests.json", "checked.json", "published.json"):
        path = workspace.root / name
        path.mkdir() if content is None else path.write_bytes(content)
    assert _remembered(tmp_path).get("inputs") is None
    assert published(workspace) is None
    assert workspace.file_ref(tmp_path / "file") == Workspace(tmp_path).file_ref(tmp_path / "file")


def test_a_memory_is_kept_where_it_can_be_and_said_where_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    remember_json(tmp_path / "kept", {"a": [1]})
    assert read_json(tmp_path / "kept") == {"a": [1]} == json.loads((tmp_path / "kept").read_text())
    (tmp_path / "folder").mkdir()
    remember_json(tmp_path / "folder", {})
    assert "folder cannot be written, so it is not remembered" in caplog.text
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["folder", "kept"]

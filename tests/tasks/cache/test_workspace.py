"""What was read is what is named; digests are remembered when that is safe; the locks are there on any file system."""

import errno
import fcntl
import json
import os
import time
from types import SimpleNamespace

import pytest

import mmctr.common.files
import tasks.cache.workspace
from mmctr.common.errors import InputError
from mmctr.common.files import remember_json
from tasks.cache.workspace import Workspace

CHANGED = r"inputs must stay as they are while a run reads them; input changed meanwhile"


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    (tmp_path / "input").write_bytes(b"named")
    return Workspace(tmp_path)


def put_back(path) -> None:
    """Another file in its place for a moment."""
    path.rename(path.with_name("aside"))
    path.write_bytes(b"other")
    path.with_name("aside").replace(path)


def overwritten_and_back(path) -> None:
    content, status = path.read_bytes(), path.stat()
    path.write_bytes(b"other")
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [put_back, overwritten_and_back, lambda path: path.unlink()])
def test_a_file_that_changes_while_it_is_read_is_refused_even_if_it_is_put_back(workspace, change):
    ref = workspace.file_ref(workspace.base_path / "input")
    time.sleep(0.02)  # a change within the clock's tick has the same time

    def read():
        with workspace.reading(ref) as path:
            change(path)

    with pytest.raises(InputError, match=CHANGED):
        read()


def test_what_a_reader_says_of_a_file_that_was_replaced_is_not_what_the_user_is_told(workspace):
    ref = workspace.file_ref(workspace.base_path / "input")

    def read():
        with workspace.reading(ref) as path:
            path.write_bytes(b"half")
            raise InputError("download it again")

    with pytest.raises(InputError, match=CHANGED):
        read()

    def fail():
        with workspace.reading(workspace.file_ref(workspace.base_path / "input")):
            raise InputError("download it again")

    with pytest.raises(InputError, match="download it again"):
        fail()


def test_a_file_with_another_content_is_refused_before_it_is_read(workspace):
    ref = workspace.file_ref(workspace.base_path / "input")
    (workspace.base_path / "input").write_bytes(b"other")
    with pytest.raises(InputError, match=CHANGED), workspace.reading(ref):
        pytest.fail("it was given to a reader")


def test_a_file_may_be_read_by_many_and_touched_before_and_after(workspace):
    path = workspace.base_path / "input"
    ref = workspace.file_ref(path)
    os.utime(path)
    with workspace.reading(ref) as first, workspace.reading(ref) as second:
        assert first.read_bytes() == second.read_bytes() == b"named"
    path.write_bytes(b"other")


# Digests


@pytest.fixture
def clock(monkeypatch):
    """Seconds by which this process's clock differs from that of the file system, and which files were read."""
    found = SimpleNamespace(ahead=0.0, read=[])
    original = tasks.cache.workspace.file_sha256

    def counted(path):
        found.read.append(path.name)
        return original(path)

    monkeypatch.setattr(tasks.cache.workspace, "file_sha256", counted)
    real = time.time_ns
    monkeypatch.setattr(tasks.cache.workspace.time, "time_ns", lambda: real() + int(found.ahead * 1e9))
    return found


def digest(workspace: Workspace) -> str:
    """By a new process, so to say."""
    return Workspace(workspace.base_path).file_ref(workspace.base_path / "input").sha256


def test_a_young_file_is_read_again_and_an_old_one_is_not(workspace, clock):
    digest(workspace)
    digest(workspace)
    assert len(clock.read) == 2
    clock.ahead = 3
    digest(workspace)
    digest(workspace)
    assert len(clock.read) == 3


def test_a_modification_time_in_the_future_does_not_matter(workspace, clock):
    later = time.time() + 2 * 86_400
    os.utime(workspace.base_path / "input", (later, later))
    clock.ahead = 3
    first = digest(workspace)
    assert (digest(workspace), len(clock.read)) == (first, 1)


def test_after_the_clock_was_set_back_a_digest_counts_from_the_second_look_on(workspace, clock):
    clock.ahead = -3600
    first = digest(workspace)
    clock.ahead += 1
    digest(workspace)
    assert len(clock.read) == 2, "it may have changed again within the same tick"
    clock.ahead += 3
    assert (digest(workspace), len(clock.read)) == (first, 3)
    assert (digest(workspace), len(clock.read)) == (first, 3)
    (workspace.base_path / "input").write_bytes(b"other")
    assert digest(workspace) != first


def test_a_file_that_changes_while_it_is_read_is_not_remembered(workspace, clock, monkeypatch):
    """The time that reading takes does not make a file old."""

    def slow(_):
        clock.ahead += 10
        return "0" * 64

    monkeypatch.setattr(tasks.cache.workspace, "file_sha256", slow)
    assert digest(workspace) == "0" * 64
    assert not (workspace.root / "digests.json").exists()


@pytest.mark.parametrize("entry", [[1, 2, 3, 4], ["1", 2, 3, 4, "d"], [1, 2, 3, 4, 5], [1, 2, 3, 4, "d", "e"], {}])
def test_an_entry_that_is_none_is_not_remembered(workspace, clock, entry):
    workspace.root.mkdir()
    (workspace.root / "digests.json").write_text(json.dumps({"input": entry}))
    assert len(digest(workspace)) == 64


# The lock


def without(monkeypatch, *kinds):
    for kind in kinds:

        def unsupported(*_):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr(fcntl, kind, unsupported)


def test_a_file_system_without_one_kind_of_lock_has_the_other(workspace, monkeypatch):
    without(monkeypatch, "flock")
    with workspace.running():
        child = os.fork()
        if child == 0:
            try:
                with Workspace(workspace.base_path).alone():
                    os._exit(1)
            except InputError as refused:
                os._exit(0 if f"process {os.getppid()} does" in str(refused) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with workspace.alone():
        pass


def test_a_file_system_without_any_lock_is_named_with_a_remedy(workspace, monkeypatch):
    without(monkeypatch, "flock", "lockf")
    with (
        pytest.raises(InputError, match=r"knows no locks; mount it with locks, or make \.mmctr a link"),
        workspace.running(),
    ):
        pass


def test_a_digest_that_is_being_remembered_may_be_cleared_away(workspace, monkeypatch):
    """`retrain` remembers digests without the lock, while a run that begins removes partial files."""
    sync_file = mmctr.common.files.sync_file

    def begins(partial):
        with workspace.running():
            assert not partial.exists()
        sync_file(partial)

    monkeypatch.setattr(mmctr.common.files, "sync_file", begins)
    remember_json(workspace.root / "digests.json", {})
    assert {path.name for path in workspace.root.iterdir()} == {"lock", "locks"}

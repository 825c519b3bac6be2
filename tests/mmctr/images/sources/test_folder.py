"""A folder of images that stay where they are: nothing is followed out of it, and nothing is read twice."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from archives import A, B
from sources import make, read

import mmctr.images.in_place
from mmctr.common.errors import InputError
from mmctr.images.extract import check_images
from mmctr.images.in_place import in_place_digest, index_folder
from mmctr.images.member import Member
from mmctr.images.sources.folder import FolderStream

FILES = {"a/1.jpg": A, "b/2.png": B, "notes.txt": b"words", "b/._2.png": b"companion"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make("folder", tmp_path, FILES)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read, of whatever age."""
    names: list[str] = []
    monkeypatch.setattr(mmctr.images.in_place, "SETTLED_NS", -(1 << 62))
    plain = FolderStream.read

    def listened(stream: FolderStream, member: Member) -> bytes:
        names.append(member.name)
        return plain(stream, member)

    monkeypatch.setattr(FolderStream, "read", listened)
    return names


def rename_over(path: Path) -> None:
    """Another file of the same size and modification time takes the place of the one at `path`."""
    state = path.stat()
    other = path.with_name("other")
    other.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)


def test_what_is_in_it(folder):
    index = index_folder(folder, progress=False)
    assert index.manifest["file_name"].to_list() == ["a/1.jpg", "b/2.png"]
    assert index.manifest["sha256"].to_list() == [hashlib.sha256(content).hexdigest() for content in (A, B)]
    assert index.manifest["image"].to_list() == ["1", "2"]
    assert index.report.not_items.first == ("b/._2.png", "notes.txt")


@pytest.mark.parametrize("names", ["integer", "text", "path"])
def test_the_digest_is_that_of_all_images_however_they_are_named(names, folder, tmp_path):
    digest = index_folder(folder, names=names, progress=False).digest
    assert digest == index_folder(folder, progress=False).digest
    (folder / "more.txt").write_bytes(b"no image")
    (folder / "._1.jpg").write_bytes(b"companion")
    os.utime(folder / "a/1.jpg")
    assert index_folder(folder, names=names, progress=False).digest == digest
    moved = folder.rename(tmp_path / "moved")
    assert index_folder(moved, names=names, progress=False).digest == digest


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a/1.jpg").write_bytes(A[:-1]),
        lambda folder: rename_over(folder / "a/1.jpg"),
        lambda folder: (folder / "a/1.jpg").rename(folder / "a/3.jpg"),
        lambda folder: (folder / "a").rename(folder / "c"),
        lambda folder: (folder / "shoe.jpg").write_bytes(A),
        lambda folder: (folder / "b/2.png").unlink(),
        lambda folder: (folder / "b/2.png").rename(folder / "b/2.txt"),
    ],
)
def test_the_digest_sees_every_change(change: Callable[[Path], object], folder, tmp_path, reads):
    memory = tmp_path / "memory.parquet"
    digest = index_folder(folder, memory=memory, progress=False).digest
    assert index_folder(folder, memory=memory, progress=False).digest == digest
    change(folder)
    assert index_folder(folder, memory=memory, progress=False).digest != digest


def test_what_has_not_changed_is_not_read_again(folder, tmp_path, reads):
    memory = tmp_path / "memory.parquet"
    index_folder(folder, memory=memory, progress=False)
    assert reads == ["a/1.jpg", "b/2.png"]
    reads.clear()
    for names in ("integer", "text", "path"):
        index_folder(folder, names=names, memory=memory, progress=False)
    assert reads == []
    (folder / "b/2.png").write_bytes(b"other")
    index_folder(folder, memory=memory, progress=False)
    assert reads == ["b/2.png"]


def test_a_young_file_is_not_remembered(folder, tmp_path):
    """It may change once more without another time."""
    memory = tmp_path / "memory.parquet"
    index_folder(folder, memory=memory, progress=False)
    assert not memory.exists()


@pytest.mark.parametrize("content", [b"", b"\xff", b"PAR1" * 9, None, "a folder"])
def test_a_memory_is_garbage(content, folder, tmp_path, reads):
    memory = tmp_path / "memory.parquet"
    digest = index_folder(folder, memory=memory, progress=False).digest
    memory.unlink()
    if content is None:
        pl.DataFrame({"path": ["a/1.jpg"]}).write_parquet(memory)
    elif isinstance(content, str):
        memory.mkdir()
    else:
        memory.write_bytes(content)
    reads.clear()
    assert index_folder(folder, memory=memory, progress=False).digest == digest
    assert len(reads) == 2


def test_links_are_reported_and_not_followed(tmp_path):
    folder = make("folder", tmp_path, {"1.jpg": A})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/3.jpg").write_bytes(b"secret")
    (folder / "2.jpg").symlink_to(tmp_path / "outside/3.jpg")
    (folder / "more").symlink_to(tmp_path / "outside")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "4.jpg")
    report, found = read(folder, folder.parent / "images")
    assert found == {"1": A}
    assert report.not_items.first == (
        *("2.jpg (symbolic link)", "4.jpg (special file)", "more (symbolic link)", "round (symbolic link)"),
    )


def test_the_folder_itself_may_be_a_link(tmp_path):
    folder = make("folder", tmp_path, {"1.jpg": A})
    (tmp_path / "link").symlink_to(folder)
    assert index_folder(tmp_path / "link", progress=False).digest == index_folder(folder, progress=False).digest


def test_hidden_folders_are_passed_over(tmp_path):
    folder = make("folder", tmp_path, {"1.jpg": A, ".mmctr/store/2.jpg": B, ".Trash-1000/3.jpg": B})
    report, found = read(folder, tmp_path)
    assert found == {"1": A}
    assert report.not_items.first == (".Trash-1000 (hidden folder)", ".mmctr (hidden folder)")


def test_folders_without_end(tmp_path):
    folder = make("folder", tmp_path, {"1.jpg": A, "/".join(["x"] * 70) + "/2.jpg": B})
    with pytest.raises(InputError, match=r"must be bounded: .* folders within each other, more than 64"):
        index_folder(folder, progress=False)


def test_a_name_that_is_no_utf_8(tmp_path):
    folder = make("folder", tmp_path, {"1.jpg": A})
    (folder / os.fsdecode(b"\xff2.jpg")).write_bytes(B)
    report, found = read(folder, tmp_path, names="path")
    assert found == {"1.jpg": A}
    assert report.not_items.first == (r"\udcff2.jpg (file whose name is no UTF-8)",)


@pytest.mark.parametrize("change", ["another size", "a link", "gone", "a pipe", "a folder in its place"])
def test_a_file_that_changes_while_it_is_read(change, folder, monkeypatch, tmp_path):
    """Between the listing and the reading."""
    path = folder / "b/2.png"

    def late(*_: object) -> dict[str, tuple[str, str]]:
        path.unlink()
        if change == "another size":
            path.write_bytes(B + b"more")
        elif change == "a link":
            (tmp_path / "elsewhere").write_bytes(B)
            path.symlink_to(tmp_path / "elsewhere")
        elif change == "a pipe":
            os.mkfifo(path)
        elif change == "a folder in its place":
            path.mkdir()
        return {}

    monkeypatch.setattr(mmctr.images.in_place, "_remembered", late)
    monkeypatch.setattr(mmctr.images.in_place, "_stamp", lambda *_: ("stamp", time.time_ns()))
    with pytest.raises(InputError, match=r"must stay as they are while they are read, but 'b/2\.png' in .* changed"):
        index_folder(folder, progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(folder):
    (folder / "a").chmod(0)
    with pytest.raises(PermissionError):
        check_images(folder, progress=False)


def test_the_listing_holds(folder, tmp_path, reads):
    index, memory = index_folder(folder, progress=False), tmp_path / "memory.parquet"
    index.manifest.write_parquet(tmp_path / "manifest.parquet")

    def digest() -> str:
        return in_place_digest(tmp_path / "manifest.parquet", folder, memory=memory)

    first = digest()
    reads.clear()
    (folder / "more.jpg").write_bytes(A)  # what is new in the folder is no matter of the listing
    os.utime(folder / "a/1.jpg")
    assert digest() == first
    assert reads == ["a/1.jpg"]
    rename_over(folder / "b/2.png")
    with pytest.raises(ValueError, match=r"2\.png has another content than when it was listed"):
        digest()
    (folder / "b/2.png").unlink()
    with pytest.raises((OSError, InputError)):
        digest()
    (tmp_path / "manifest.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match="extract the images again"):
        digest()

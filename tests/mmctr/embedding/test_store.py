"""What is appended is found again, and a shard that is damaged or of another kind is never trusted."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmctr.common.files import partial_path
from mmctr.embedding.store import VectorShards, stored_dim

DIM = 8


def key(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def rows(*numbers: int) -> np.ndarray:
    return np.stack([np.full(DIM, number, np.float32) for number in numbers])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards: 0 and 1; 2, which failed, and 3; 4."""
    store = VectorShards(tmp_path / "store", dim=DIM)
    store.append([key(0), key(1)], rows(0, 1))
    store.append([key(2), key(3)], rows(np.nan, 3), reasons=["truncated", ""])
    store.append([key(4)], rows(4))
    return tmp_path / "store"


def test_appended_vectors_and_reasons_are_found_again(folder: Path) -> None:
    for store in (VectorShards(folder, dim=DIM), VectorShards(folder, dim=DIM)):
        lookup = store.lookup([key(3), key(9), None, key(2), key(0), key(3)])
        assert lookup.found.tolist() == [True, False, False, False, True, True]
        assert lookup.reasons == ["", "", "", "truncated", "", ""]
        np.testing.assert_array_equal(lookup.vectors[:, 0], [3, 0, 0, 0, 0, 3])
        assert lookup.vectors.dtype == np.float32
        assert len(store) == 5


def test_missing_keys_come_once_in_order_and_a_failure_is_known(folder: Path) -> None:
    store = VectorShards(folder, dim=DIM)
    assert store.missing([key(8), key(2), key(7), key(8), key(0)]) == [key(8), key(7)]


def test_names_are_running_numbers_and_go_on(folder: Path) -> None:
    VectorShards(folder, dim=DIM).append([key(5)], rows(5))
    assert sorted(path.name for path in folder.iterdir()) == [f"00000{n}.npz" for n in range(4)]


def test_two_processes_that_write_at_once_take_different_numbers(folder: Path, monkeypatch) -> None:
    one, other, savez = VectorShards(folder, dim=DIM), VectorShards(folder, dim=DIM), np.savez

    def write_beside(*arrays, **named):
        monkeypatch.undo()
        other.append([key(6)], rows(6))
        savez(*arrays, **named)

    monkeypatch.setattr(np, "savez", write_beside)
    one.append([key(5)], rows(5))
    assert VectorShards(folder, dim=DIM).lookup([key(5), key(6)]).vectors[:, 0].tolist() == [5, 6]
    assert sorted(path.name for path in folder.iterdir()) == [f"00000{n}.npz" for n in range(5)]


def test_a_new_store_is_empty_and_makes_no_folder(tmp_path: Path) -> None:
    store = VectorShards(tmp_path / "none", dim=DIM)
    assert len(store) == 0
    assert stored_dim(tmp_path / "none") is None
    assert store.lookup([]).vectors.shape == (0, DIM)
    assert not (tmp_path / "none").exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip_in_vectors(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(rows(3).tobytes()[:8])] ^= 1
    path.write_bytes(content)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def save(**arrays: object) -> Callable[[Path], None]:
    good = {"keys": np.array([key(2)], "S64"), "vectors": rows(2), "reasons": np.array([""], np.str_)}
    return lambda path: np.savez(path, **{name: array for name, array in (good | arrays).items() if array is not None})


DAMAGE = {
    "truncated": truncate,
    "bit flipped": flip_in_vectors,
    "empty": lambda path: path.write_bytes(b""),
    "not a zip": lambda path: path.write_text("<html>"),
    "a plain npy": lambda path: path.write_bytes(npy(rows(2))),
    "no keys": save(keys=None),
    "no vectors": save(vectors=None),
    "no reasons": save(reasons=None),
    "another length": save(vectors=np.zeros((1, DIM + 1), np.float32)),
    "another type": save(vectors=np.zeros((1, DIM))),
    "more rows than keys": save(vectors=rows(2, 3)),
    "keys as objects": save(keys=np.array([key(2)], object)),
    "keys that are not ASCII": save(keys=np.array([b"\xff" * 64], "S64")),
    "not finite without a reason": save(vectors=rows(np.inf)),
    "flat vectors": save(vectors=np.zeros(1, np.float32)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_shard_is_set_aside_and_the_others_stay(folder: Path, name: str) -> None:
    DAMAGE[name](folder / "000001.npz")
    store = VectorShards(folder, dim=DIM)
    assert store.missing(map(key, range(5))) == [key(2), key(3)]
    assert not (folder / "000001.npz").exists()
    assert (folder / "000001.npz.not-a-shard").is_file()
    store.append([key(2), key(3)], rows(2, 3))
    assert (folder / "000003.npz").exists()
    again = VectorShards(folder, dim=DIM).lookup([key(number) for number in range(5)])
    np.testing.assert_array_equal(again.vectors, rows(0, 1, 2, 3, 4))


STRAY = {
    "a folder with a shard's name": ("000007.npz", Path.mkdir),
    "a folder with the next name": ("000003.npz", Path.mkdir),
    "a folder of another name": ("notes.npz", Path.mkdir),
    "a file of another name": ("notes.npz", lambda path: path.write_text("mine")),
    "a folder with the last number": ("999999999999.npz", Path.mkdir),
    "a number of a hundred digits": ("1" * 100 + ".npz", lambda path: path.write_text("mine")),
    "five thousand digits cut to a name": ("1" * 250 + ".npz", lambda path: path.write_text("mine")),
    "a raised two": ("\u00b2.npz", lambda path: path.write_text("mine")),
    "Arabic digits": ("\u0660\u0660\u0660\u0660\u0660\u0661.npz", lambda path: path.write_text("mine")),
    "a short number": ("7.npz", lambda path: path.write_text("mine")),
    "a link to nothing": ("000007.npz", lambda path: path.symlink_to("/nowhere")),
    "a link to itself": ("000007.npz", lambda path: path.symlink_to(path.name)),
    "a link to a folder": ("000007.npz", lambda path: path.symlink_to("/")),
    "a pipe": ("000007.npz", os.mkfifo),
    "a file of a temporary name": ("000003.npz.tmp", lambda path: path.write_text("mine")),
}


@pytest.mark.parametrize("name", STRAY)
def test_what_is_no_shard_is_left_alone(folder: Path, name: str) -> None:
    stray, make = STRAY[name]
    make(folder / stray)
    before = os.lstat(folder / stray)
    assert stored_dim(folder) == DIM
    for number in (5, 6):
        store = VectorShards(folder, dim=DIM)
        assert store.missing([*map(key, range(number))]) == []
        store.append([key(number)], rows(number))
    assert os.path.samestat(os.lstat(folder / stray), before)


def test_a_foreign_shard_is_kept_under_another_name(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = (folder / "000001.npz").read_bytes()[:-9]
    (folder / "000007.npz").write_bytes(content)
    VectorShards(folder, dim=DIM).append([key(5)], rows(5))
    assert "000007.npz is no whole shard and is set aside" in caplog.text
    assert (folder / "000007.npz.not-a-shard").read_bytes() == content
    assert (folder / "000008.npz").is_file()
    caplog.clear()
    VectorShards(folder, dim=DIM).append([key(6)], rows(6))
    assert caplog.text == ""


def test_a_shard_of_another_model_does_not_turn_the_others_away(folder: Path) -> None:
    other = VectorShards(folder.with_name("other"), dim=3 * DIM)
    other.append([key(10)], np.zeros((1, 3 * DIM), np.float32))
    (other.folder / "000000.npz").rename(folder / "00000000.npz")
    assert stored_dim(folder) == DIM
    assert len(VectorShards(folder, dim=DIM)) == 5


def test_a_shard_that_cannot_be_read_stays_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def deny(path: Path) -> bytes:
        if path.name == "000001.npz":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    with monkeypatch.context() as denied:
        denied.setattr(Path, "read_bytes", deny)
        store = VectorShards(folder, dim=DIM)
        assert store.missing(map(key, range(5))) == [key(2), key(3)]
    assert len(VectorShards(folder, dim=DIM)) == 5


def test_too_little_memory_is_not_called_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise MemoryError

    with monkeypatch.context() as short:
        short.setattr(np, "load", exhaust)
        with pytest.raises(MemoryError):
            VectorShards(folder, dim=DIM)
    assert len(VectorShards(folder, dim=DIM)) == 5


def test_pickled_objects_are_not_loaded(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "sprung",)

    save(keys=np.array([Trap()], object))(folder / "000001.npz")
    assert len(VectorShards(folder, dim=DIM)) == 3
    assert not (tmp_path / "sprung").exists()


def test_the_length_is_told_by_the_shards_that_are_whole(folder: Path) -> None:
    (folder / "000000.npz").write_bytes(b"")
    assert stored_dim(folder) == DIM


def test_what_a_killed_process_leaves_is_not_a_shard(folder: Path) -> None:
    partial_path(folder / "000003.npz").write_bytes(b"half")
    store = VectorShards(folder, dim=DIM)
    store.append([key(5)], rows(5))
    assert len(VectorShards(folder, dim=DIM)) == 6


@pytest.mark.parametrize(
    ("keys", "vectors", "reasons"),
    [
        ([key(5)], rows(5, 6), None),
        ([key(5)], rows(5).astype(np.float64), None),
        ([key(5)], rows(np.nan), None),
        ([key(5)], rows(5), ["a reason"]),
        ([key(5), key(5)], rows(5, 5), None),
        ([key(0)], rows(0), None),
        (["short"], rows(5), None),
        ([key(5)], rows(5), []),
    ],
)
def test_a_wrong_append_is_a_programming_error(folder: Path, keys: list, vectors: np.ndarray, reasons: list) -> None:
    store = VectorShards(folder, dim=DIM)
    with pytest.raises(ValueError, match=r"."):
        store.append(keys, vectors, reasons=reasons)
    assert len(list(folder.glob("*"))) == 3

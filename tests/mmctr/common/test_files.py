"""Files are whole or absent, whatever waits beside them and whichever calls their file system lacks."""

import errno
import os
from pathlib import Path

import pytest

import mmctr.common.files
from mmctr.common.files import partials_of, replacing, replacing_folder, write_bytes


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208


def test_a_link_that_waits_beside_a_file_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".made.partial").symlink_to(victim)
    write_bytes(tmp_path / "made", b"made")
    assert (victim.read_bytes(), (tmp_path / "made").read_bytes()) == (b"precious", b"made")


def test_not_even_where_the_name_was_guessed(tmp_path, monkeypatch):
    monkeypatch.setattr(mmctr.common.files.secrets, "token_hex", lambda _: "guessed")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".made.guessed.partial").symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_bytes(tmp_path / "made", b"made")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "made").exists()


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    with replacing(tmp_path / "made") as first:
        with replacing(tmp_path / "made") as second:
            assert first != second
            second.write_bytes(b"second")
        assert (tmp_path / "made").read_bytes() == b"second"
        first.write_bytes(b"first")
    assert (tmp_path / "made").read_bytes() == b"first"
    assert names(tmp_path) == ["made"]


def test_what_killed_writers_left_is_found(tmp_path):
    odd = tmp_path / "a[1]*.csv"
    with replacing(odd) as partial:
        partial.write_bytes(b"half")
        Path(f"{partial}-journal").touch()
        (tmp_path / ".a1.csv.00.partial").touch()
        assert {path.name for path in partials_of(odd)} == {partial.name, f"{partial.name}-journal"}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_that_cannot_flush(tmp_path, monkeypatch, number):
    def unable(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", unable)
    write_bytes(tmp_path / "made", b"made")
    with replacing_folder(tmp_path / "folder") as folder:
        (folder / "made").touch()
    assert names(tmp_path) == ["folder", "made"]


def test_a_disk_that_fails_to_flush_is_an_error(tmp_path, monkeypatch):
    def broken(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        write_bytes(tmp_path / "made", b"made")
    assert names(tmp_path) == []

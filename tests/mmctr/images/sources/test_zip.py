"""Zips that lie about their members, or hold what is no plain file."""

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from archives import A, B, contents, extract, fails
from sources import read, zip_bytes

from mmctr.common.errors import InputError
from mmctr.images.extract import check_images

HUGE = 10_000_000


@pytest.fixture(autouse=True)
def _no_machine_wide_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.common.files.os.sync", lambda: None)


def write(root: Path, content: bytes) -> Path:
    path = root / "made.zip"
    path.write_bytes(content)
    return path


def patched(content: bytes, mark: bytes, offset: int, value: bytes, *, which: int = 0) -> bytes:
    """`content` with other bytes at an offset of one of its headers: `PK\\3\\4` of a member, `PK\\1\\2` of the list."""
    at = -1
    for _ in range(which + 1):
        at = content.index(mark, at + 1)
    return content[: at + offset] + value + content[at + offset + len(value) :]


MEMBER, ENTRY, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
TWO = zip_bytes({"1.jpg": A, "2.jpg": B}, method=zipfile.ZIP_STORED)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whole_archives(method, tmp_path):
    files = {f"images/{number}.jpg": bytes([number]) * number * 100 for number in range(1, 40)}
    report, found = read(write(tmp_path, zip_bytes(files, method=method)), tmp_path)
    assert found == {str(number): bytes([number]) * number * 100 for number in range(1, 40)}
    assert report.images == 39


@pytest.mark.parametrize("member_flag", [0, 1])
@pytest.mark.parametrize("entry_flag", [0x1, 0x40, 0x41])
def test_encrypted(member_flag, entry_flag, tmp_path):
    """With a password or without one: nothing in a zip is decrypted."""
    content = patched(TWO, ENTRY, 8, bytes([entry_flag, 0]), which=1)
    path = write(tmp_path, patched(content, MEMBER, 6, bytes([member_flag, 0]), which=1))
    for number, password in enumerate((None, "secret")):
        message = fails(path, tmp_path / str(number), "must not be encrypted", "'2.jpg'", password=password)
        assert "Unpack it and use the folder of its images" in message


def test_members_that_share_their_bytes(tmp_path):
    """As in the zip bomb of 2019: many entries of the list, one member of the file."""
    one = zip_bytes({"1.jpg": bytes(HUGE)})
    start = one.index(ENTRY)
    entry = one[start : one.index(END)]
    many = [entry.replace(b"1.jpg", f"{number}.jpg".encode()) for number in range(1, 10)]
    listed = b"".join(many)
    end = one[one.index(END) :]
    end = end[:8] + struct.pack("<HHII", len(many), len(many), len(listed), start) + end[20:]
    fails(write(tmp_path, one[:start] + listed + end), tmp_path, "must have its own bytes", "'8.jpg'")


def test_members_that_overlap_by_a_byte(tmp_path):
    size = len(A) + 1
    content = patched(TWO, ENTRY, 20, struct.pack("<I", size))
    fails(write(tmp_path, content), tmp_path, "must have its own bytes", "'1.jpg'", "shares some")


def test_a_member_beyond_the_list(tmp_path):
    content = patched(TWO, ENTRY, 42, struct.pack("<I", 5000), which=1)
    fails(write(tmp_path, content), tmp_path, "must have its own bytes", "'2.jpg'")


@pytest.mark.parametrize(
    ("size", "says"), [(len(A) - 1, "'1.jpg' has"), (len(A) + 1, "'1.jpg' has"), (HUGE, "'1.jpg' has")]
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_listed_size_that_is_wrong(size, says, method, tmp_path):
    content = zip_bytes({"1.jpg": A, "2.jpg": B}, method=method)
    content = patched(content, ENTRY, 24, struct.pack("<I", size))
    fails(write(tmp_path, content), tmp_path, "must unpack to what it lists", says, "Download or copy")


def test_no_more_than_the_listed_size_is_unpacked(tmp_path):
    """Ten megabytes that list eleven bytes, with the checksum of these: eleven bytes it is."""
    content = zip_bytes({"1.jpg": bytes(HUGE)})
    content = patched(content, ENTRY, 24, struct.pack("<I", 11))
    content = patched(content, ENTRY, 16, struct.pack("<I", zlib.crc32(bytes(11))))
    assert read(write(tmp_path, content), tmp_path)[1] == {"1": bytes(11)}


def test_a_ratio_of_a_thousand_is_a_matter_of_the_limits(tmp_path):
    path = write(tmp_path, zip_bytes({"1.jpg": bytes(HUGE)}))
    assert path.stat().st_size < HUGE / 900
    fails(path, tmp_path, "at most 9999999 bytes", "lists 10000000", max_member_bytes=HUGE - 1)
    assert extract(path, tmp_path / "x", max_member_bytes=HUGE)[0].total_bytes == HUGE


@pytest.mark.parametrize("where", [34, 35])
def test_one_flipped_bit_is_seen(where, tmp_path):
    content = zip_bytes({"1.jpg": A * 100, "2.jpg": B})
    flipped = content[:where] + bytes([content[where] ^ 4]) + content[where + 1 :]
    fails(write(tmp_path, flipped), tmp_path, "must unpack to what it lists", "'1.jpg'")


def test_an_empty_image_whose_checksum_is_wrong(tmp_path):
    content = patched(zip_bytes({"1.jpg": b"", "2.jpg": B}), ENTRY, 16, b"\1\0\0\0")
    fails(write(tmp_path, content), tmp_path, "'1.jpg' has another checksum")


@pytest.mark.parametrize("method", [9, 12, 14, 93, 99])
def test_methods_that_are_not_read(method, tmp_path):
    content = patched(TWO, ENTRY, 10, struct.pack("<H", method))
    fails(write(tmp_path, content), tmp_path, f"is compressed by method {method}, not by deflate", "Pack the images")


def with_mode(mode: int, content: bytes = b"/etc/passwd") -> bytes:
    made = io.BytesIO(TWO)
    with zipfile.ZipFile(made, "a") as archive:
        info = zipfile.ZipInfo("3.jpg")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [(stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "special file"), (stat.S_IFCHR, "special file")],
)
def test_links_and_devices_are_passed_over(mode, kind, tmp_path):
    report, target = extract(write(tmp_path, with_mode(mode | 0o644)), tmp_path)
    assert contents(target) == {"1.jpg": A, "2.jpg": B}
    assert report.not_items.first == (f"3.jpg ({kind})",)


def test_names_without_the_mark_of_utf_8(tmp_path):
    """macOS packs names in UTF-8 and does not say so; what is none is cp437, as ever."""
    content = zip_bytes({"é.jpg": A, "x.jpg": B})
    for mark, offset in ((MEMBER, 6), (ENTRY, 8)):
        content = patched(content, mark, offset, b"\0\0")
    assert read(write(tmp_path, content), tmp_path, names="text")[1] == {"é": A, "x": B}
    content = content.replace("é.jpg".encode(), b"\x82\x82.jpg")
    (tmp_path / "made.zip").write_bytes(content)
    assert set(read(tmp_path / "made.zip", tmp_path, names="text")[1]) == {"éé", "x"}


def test_two_members_of_one_name(tmp_path):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("1.jpg", A)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("1.jpg", B)
    for number, names in enumerate(("integer", "text", "path")):
        report, found = read(write(tmp_path, made.getvalue()), tmp_path / str(number), names=names)
        assert list(found.values()) == [A]
        assert report.duplicates.count == 1


def test_a_name_with_a_zero_byte(tmp_path):
    content = TWO.replace(b"2.jpg", b"2\0jpg")
    assert read(write(tmp_path, content), tmp_path)[1] == {"1": A}
    content = zip_bytes({"1.jpg": A, "2.jpgx.txt": B}).replace(b"2.jpgx", b"2.jpg\0")
    report, found = read(write(tmp_path, content), tmp_path / "x")
    assert found == {"1": A}
    assert report.not_items.first == (r"2.jpg\x00.txt",)


@pytest.mark.parametrize("name", [b"", b"\0"])
def test_a_member_without_a_name(name, tmp_path):
    content = zip_bytes({"1.jpg": A, "x" * len(name): B}) if name else nameless()
    report, found = read(write(tmp_path, content.replace(b"x", name) if name else content), tmp_path)
    assert found == {"1": A}
    assert report.not_items.count == 1


def nameless() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("1.jpg", A)
        archive.writestr(zipfile.ZipInfo(""), B)
    return content.getvalue()


def test_another_name_in_the_file_than_in_the_list(tmp_path):
    content = patched(TWO, MEMBER, 30, b"9.jpg")
    fails(write(tmp_path, content), tmp_path, "must unpack to what it lists", "differ")


def test_a_list_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr("mmctr.images.sources.zip.MAX_LIST_BYTES", 50)
    path = write(tmp_path, TWO)
    fails(path, tmp_path, "must be bounded", "too many long names")
    with pytest.raises(InputError, match="must be bounded"):
        check_images(path, progress=False)


def test_bytes_before_the_archive(tmp_path):
    """As a zip that unpacks itself: what does not begin as a zip is none."""
    fails(write(tmp_path, b"MZ" + TWO), tmp_path, "must be a zip file", "4d 5a")


def test_a_full_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmctr.images.extract.os.write", full)
    from mmctr.images.extract import extract_images

    with pytest.raises(OSError, match="No space left"):
        extract_images(write(tmp_path, TWO), tmp_path / "out", progress=False)

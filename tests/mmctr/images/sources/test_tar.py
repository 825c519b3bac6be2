"""Tars with every kind of header that packing programs write, and with those that nobody should."""

import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from archives import A, B, contents, extract, fails
from sources import compressed, read, tar_bytes

from mmctr.common.errors import InputError
from mmctr.images.extract import check_images, extract_images

ENDINGS = ["tar", "tar.gz", "tar.zst"]
END = bytes(1024)


@pytest.fixture(autouse=True)
def _no_machine_wide_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.common.files.os.sync", lambda: None)


def member(name: str, content: bytes = b"", *, size: int | None = None, kind: bytes = b"0", link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content) if size is None else size, kind, link
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def pax(*records: bytes) -> bytes:
    text = b""
    for record in records:
        length = len(record) + 3
        while len(f"{length} ") + len(record) + 1 != length:
            length = len(f"{length} ") + len(record) + 1
        text += f"{length} ".encode() + record + b"\n"
    return member("pax", text, kind=b"x")


def write(root: Path, *blocks: bytes, ending: str = "tar", end: bytes = END) -> Path:
    path = root / f"made.{ending}"
    root.mkdir(exist_ok=True)
    path.write_bytes(compressed(b"".join(blocks) + end, ending=ending))
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_length_in_every_format(form, ending, tmp_path):
    folder = "é" * 40 + "/" + "x" * 60 + "/" if form != tarfile.USTAR_FORMAT else "x" * 90 + "/"
    files = {f"{folder}{number}.jpg": bytes([number]) * number * 100 for number in range(1, 20)}
    (tmp_path / f"made.{ending}").write_bytes(tar_bytes(files, ending=ending, format=form))
    _, found = read(tmp_path / f"made.{ending}", tmp_path, names="path")
    assert found == files


def test_what_gnu_tar_writes(tmp_path):
    folder = tmp_path / "in"
    (folder / ("x" * 90)).mkdir(parents=True)
    (folder / ("x" * 90) / "1.jpg").write_bytes(A)
    (folder / "2.jpg").write_bytes(B)
    for form in ("gnu", "posix", "ustar", "v7"):
        name = "2.jpg" if form == "v7" else "."
        archive = tmp_path / f"{form}.tar"
        subprocess.run(["tar", f"--format={form}", "-C", folder, "-cf", archive, name], check=True)
        expected = {"2": B} if form == "v7" else {"1": A, "2": B}
        assert read(archive, tmp_path / form)[1] == expected
        assert set(read(archive, tmp_path / f"{form}-path", names="path")[1]) <= {"2.jpg", f"{'x' * 90}/1.jpg"}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("kind", "says"),
    [(b"2", "symbolic link"), (b"3", "special file"), (b"4", "special file"), (b"6", "special file")],
)
def test_links_and_devices_are_passed_over(kind, says, ending, tmp_path):
    odd = member("2.jpg", kind=kind, link="/etc/passwd", size=0)
    path = write(tmp_path, member("1.jpg", A), odd, member("3.jpg", B), ending=ending)
    report, target = extract(path, tmp_path)
    assert contents(target) == {"1.jpg": A, "3.jpg": B}
    assert report.not_items.first == (f"2.jpg ({says})",)


def test_a_link_whose_folder_would_lead_elsewhere(tmp_path):
    path = write(tmp_path, member("a", kind=b"2", link="/var/tmp/escaped"), member("a/2.jpg", B))
    assert contents(extract(path, tmp_path)[1]) == {"2.jpg": B}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ([member("2.jpg", kind=b"1", link="1.jpg")], "is a hard link to '1.jpg' (tar's --hard-dereference"),
        ([member("2.jpg", kind=b"1", link="/etc/passwd")], "is a hard link to '/etc/passwd'"),
        ([member("2.jpg", B, kind=b"S")], "is a sparse file"),
        (
            [pax(b"GNU.sparse.major=1", b"GNU.sparse.name=2.jpg"), member("GNUSparseFile.0/2.jpg", B)],
            "is a sparse file",
        ),
        ([pax(b"GNU.sparse.map=0,1000000000000"), member("2.jpg", B)], "is a sparse file"),
        ([member("2.jpg", B, kind=b"M")], "is the rest of a file in another volume"),
    ],
)
def test_members_that_are_not_there_themselves(odd, says, ending, tmp_path):
    path = write(tmp_path, member("1.jpg", A), *odd, ending=ending)
    fails(path, tmp_path, "must be there itself", "'2.jpg'", says, "Pack the images again")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "blocks",
    [
        [pax(b"path=2.jpg", b"size=7", b"comment=x=y"), member("ignored", B)],
        [pax(b"path=x/2.jpg"), pax(b"comment=later"), member("ignored", B)],
        [pax(b"size=0"), member("3.txt", size=0), member("2.jpg", B)],
        [member("g", b"20 comment=of all\nxx"[:18], kind=b"g"), member("2.jpg", B)],
        [member("long", b"y" * 3000 + b"/2.jpg\0", kind=b"L"), member("ignored", B)],
        [member("long", b"where\0", kind=b"K"), member("2.jpg", B)],
        [member("of an unknown kind.jpg", b"data" * 300, kind=b"Z"), member("2.jpg", B)],
        [member("folder/", kind=b"5"), member("2.jpg", B, kind=b"\0"), member("old folder/", kind=b"\0")],
        [member("2.jpg", B, kind=b"7")],
    ],
)
def test_headers_that_say_more(blocks, ending, tmp_path):
    path = write(tmp_path, member("1.jpg", A), *blocks, ending=ending)
    assert contents(extract(path, tmp_path)[1]) == {"1.jpg": A, "2.jpg": B}


DAMAGED = "is cut off or damaged after member '"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        ([b"x" * 512], "damaged header"),
        ([member("2.jpg", B)[:300]], "ends too early"),
        ([member("2.jpg", B)[:600]], "ends too early"),
        ([member("2.jpg", size=5000)], "ends too early"),
        ([member("2.jpg", size=-1)], "a member of -1 bytes"),
        ([pax(b"size=-5"), member("2.jpg", B)], "damaged pax header"),
        ([pax(b"size=" + b"9" * 5000), member("2.jpg", B)], "damaged pax header"),
        ([member("pax", b"99 path=2.jpg\n", kind=b"x"), member("2.jpg", B)], "damaged pax header"),
        ([member("pax", b"0 path=2.jpg\n", kind=b"x"), member("2.jpg", B)], "damaged pax header"),
        ([member("pax", b"9" * 900_000, kind=b"x"), member("2.jpg", B)], "damaged pax header"),
        ([member("pax", b"7 path\n", kind=b"x"), member("2.jpg", B)], "damaged pax header"),
        ([member("long", size=2**40, kind=b"L"), member("2.jpg", B)], "a name or a header of 1,099,511,627,776 bytes"),
        ([pax(b"path=2.jpg")], "damaged header"),
    ],
)
def test_damaged_headers(blocks, says, ending, tmp_path):
    end = b"" if "early" in says else END
    started = time.perf_counter()
    fails(write(tmp_path, member("1.jpg", A), *blocks, ending=ending, end=end), tmp_path, DAMAGED, says, "Download")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_end_mark(ending, tmp_path):
    """A cut between two members: Python's tarfile takes it for the end."""
    fails(write(tmp_path, member("1.jpg", A), ending=ending, end=b""), tmp_path, DAMAGED, "ends too early")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_second_archive_behind_the_first(ending, tmp_path):
    """As `cat a.tar b.tar` makes it: the images of the second would be lost in silence."""
    path = write(tmp_path, member("1.jpg", A), END, member("2.jpg", B), ending=ending)
    fails(path, tmp_path, "goes on behind its end mark")


def test_zeros_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("mmctr.images.tar.content.MAX_END_BYTES", 1 << 20)
    path = write(tmp_path, member("1.jpg", A), bytes(2 << 20), ending="tar.zst")
    fails(path, tmp_path, "goes on behind its end mark")


def test_a_long_chain_of_names(tmp_path, monkeypatch):
    """tarfile follows it by recursion; here it is as long as a listing may be."""
    monkeypatch.setattr("mmctr.images.bounds.MAX_HEADERS", 5000)
    chain = member("long", b"2.jpg\0", kind=b"L")
    path = write(tmp_path, member("1.jpg", A), chain * 4000, member("x", B))
    assert contents(extract(path, tmp_path)[1]) == {"1.jpg": A, "2.jpg": B}
    fails(write(tmp_path, chain * 6000), tmp_path / "x", "must be bounded", "more than 5,000 headers")


def test_a_sparse_map_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr("mmctr.images.bounds.MAX_HEADERS", 50)
    head = bytearray(member("2.jpg", kind=b"S", size=0))
    head[482] = 1
    head[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(head))[0]
    more = (bytes(504) + b"\1" + bytes(7)) * 100
    fails(write(tmp_path, member("1.jpg", A), bytes(head), more), tmp_path, "must be bounded")


# Compressed ones


@pytest.mark.parametrize("ending", ["tar.gz", "tar.zst"])
def test_what_is_compressed_is_no_tar(ending, tmp_path):
    path = tmp_path / f"made.{ending}"
    path.write_bytes(compressed(b"an image", ending=ending))
    for whole in (True, False):
        with pytest.raises(InputError, match=r"must be a tar file: .* holds none once \w+ is undone"):
            check_images(path, whole=whole, progress=False)


@pytest.mark.parametrize("ending", ["tar.gz", "tar.zst"])
def test_a_flipped_bit_is_seen_by_the_checksum(ending, tmp_path):
    files = {f"{number}.jpg": bytes(range(256)) * number for number in range(1, 30)}
    content = bytearray(tar_bytes(files, ending=ending))
    content[-5] ^= 4  # of the checksum at the end
    path = tmp_path / f"made.{ending}"
    if ending == "tar.zst":
        content = bytearray(with_checksum(tar_bytes(files)))
        content[-1] ^= 4
    path.write_bytes(content)
    fails(path, tmp_path, "cut off or damaged", "Download")


def with_checksum(content: bytes) -> bytes:
    """As `zstd` writes it, which adds a checksum; PyArrow does not. In one raw block a 128 KiB (RFC 8878)."""
    blocks, last = b"", (len(content) - 1) >> 17
    for number in range(last + 1):
        part = content[number << 17 : (number + 1) << 17]
        blocks += (len(part) << 3 | (number == last)).to_bytes(3, "little") + part
    return b"\x28\xb5\x2f\xfd\x84\x38" + len(content).to_bytes(4, "little") + blocks + bytes(4)


def test_several_streams_one_behind_the_other(tmp_path):
    """As pigz and pzstd write them."""
    content = tar_bytes({"1.jpg": A, "2.jpg": B})
    for ending in ("tar.gz", "tar.zst"):
        path = tmp_path / f"made.{ending}"
        path.write_bytes(compressed(content[:700], ending=ending) + compressed(content[700:], ending=ending))
        assert read(path, tmp_path / ending)[1] == {"1": A, "2": B}


def test_a_bomb_is_stopped_by_its_headers(tmp_path):
    """A hundred images of 50 MB each in a few kilobytes: no more is unpacked than the limit and one image."""
    image = member("x.jpg", bytes(50_000_000))
    blocks = [member(f"{number}.jpg", size=50_000_000)[:512] + image[512:] for number in range(1, 5)]
    path = write(tmp_path, *blocks, ending="tar.zst")
    assert path.stat().st_size < 100_000
    fails(path, tmp_path, "at most 90000000 bytes", "lists 100000000", max_total_bytes=90_000_000)
    with pytest.raises(InputError, match="at most 90000000 bytes"):
        check_images(path, max_total_bytes=90_000_000, progress=False)
    assert check_images(path, max_total_bytes=90_000_000, whole=False, progress=False) is None


def test_the_name_does_not_say_how_it_is_compressed(tmp_path):
    for name, ending in (("a.tar", "tar.gz"), ("b.tgz", "tar"), ("c.tar.gz", "tar.zst"), ("d", "tar"), ("e", "tar.gz")):
        path = tmp_path / name
        path.write_bytes(tar_bytes({"1.jpg": A}, ending=ending))
        assert read(path, tmp_path / f"{name} read")[1] == {"1": A}


def test_a_name_that_is_no_utf_8(tmp_path):
    """By an integer id it is an image like any other; no table could hold its path, nor such a text id."""
    block = bytearray(member("??/1.jpg", A))
    block[:2] = b"\xff\xfe"
    block[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(block[:512]))[0]
    path = write(tmp_path, bytes(block), member("2.jpg", B))
    assert read(path, tmp_path)[1] == {"1": A, "2": B}
    report, found = read(path, tmp_path / "x", names="path")
    assert found == {"2.jpg": B}
    assert report.not_items.count == 1


def test_the_disk_is_not_the_archives_fault(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    path = write(tmp_path, member("1.jpg", A), ending="tar.gz")
    monkeypatch.setattr("mmctr.images.extract.os.write", full)
    with pytest.raises(OSError, match="No space left"):
        extract_images(path, tmp_path / "out", progress=False)

"""Every archive of tests/fixtures/rar, hand-made odd ones, and the manifest."""

import io
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest
import rarfile
import rars
from archives import FIXTURES, A, B, block, contents, extract, fails, link, member, rar5, wrapped_tool
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mmctr.images.manifest
import mmctr.images.rar.stream
import mmctr.images.rar.tool
from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256
from mmctr.common.text import shown
from mmctr.images.extract import extract_images
from mmctr.images.manifest import MANIFEST_NAME, manifest_digest
from mmctr.images.naming import image_name


@pytest.fixture(autouse=True)
def _no_machine_wide_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.common.files.os.sync", lambda: None)


@pytest.fixture(scope="module")
def thirty() -> dict[int, bytes]:
    """The 30 images as another RAR implementation reads them."""
    archive = rars.RarFile(str(FIXTURES / "rar5_store.rar"))
    return {number: bytes(archive.read(f"images/{number}.jpg")) for number in range(1, 31)}


# Whole archives


@pytest.mark.parametrize(
    "name",
    [
        "rar5_store",
        "rar5_m3",
        "rar5_m5",
        "rar5_m3_solid",
        "rar5_comment",
        "rar5_recovery",
        "rar7_m3",
        "rar4_store",
        "rar4_m3",
        "rar4_m3_solid",
        "rar29_m3",
        "rar20_m3",
        "rar15_m3",
        "vol5.part01",
        "rar5_enc",
        "rar4_enc",
        "rar5_enc_hdr",
        "rar4_enc_hdr",
    ],
)
def test_thirty_images(name: str, tmp_path: Path, thirty: dict[int, bytes]) -> None:
    password = "secret" if "_enc" in name else None
    report, target = extract(FIXTURES / f"{name}.rar", tmp_path, password=password)
    found = contents(target)
    assert found == {f"{number}.jpg": content for number, content in thirty.items()}
    for content in found.values():
        Image.open(io.BytesIO(content)).load()
    assert (report.images, report.total_bytes) == (30, 69240)
    assert report.duplicates.count == report.not_items.count == 0


@pytest.mark.parametrize(
    ("name", "files", "duplicates", "not_items"),
    [
        ("plain_store_py", ["1.jpg", "2.jpg", "3.jpg"], [], []),
        ("nested_ids", ["1.jpg", "2.jpg", "3.jpg"], [], []),
        ("dup", ["1.jpg"], [("1", "images/1.jpg")], []),
        ("dup_folders", ["1.jpg"], [("1", "b/1.jpg")], []),
        ("dup_case", ["1.jpg"], [("1", "images/1.JPG")], []),
        ("rar5_mixed", ["1.png", "2.webp", "3.jpg"], [], []),
        ("dash_name", ["1.jpg"], [], ["-rf.jpg", "@list.jpg"]),
        ("wild_names", ["2.jpg"], [], ["images/[1]*.jpg", "images/3?.jpg"]),
        ("nul_name", ["1.jpg"], [], ["images/2"]),
        ("evil_abs", ["1.jpg", "2.jpg"], [], []),
        ("evil_backslash", ["1.jpg", "2.jpg"], [], []),
        ("evil_dotdot", ["1.jpg", "2.jpg"], [], []),
        ("evil_drive", ["1.jpg", "2.jpg"], [], []),
        ("evil_mid", ["1.jpg", "2.jpg"], [], []),
        ("evil_symlink_abs", ["1.jpg", "2.jpg"], [], ["images/link (symbolic link)"]),
        ("evil_symlink_rel", ["1.jpg", "2.jpg"], [], ["images/link (symbolic link)"]),
        ("evil_symlink_item", ["1.jpg"], [], ["images/2.jpg (symbolic link)"]),
    ],
)
def test_small_archives(
    name: str,
    files: list[str],
    duplicates: list[tuple[str, str]],
    not_items: list[str],
    tmp_path: Path,
    thirty: dict[int, bytes],
) -> None:
    report, target = extract(FIXTURES / f"{name}.rar", tmp_path)
    found = contents(target)
    assert sorted(found) == files
    for content in found.values():
        Image.open(io.BytesIO(content)).load()
    if name != "rar5_mixed":
        assert found["1.jpg" if "1.jpg" in found else "2.jpg"] == thirty[1 if "1.jpg" in found else 2]
    assert report.images == len(files)
    assert report.duplicates.first == tuple(duplicates)
    assert report.duplicates.count == len(duplicates)
    assert report.not_items.first == tuple(not_items)
    assert report.not_items.count == len(not_items)
    assert report.total_bytes == sum(map(len, found.values()))


# Archives that cannot be used

DOWNLOAD, PASSWORD = "Download or copy the archive again", "`password`"


@pytest.mark.parametrize("name", ["rar5_enc", "rar4_enc", "rar5_enc_hdr", "rar4_enc_hdr"])
@pytest.mark.parametrize("password", [None, "", "wr0ng-pa55"])
def test_encrypted_without_the_password(name: str, password: str | None, tmp_path: Path) -> None:
    rule = "The password must open the archive" if password else "An encrypted archive needs a password"
    message = fails(FIXTURES / f"{name}.rar", tmp_path, rule, PASSWORD, password=password)
    assert "wr0ng-pa55" not in message


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("rar5_empty", {}, ["must hold images named <item_id>.jpg", "among its 0 members", "Use the archive"]),
        ("rar5_names", {}, ["must hold images named <item_id>.jpg", "among its 8 members", "Use the archive"]),
        ("rar5_corrupt", {}, ["must unpack to what it lists", "'images/15.jpg'", "CRC32 68a5b019", DOWNLOAD]),
        ("rar5_truncated", {}, ["must be whole", "cut off or damaged after member 'images/20.jpg'", DOWNLOAD]),
        ("vol5.part02", {}, ["read from its first part", "is a later one", "Use the first part"]),
        ("vol5.part03", {}, ["read from its first part", "is a later one", "Use the first part"]),
        (
            "rar5_bomb_10MB",
            {"max_member_bytes": 9_999_999},
            ["at most 9999999 bytes", "'images/1.jpg'", "lists 10000000", "Raise `max_member_bytes`"],
        ),
        ("rar5_store", {"max_total_bytes": 69239}, ["at most 69239 bytes", "lists 69240", "Raise `max_total_bytes`"]),
        ("rar5_enc", {"password": "one\ntwo"}, ["must be one line of valid text", PASSWORD]),
        ("rar5_enc", {"password": "one\udcff"}, ["must be one line of valid text", PASSWORD]),
    ],
)
def test_unusable(name: str, options: dict[str, object], says: list[str], tmp_path: Path) -> None:
    message = fails(FIXTURES / f"{name}.rar", tmp_path, *says, **options)
    assert "one\n" not in message


def test_the_limits_are_inclusive(tmp_path: Path) -> None:
    report, _ = extract(FIXTURES / "rar5_bomb_10MB.rar", tmp_path, max_member_bytes=10**7, max_total_bytes=10**7)
    assert report.total_bytes == 10**7


@pytest.mark.parametrize("missing", [2, 3])
def test_missing_part(missing: int, tmp_path: Path) -> None:
    for part in {1, 2, 3} - {missing}:
        shutil.copy(FIXTURES / f"vol5.part0{part}.rar", tmp_path)
    gone = f"vol5.part0{missing}.rar is missing"
    fails(tmp_path / "vol5.part01.rar", tmp_path, "must lie in one folder", gone, "Put it there")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04rest", "starts with the bytes 50 4b 03 04 72 65 73 74 (a ZIP)"),
        (b"", "is empty"),
        (b"x" * 50 + (FIXTURES / "rar5_store.rar").read_bytes(), "starts with the bytes 78 78"),
        (b"Rar!\x1a\x07\x01\x00", "cut off or damaged before the first member"),
    ],
)
def test_no_rar(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(content)
    fails(tmp_path / "a.rar", tmp_path, says)


def test_no_file(tmp_path: Path) -> None:
    fails(tmp_path / "absent.rar", tmp_path, "must be a RAR file", "does not exist", "Use the path")
    fails(tmp_path, tmp_path / "x", "must be a RAR file", "is not a file", "Use the path", kind="rar")
    fails(tmp_path, tmp_path / "y", "is used in place", "Use `mmctr.images.in_place`")


def test_an_archive_inside_the_target_is_not_lost(tmp_path: Path) -> None:
    archive = Path(shutil.copy(FIXTURES / "rar5_store.rar", tmp_path))
    with pytest.raises(InputError, match=r"would be lost\. Move the archive"):
        extract_images(archive, tmp_path)
    assert archive.is_file()


@pytest.mark.parametrize("name", ["rar5_store", "rar5_m3_solid", "rar4_store", "rar4_m3_solid", "rar15_m3", "rar5_enc"])
def test_any_cut_inside_a_member_or_header_is_seen(name: str, tmp_path: Path) -> None:
    whole = (FIXTURES / f"{name}.rar").read_bytes()
    password = "secret" if "_enc" in name else None
    entry = rarfile.RarFile(FIXTURES / f"{name}.rar").infolist()[20]
    cuts = [entry.header_offset + 3, entry.data_offset, entry.data_offset + 5, len(whole) - 1]
    if name.startswith("rar5"):  # RAR4 needs no end mark: a cut between two members leaves a valid archive
        cuts.append(entry.header_offset)
    for cut in cuts:
        archive = tmp_path / f"{cut}.rar"
        archive.write_bytes(whole[:cut])
        fails(archive, tmp_path / str(cut), DOWNLOAD if not password else "", password=password)


@pytest.mark.parametrize("name", ["rar5_store", "rar5_enc", "rar4_store", "rar5_m3_solid", "rar4_enc"])
def test_one_flipped_bit_in_a_member_is_seen(name: str, tmp_path: Path) -> None:
    flipped = bytearray((FIXTURES / f"{name}.rar").read_bytes())
    entry = rarfile.RarFile(FIXTURES / f"{name}.rar").infolist()[11]
    flipped[entry.data_offset + 700] ^= 4
    (tmp_path / "a.rar").write_bytes(flipped)
    message = fails(tmp_path / "a.rar", tmp_path, password="secret" if "_enc" in name else None)
    assert "images/12.jpg" in message or "solid" in name


# Hand-made RAR5: what no packing program would write, or not any more


BLAKE2SP_OF_A = (2, b"\x00" + rarfile.Blake2SP(A).digest())


@pytest.mark.parametrize(
    ("blocks", "files"),
    [
        ([member(b"1.jpg", A), member(b"2.jpg", extra=link(1, b"1.jpg")), member(b"3.jpg", B)], {1: A, 3: B}),
        ([member(b"1.jpg", A), member(b"2.jpg", extra=link(4, b"1.jpg")), member(b"3.jpg", B)], {1: A, 3: B}),
        # a file copy gives the bytes again
        (
            [
                member(b"1.jpg", A),
                member(b"2.jpg", size=11, crc32=zlib.crc32(A), extra=link(5, b"1.jpg")),
                member(b"3.jpg", B),
            ],
            {1: A, 2: A, 3: B},
        ),
        ([member(b"d", size=11, folder=True), member(b"2.jpg", B)], {2: B}),
        ([member(b"", A), member(b"2.jpg", B)], {2: B}),
        ([member(b"1.jpg", A, crc32=None), member(b"2.jpg", B)], {1: A, 2: B}),
        ([member(b"1.jpg", A, crc32=None, extra=BLAKE2SP_OF_A), member(b"2.jpg", B)], {1: A, 2: B}),
        ([member(b"x.jpg", A, crc32=None, extra=BLAKE2SP_OF_A), member(b"2.jpg", B)], {2: B}),
        ([member(b"1.jpg", b""), member(b"2.jpg", B)], {1: b"", 2: B}),
    ],
)
def test_odd_members(blocks: list[bytes], files: dict[int, bytes], tmp_path: Path) -> None:
    report, target = extract(rar5(tmp_path, *blocks), tmp_path)
    assert contents(target) == {f"{number}.jpg": content for number, content in files.items()}
    assert report.images == len(files)


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        # the two lies about a size leave the sum as it is: only the checksum sees the wrong cut
        ([member(b"1.jpg", A, size=7), member(b"2.jpg", B, size=11)], "'1.jpg' has CRC32"),
        ([member(b"1.jpg", A, size=50), member(b"2.jpg", B)], "'1.jpg' does not have its 50 listed bytes"),
        ([member(b"x.jpg", A, size=50), member(b"2.jpg", B)], "'x.jpg' does not have its 50 listed bytes"),
        ([member(b"x.jpg", A, crc32=1), member(b"2.jpg", B)], "'x.jpg' has CRC32"),
        ([member(b"1.jpg", A, size=1 << 50)], "lists 1125899906842624"),
        ([member(b"x.jpg", A, size=1 << 50), member(b"2.jpg", B)], "lists 1125899906842631"),
        ([member(b"1.jpg", B * 2, crc32=None, extra=BLAKE2SP_OF_A)], "'1.jpg' has another BLAKE2sp than listed"),
        (
            [member(b"x.jpg", B * 2, crc32=None, extra=BLAKE2SP_OF_A), member(b"2.jpg", B)],
            "'x.jpg' has another BLAKE2sp than listed",
        ),
        ([member(b"1.jpg", A, method=0x3F), member(b"2.jpg", B)], "'1.jpg' does not have its 11 listed bytes"),
        # rarfile stops silently at a block of an unknown kind
        ([member(b"1.jpg", A), block(77, b""), member(b"2.jpg", B)], "7-Zip ended with code 2"),
        ([member(b"1.jpg", A), b"\x00" + member(b"2.jpg", B)[1:]], "damaged after member '1.jpg'"),
        ([member(b"1.jpg", A), member(b"\x1b[2J", A, crc32=1)], r"'\x1b[2J'"),
    ],
)
def test_archives_that_lie(blocks: list[bytes], says: str, tmp_path: Path) -> None:
    message = fails(rar5(tmp_path, *blocks), tmp_path, says)
    assert message.isprintable()


def test_no_end_mark(tmp_path: Path) -> None:
    fails(rar5(tmp_path, member(b"1.jpg", A), end=b""), tmp_path, "damaged after member '1.jpg'", DOWNLOAD)


@pytest.mark.parametrize("version", ["rar29", "rar50"])
def test_a_symbolic_link_with_a_listed_size_is_passed_over(version: str, tmp_path: Path) -> None:
    builder = rars.RarBuilder(format=version, store=True)
    builder.add_bytes(A, "1.jpg")
    if version == "rar50":  # lists 11 bytes and gives none; the RAR4 one gives its target
        builder.add_unix_symlink("2.jpg", "/etc/passwd")
    else:
        builder.add_bytes(b"/etc/passwd", "2.jpg", mode=0o120777)
    builder.add_directory("3.jpg")
    builder.add_bytes(B, "4.jpg")
    builder.write(str(tmp_path / "made.rar"))
    report, target = extract(tmp_path / "made.rar", tmp_path)
    assert contents(target) == {"1.jpg": A, "4.jpg": B}
    assert report.not_items.first == ("2.jpg (symbolic link)",)


# The tool


@pytest.mark.timeout(60)
def test_a_talkative_tool_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'head -c 3000000 /dev/zero >&2; TOOL "$@"; head -c 3000000 /dev/zero >&2'
    monkeypatch.setattr(mmctr.images.rar.stream, "unpacking_tool", wrapped_tool(tmp_path, script))
    report, _ = extract(FIXTURES / "rar5_store.rar", tmp_path)
    assert report.images == 30


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('TOOL "$@"; printf x', "has more bytes than that"),
        ('TOOL "$@"; exit 3', "7-Zip ended with code 3"),
        ('TOOL "$@" | head -c 3000', "'images/2.jpg' does not have its 2256 listed bytes"),
        ("exec cat /dev/zero", "'images/1.jpg' has CRC32"),
    ],
)
@pytest.mark.timeout(60)
def test_a_tool_that_misbehaves(script: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmctr.images.rar.stream, "unpacking_tool", wrapped_tool(tmp_path, script))
    fails(FIXTURES / "rar5_store.rar", tmp_path, says)


def test_the_password_is_on_no_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []
    popen = mmctr.images.rar.tool.subprocess.Popen

    def recorded(command: list[object], **options: object) -> object:
        commands.append([str(part) for part in command])
        return popen(command, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(mmctr.images.rar.tool.subprocess, "Popen", recorded)
    extract(FIXTURES / "rar5_enc.rar", tmp_path, password="secret")
    assert len(commands) == 1  # one process for all members
    assert not any("secret" in part for part in commands[0])


def test_the_archives_own_path_is_no_pattern(tmp_path: Path, thirty: dict[int, bytes]) -> None:
    folder = tmp_path / "Ü [1]*?"
    folder.mkdir()
    shutil.copy(FIXTURES / "dup.rar", folder / "-图片1.rar")
    shutil.copy(FIXTURES / "rar5_store.rar", folder / "-图片*.rar")
    report, target = extract(folder / "-图片*.rar", tmp_path)
    assert report.images == len(thirty)
    assert contents(target)["30.jpg"] == thirty[30]


@pytest.mark.parametrize(("progress", "shows"), [(True, True), (False, False), (None, False)])
def test_progress(progress: bool | None, shows: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract(FIXTURES / "dup.rar", tmp_path, progress=progress)
    captured = capsys.readouterr()
    assert ("extract" in captured.err) is shows
    assert captured.out == ""


# Names, ids, report


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b/00003.JPEG", ("3", "3.jpg")),
        ("1.Webp", ("1", "1.webp")),
        ("x\\2.bmp", ("2", "2.bmp")),
        ("9223372036854775807.png", ("9223372036854775807", "9223372036854775807.png")),
        ("0" * 5000 + "7.gif", ("7", "7.gif")),
        ("a\n/4.jpg", ("4", "4.jpg")),
        *[
            (name, None)
            for name in (
                "9223372036854775808.png",
                "1" * 5000 + ".jpg",
                "0.jpg",
                "-1.jpg",
                "+1.jpg",
                "1.0.jpg",
                "1_0.jpg",
                " 1.jpg",
                "1 .jpg",
                "1.jpg ",
                "1.jpg\n",
                "1.jpg/",
                "1.jpg/x",
                "1",
                "1.txt",
                ".jpg",
                "",
                "\uff11.jpg",  # a full-width 1
                "1.g\u0131f",  # a dotless i
            )
        ],
    ],
)
def test_image_name(name: str, expected: tuple[str, str] | None) -> None:
    assert image_name(name, names="integer") == expected


def test_long_lists_are_cut_and_the_report_is_json(tmp_path: Path) -> None:
    builder = rars.RarBuilder(store=True)
    builder.add_bytes(A, "1.jpg")
    for number in range(150):
        builder.add_bytes(B, f"{number}/1.jpg")
        builder.add_bytes(B, f"{number}/\x1b.jpg")
    builder.add_bytes(b"z" * 5000, "large.bin")  # the limit on a member is for images: this one is never held
    builder.write(str(tmp_path / "made.rar"))
    report, target = extract(tmp_path / "made.rar", tmp_path, max_member_bytes=len(A))
    assert contents(target) == {"1.jpg": A}
    written = json.loads(json.dumps(asdict(report)))
    assert [written[key]["count"] for key in ("duplicates", "not_items")] == [150, 151]
    assert [len(written[key]["first"]) for key in ("duplicates", "not_items")] == [100, 100]
    assert written["duplicates"]["first"][99] == ["1", "99/1.jpg"]
    assert written["not_items"]["first"][0] == r"0/\x1b.jpg"
    assert (written["images"], written["total_bytes"]) == (1, len(A))


def test_shown() -> None:
    assert shown("a\x1b\ud800é\n") == r"a\x1b\ud800é\n"
    assert shown("x" * 201) == "x" * 200 + "..."


MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(["", "a/", "a/b b/", "картинки/", "图/", "1.jpg/"]),
        st.one_of(st.integers(1, 8).map(str), st.sampled_from(["007", "x", "0", "1.5", "товар 1"])),
        st.sampled_from([".jpg", ".JPEG", ".png", ".webp", ".txt", ""]),
        st.binary(max_size=300),
    ),
    max_size=12,
    unique_by=lambda row: row[:3],  # rars writes no name twice
)


@given(members=MEMBERS, store=st.booleans(), solid=st.booleans(), version=st.sampled_from(["rar50", "rar29", "rar20"]))
@settings(max_examples=40, deadline=None, database=None)
def test_round_trip(members: list[tuple[str, str, str, bytes]], store: bool, solid: bool, version: str) -> None:
    builder = rars.RarBuilder(format=version, store=store, solid=solid and not store)
    builder.add_bytes(b"first", "7.bmp")
    expected = {7: ("7.bmp", b"first")}
    duplicates = not_items = 0
    for folder, stem, extension, content in members:
        builder.add_bytes(content, folder + stem + extension)
        known = extension.lower() in (".jpg", ".jpeg", ".png", ".webp") and stem.isdigit() and int(stem) > 0
        if not known:
            not_items += 1
        elif int(stem) in expected:
            duplicates += 1
        else:
            expected[int(stem)] = f"{int(stem)}{extension.lower().replace('jpeg', 'jpg')}", content
    with tempfile.TemporaryDirectory() as root:
        builder.write(f"{root}/made.rar")
        report, target = extract(Path(root) / "made.rar", Path(root))
        assert contents(target) == dict(expected.values())
    assert (report.duplicates.count, report.not_items.count) == (duplicates, not_items)


# The manifest


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return extract(FIXTURES / "rar5_store.rar", tmp_path)[1]


def later(path: Path) -> None:
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))


def no_reading(path: Path) -> str:
    raise AssertionError(f"{path} was read although it was not touched")


def test_digest_is_that_of_the_content(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = manifest_digest(images)
    assert manifest_digest(extract(FIXTURES / "rar4_m3_solid.rar", tmp_path / "again")[1]) == digest
    assert manifest_digest(extract(FIXTURES / "nested_ids.rar", tmp_path / "others")[1]) != digest
    # pinned: a change would make every cached result of every user stale
    assert digest == "3f0c9603d1d9daa62ffcc915c8fcac3bb30c1f2bf8a22184201f54d743eb49aa"
    moved = images.rename(tmp_path / "moved")
    monkeypatch.setattr(mmctr.images.manifest, "file_sha256", no_reading)
    assert manifest_digest(moved) == digest
    images.parent.rename(tmp_path / "moved too")
    assert manifest_digest(moved) == digest
    assert not moved.with_name("moved.stamps").exists()


@pytest.mark.parametrize("garbage", [None, b"", b"\xff", b"0" * 64])
def test_a_copy_is_read_once(
    garbage: bytes | None, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = manifest_digest(images)
    copy, memory = tmp_path / "copy", tmp_path / "copy.stamps"
    shutil.copytree(images, copy)  # the modification times are kept, the change times are not
    read: list[str] = []
    monkeypatch.setattr(mmctr.images.manifest, "file_sha256", lambda path: read.append(path.name) or file_sha256(path))
    assert manifest_digest(copy) == digest
    assert not memory.exists()  # files this young may change once more without another time
    monkeypatch.setattr(mmctr.images.manifest, "SETTLED_NS", 0)
    assert manifest_digest(copy) == manifest_digest(copy) == digest
    assert len(read) == 2 * 30
    if garbage is not None:
        memory.write_bytes(garbage)
        assert manifest_digest(copy) == digest
        assert len(read) == 3 * 30
    flip(copy / "3.jpg", set_back=True)
    with pytest.raises(ValueError, match="another content"):
        manifest_digest(copy)


def test_a_memory_that_cannot_be_written_is_done_without(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = manifest_digest(images)
    later(images / "3.jpg")
    images.with_name("images.stamps").mkdir()
    monkeypatch.setattr(mmctr.images.manifest, "SETTLED_NS", 0)
    assert manifest_digest(images) == digest


def test_digest_tolerates_a_touch(images: Path) -> None:
    digest = manifest_digest(images)
    later(images / "3.jpg")
    assert manifest_digest(images) == digest


def flip(path: Path, *, set_back: bool = False) -> None:
    """One bit of the content, and another modification time or the one before."""
    content, state = bytearray(path.read_bytes()), path.stat()
    content[100] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + (0 if set_back else 10**9)))


def put_another(path: Path) -> None:
    """A file of the same size and modification time takes the place of the one at `path`."""
    other = Path(shutil.copy2(path, path.parent.parent / "other"))
    flip(other, set_back=True)
    other.replace(path)


def to_link(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda folder: (folder / "3.jpg").unlink(), "lacks 1 images of its manifest, 3.jpg among them"),
        (lambda folder: os.truncate(folder / "3.jpg", 100), "3.jpg has 100 bytes instead of 2330"),
        (lambda folder: flip(folder / "3.jpg"), "3.jpg has another content than when it was extracted"),
        (lambda folder: flip(folder / "3.jpg", set_back=True), "3.jpg has another content than when"),
        (lambda folder: put_another(folder / "3.jpg"), "3.jpg has another content than when"),
        (lambda folder: (folder / "31.jpg").touch(), "holds '31.jpg', which is not in its manifest"),
        (lambda folder: (folder / "more").mkdir(), "holds 'more', which is not in its manifest"),
        (lambda folder: to_link(folder / "3.jpg"), "3.jpg is no regular file"),
        (lambda folder: (folder / MANIFEST_NAME).unlink(), "is missing or no parquet file"),
        (lambda folder: (folder / MANIFEST_NAME).write_bytes(b"no"), "is missing or no parquet file"),
        (lambda folder: pl.DataFrame({"image": ["1"]}).write_parquet(folder / MANIFEST_NAME), "has the columns"),
    ],
)
def test_digest_sees_every_change(change: Callable[[Path], None], says: str, images: Path) -> None:
    change(images)
    with pytest.raises(ValueError, match="images") as caught:
        manifest_digest(images)
    assert says in str(caught.value)

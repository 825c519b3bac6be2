"""Archives and tools that would hang, start programs, or be blamed for what they are not; and how fast hashes are."""

import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
import rarfile
import rars
from archives import FIXTURES, A, B, contents, extract, fails, link, member, rar5, wrapped_tool
from fuzz_bytes import RAR4, RAR5, mended, rar5_block, vint

import mmctr.images.rar.headers
import mmctr.images.rar.stream
from flows.cli.main import main
from mmctr.common.errors import InputError
from mmctr.images.extract import check_images
from mmctr.images.rar.hashes import Blake2SP, rar3_key
from mmctr.images.rar.listing import list_members
from mmctr.images.rar.stream import unpacking

CRC_OF_A = zlib.crc32(A)


@pytest.fixture(autouse=True)
def _no_machine_wide_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.common.files.os.sync", lambda: None)


# Programs of the user's


def sub_block(name: bytes, content: bytes, *, method: int) -> bytes:
    """A service record of RAR 3."""
    fields = struct.pack("<LLBLLBBHL", len(content), 100, 3, zlib.crc32(content), 0, 29, method, len(name), 0x20) + name
    return struct.pack("<HBHH", 0, 0x7A, 0x8000, 7 + len(fields)) + fields + content


def block_with_crc(body: bytes, *, covered: int) -> bytes:
    """A header of RAR 1.5 to 4 whose checksum covers its first bytes alone, as those of comments and around them do."""
    return struct.pack("<H", zlib.crc32(body[: covered - 2]) & 0xFFFF) + body


def with_comment(place: str, *, password: str | None) -> bytes:
    """A RAR 1.5 to 3 with a comment, which for rarfile is encrypted where there is a password."""
    version = place if place.startswith("rar") else "rar29"
    comment = "words " * 50 if place == version else None
    builder = rars.RarBuilder(format=version, store=True, password=password, comment=comment)
    builder.add_bytes(A, "1.jpg")
    whole, packed = bytes(builder.to_bytes()), b"packed words"
    if place == "service":
        return mended(whole[:20] + sub_block(b"CMT", packed, method=0x33) + whole[20:])
    if place == "main header":
        fields = struct.pack("<BHHHBBH", 0x75, 4, 13 + len(packed), 100, 29, 0x33, 0)
        inner = block_with_crc(fields + packed, covered=13)
        main = block_with_crc(struct.pack("<BHH6x", 0x73, 2, 13 + len(inner)) + inner, covered=13)
        return whole[:7] + main + whole[20:]
    return whole


@pytest.mark.parametrize(
    ("place", "password"),
    [
        ("rar15", None),  # 7-Zip knows no encryption as old as that
        *((place, password) for place in ("rar20", "rar29", "service", "main header") for password in (None, "secret")),
    ],
)
def test_comments_are_not_read_and_no_program_of_the_users_is_started(
    place: str, password: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, called = tmp_path / "bin", tmp_path / "called"
    programs.mkdir()
    for name in ("unrar", "unar", "7z", "7zz", "bsdtar"):
        (programs / name).write_text(f'#!/bin/sh\necho "$0 $*" >> {called}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(rarfile, "CURRENT_SETUP", None)
    (tmp_path / "made.rar").write_bytes(with_comment(place, password=password))
    _, target = extract(tmp_path / "made.rar", tmp_path, password=password)
    assert contents(target) == {"1.jpg": A}
    assert not called.exists()


# Members that are no plain files


def test_an_older_version_of_a_file_is_passed_over_and_named(tmp_path: Path) -> None:
    older = member(b"1.jpg", A, extra=(4, vint(0) + vint(1)))
    report, target = extract(rar5(tmp_path, older, member(b"1.jpg", B)), tmp_path)
    assert contents(target) == {"1.jpg": B}
    assert report.not_items.first == ("1.jpg (older version of a file)",)


def test_an_older_version_in_rar4(tmp_path: Path) -> None:
    builder = rars.RarBuilder(format="rar29", store=True)
    builder.add_bytes(A, "1.jpg")
    builder.add_bytes(B, "2.jpg")
    content = bytearray(builder.to_bytes())
    at = len(RAR4) + 13
    while content[at + 2] != 0x74:  # to the first file's header
        at += struct.unpack_from("<H", content, at + 5)[0] + struct.unpack_from("<I", content, at + 7)[0]
    content[at + 4] |= rarfile.RAR_FILE_VERSION >> 8
    (tmp_path / "made.rar").write_bytes(mended(bytes(content)))
    report, target = extract(tmp_path / "made.rar", tmp_path)
    assert contents(target) == {"2.jpg": B}
    assert report.not_items.first == ("1.jpg (older version of a file)",)


def test_identical_files_as_references(tmp_path: Path) -> None:
    """As rar -oi writes them: no content and no checksum of their own."""
    copies = [
        member(name, size=11, crc32=0, extra=link(5, of)) for name, of in ((b"2.jpg", b"1.jpg"), (b"3.jpg", b"2.jpg"))
    ]
    report, target = extract(rar5(tmp_path, member(b"1.jpg", A), *copies, member(b"4.jpg", B)), tmp_path)
    assert contents(target) == {"1.jpg": A, "2.jpg": A, "3.jpg": A, "4.jpg": B}
    assert (report.images, report.not_items.count) == (4, 0)


def test_a_reference_to_a_hashed_file(tmp_path: Path) -> None:
    blake2sp = (2, b"\x00" + rarfile.Blake2SP(A).digest())
    blocks = (
        member(b"1.jpg", A, crc32=None, extra=blake2sp),
        member(b"2.jpg", size=11, crc32=0, extra=link(5, b"1.jpg")),
    )
    assert contents(extract(rar5(tmp_path, *blocks), tmp_path)[1]) == {"1.jpg": A, "2.jpg": A}


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        (member(b"2.jpg", size=11, crc32=CRC_OF_A, extra=link(4, b"1.jpg")), "is a hard link to '1.jpg'"),
        (member(b"x", size=11, crc32=0, extra=link(4, b"1.jpg")), "is a hard link to '1.jpg'"),
        (member(b"2.jpg", size=11, crc32=0, extra=link(5, b"9.jpg")), "is stored as a reference to '9.jpg'"),
        (member(b"2.jpg", size=7, crc32=0, extra=link(5, b"1.jpg")), "is stored as a reference to '1.jpg'"),
        (member(b"2.jpg", size=7, crc32=0, extra=link(5, b"3.jpg")), "is stored as a reference to '3.jpg'"),
        (member(b"2.jpg", size=5, crc32=0, extra=link(3, b"1.jpg")), "2.jpg), which is a symbolic link"),
    ],
)
def test_links_have_their_own_words(odd: bytes, says: str, tmp_path: Path) -> None:
    message = fails(
        rar5(tmp_path, member(b"1.jpg", A), odd, member(b"3.jpg", B)), tmp_path, says, "Pack the images again"
    )
    assert "ownload" not in message


# The tool


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("kill -9 $$", "was ended from outside (Killed, 9)"),
        ('TOOL "$@" 2>/dev/null | head -c 3000; kill -15 $$', "was ended from outside (Terminated, 15)"),
        ("kill -STOP $$", "gave no byte and used no processor time"),
        ('TOOL "$@" 2>/dev/null | head -c 3000; kill -STOP $$', "gave no byte and used no processor time"),
        ('TOOL "$@"; exec 1>&-; kill -STOP $$', "gave no byte and used no processor time"),
    ],
)
@pytest.mark.timeout(120)
def test_a_tool_that_is_ended_or_stopped(
    script: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        mmctr.images.rar.stream, "unpacking_tool", wrapped_tool(tmp_path, f"echo $$ >{tmp_path}/pid; {script}")
    )
    message = fails(FIXTURES / "rar5_store.rar", tmp_path / "out", says, "run again", stalled_seconds=1.5)
    assert "ownload" not in message
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


@pytest.mark.timeout(120)
def test_a_tool_that_is_busy_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmctr.images.rar.stream, "unpacking_tool", wrapped_tool(tmp_path, "while :; do :; done"))
    archive = FIXTURES / "rar5_store.rar"
    members = list_members(archive, password=None)
    with (
        pytest.raises(InputError, match=r"gave no byte for \d s, though it was busy"),
        unpacking(archive, members=members, password=None, silent_seconds=3) as stream,
    ):
        stream.read(members[0])


@pytest.mark.timeout(120)
def test_a_stopped_tool_ends_with_this_process(tmp_path: Path) -> None:
    tool = wrapped_tool(tmp_path, f"echo $$ >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; kill -STOP $$")()
    code = (
        "import sys, pathlib, mmctr.images.rar.stream as s\n"
        f"s.unpacking_tool = lambda: pathlib.Path({str(tool)!r})\n"
        "with s.unpacking(pathlib.Path('a.rar'), members=[], password=None) as stream: stream.finish()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        limit = time.monotonic() + 60
        while not (tmp_path / "pid").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        proc = Path("/proc", (tmp_path / "pid").read_text().strip())
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    while proc.exists() and time.monotonic() < limit and "Z" not in (proc / "stat").read_text().split()[2]:
        time.sleep(0.05)
    assert not proc.exists() or (proc / "stat").read_text().split()[2] == "Z"  # where nobody is there to reap it


# Bounds


def test_headers_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.images.bounds.MAX_HEADERS", 10)
    for name in ("rar5_store", "rar4_store"):
        fails(FIXTURES / f"{name}.rar", tmp_path / name, "has more than 10 headers", "Pack the images again")


def test_names_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = rar5(tmp_path, member(b"1.jpg", A), member(b"a" * 40_000 + b".jpg", A))
    fails(long, tmp_path / "x", "has a name of 40,004 characters")
    monkeypatch.setattr("mmctr.images.bounds.MAX_NAMES", 100)
    fails(FIXTURES / "rar4_store.rar", tmp_path / "y", "or too many long ones")


def encryption_header(log2: int) -> bytes:
    return rar5_block(vint(4) + vint(0) + vint(0) + vint(0) + bytes([log2]) + b"salt" * 4)


@pytest.mark.timeout(60)
def test_keys_that_take_long_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """24 is the most that the format allows: ten seconds and more for each of two keys, and for 7-Zip's again."""
    for maker in ("hashlib.pbkdf2_hmac", "rarfile.pbkdf2_hmac", "mmctr.images.rar.tool.subprocess.Popen"):
        monkeypatch.setattr(maker, lambda *_, **__: pytest.fail("a key is made"))
    end = rar5_block(vint(5) + vint(0) + vint(0))
    (tmp_path / "headers.rar").write_bytes(RAR5 + encryption_header(24) + bytes(64) + end)
    keyed = bytes([1]) + vint(0) + vint(0) + bytes([24]) + b"s" * 16 + b"i" * 16
    rar5(tmp_path, member(b"1.jpg", b"x" * 16, extra=(1, keyed[1:])))
    for name in ("headers", "made"):
        fails(tmp_path / f"{name}.rar", tmp_path / f"{name}.out", "asks for keys of 2^24 rounds", password="secret")


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 511, 512, 513, 70_001])
def test_blake2sp(size: int) -> None:
    content = bytes(number * 7 % 251 for number in range(size))
    pieces = Blake2SP()
    for at in range(0, size, 777):
        pieces.update(content[at : at + 777])
    assert pieces.digest() == Blake2SP(content).digest() == rarfile.Blake2SP(content).digest()


@pytest.mark.parametrize("password", ["", "secret", "пароль", "x" * 28, "x" * 29])
def test_the_key_of_a_rar3_header(password: str) -> None:
    assert rar3_key(password, b"12345678") == rarfile.rar3_s2k(password, b"12345678")


def test_a_slow_listing_says_why(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(mmctr.images.rar.headers, "FIRST_WORD_SECONDS", -1.0)
    assert len(list_members(FIXTURES / "rar4_enc_hdr.rar", password="secret")) == 30
    (line,) = caplog.messages
    assert "members listed so far; in RAR 3 and 4 each encrypted header may have a key of its own" in line


# The same rules everywhere


def no_prefect(**_: object) -> None:
    raise AssertionError("Prefect was started")


@pytest.mark.parametrize(
    ("archive", "setting", "says"),
    [
        ("rar5_names", "", "such as изображения/товар 1.jpg, 图片/封面 (1).jpg, images/[a]*?.jpg"),
        ("rar5_store", "extract.max_total_gib=1", ""),
        ("rar5_truncated", "", "cut off or damaged after member 'images/20.jpg'"),
        ("rar5_enc", "", "Use the right password in the environment variable that extract.password_env names."),
        ("bomb", "extract.max_member_mib=1", "Raise extract.max_member_mib if you trust the archive."),
    ],
)
def test_check_and_run_refuse_the_same_before_prefect_starts(
    archive: str,
    setting: str,
    says: str,
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("flows.process.prefect_server.connect", no_prefect)
    source = FIXTURES / f"{'rar5_bomb_10MB' if archive == 'bomb' else archive}.rar"
    (demo / "item_images_2.rar").write_bytes(source.read_bytes())
    told = []
    for command in ("check", "run"):
        arguments = [command, str(demo), "--set", f"embed.model={demo / 'tiny_clip.pt'}"]
        if not says and command == "run":
            with pytest.raises(AssertionError, match="Prefect was started"):
                main([*arguments, "--set", setting])
            return
        assert main([*arguments, *(["--set", setting] if setting else [])]) == (2 if says else 0)
        told.append(capsys.readouterr().err.partition("\n")[2])  # after what the command begins to do
    assert told[0] == told[1]
    assert says in told[0]
    assert len(told[0].splitlines()) < 3


def test_the_library_has_the_same_rules_in_both(tmp_path: Path) -> None:
    archive = FIXTURES / "rar5_bomb_10MB.rar"
    for limits in ({"max_member_bytes": 10**6}, {"max_total_bytes": 10**6}):
        with pytest.raises(InputError) as error:
            check_images(archive, **limits)
        assert str(error.value) == fails(archive, tmp_path / str(limits), **limits)

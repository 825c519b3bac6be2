"""What `ordinary_members` lists is what rarfile lists, of whole, damaged and hand-made archives; or it lists none."""

import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import project
import pytest
import rars
from fuzz_bytes import RAR5, mended, mutate, near_start, rar5, rar5_block, rar5_file, vint
from hypothesis import given, settings
from hypothesis import strategies as st

from mmctr.common.errors import InputError
from mmctr.images.rar.listing import list_members
from mmctr.images.rar.member import Member
from mmctr.images.rar.rar5_headers import HEADER_BYTES, PIECE_BYTES, ordinary_members

FIXTURES = project.FIXTURES / "rar"
LEFT_TO_RARFILE = {
    "evil_symlink_abs",
    "evil_symlink_item",
    "evil_symlink_rel",
    "nul_name",
    "rar5_comment",
    "rar5_enc",
    "rar5_enc_hdr",
    "rar5_truncated",
    "vol5.part01",
    "vol5.part02",
    "vol5.part03",
}
A = b"A" * 11


@pytest.fixture
def by_rarfile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], list[Member] | None]:
    """Gives rarfile's listing alone, None where it refuses the archive."""
    monkeypatch.setattr("mmctr.images.rar.listing.ordinary_members", lambda _: None)
    return listed


def listed(archive: Path) -> list[Member] | None:
    try:
        return list_members(archive, password=None)
    except InputError:
        return None


def test_every_fixture(by_rarfile: Callable[[Path], list[Member] | None]) -> None:
    left = set()
    for archive in FIXTURES.glob("*.rar"):
        members = ordinary_members(archive)
        if members is None:
            left.add(archive.stem)
        else:
            assert members == by_rarfile(archive), archive.name
    assert {name for name in left if not name.startswith(("rar4", "rar15", "rar20", "rar29"))} == LEFT_TO_RARFILE


def test_an_ordinary_archive_is_not_listed_by_rarfile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.images.rar.listing.headers_of", None)
    assert len(list_members(FIXTURES / "rar5_m3.rar", password=None)) == 30
    assert len(list_members(FIXTURES / "rar5_m3.rar", password="secret")) == 30


@pytest.mark.parametrize(
    "options", [{"store": True}, {}, {"solid": True}, {"recovery_percent": 5}, {"format": "rar70"}]
)
def test_archives_of_rars(
    options: dict[str, object], tmp_path: Path, by_rarfile: Callable[[Path], list[Member] | None]
) -> None:
    builder = rars.RarBuilder(**options)
    for number in range(1, 40):
        builder.add_bytes(bytes([number]) * number**3, f"картинки/{number}.jpg", mtime=number * 10**8, mode=0o100644)
    builder.add_directory("пусто")
    builder.set_times(3, modified_ns=10**18 + 1, created_ns=10**18 + 2, accessed_ns=10**18 + 3)
    builder.write(str(tmp_path / "a.rar"))
    members = ordinary_members(tmp_path / "a.rar")
    assert members == by_rarfile(tmp_path / "a.rar")
    assert members is not None
    assert len(members) == 40


def header(
    name: bytes = b"1.jpg",
    *,
    kind: int = 2,
    flags: int = 0,
    file_flags: int = 4,
    records: bytes = b"",
    extra_size: int | None = None,
) -> bytes:
    """A member's header with the content A, or a service's."""
    body = vint(file_flags) + vint(len(A)) + vint(0o100644) + (b"TIME" if file_flags & 2 else b"")
    body += (struct.pack("<I", zlib.crc32(A)) if file_flags & 4 else b"") + vint(0) + vint(1) + vint(len(name)) + name
    sizes = vint(len(records) if extra_size is None else extra_size) if flags & 1 else b""
    sizes += vint(len(A)) if flags & 2 else b""
    return rar5_block(vint(kind) + vint(flags) + sizes + body + records) + (A if flags & 2 else b"")


def record(kind: int, content: bytes) -> bytes:
    return vint(len(content) + 1) + bytes([kind]) + content


HASH = record(2, b"\x00" + b"h" * 32)
END, OTHER_MAIN = rar5_block(b"\x05\x00\x00"), rar5_block(b"\x01\x00\x00")
WINDOWS, LATE = b"\0\0\0\0\0\0\xd9\x01", b"\xff" * 8
UNIX, WHOLE, TOO_MANY_NS = b"abcd", struct.pack("<I", 999_999_999), struct.pack("<I", 10**9)


@pytest.mark.parametrize(
    "blocks",
    [
        header(),
        header(flags=2),
        header(flags=6) + header(b"x/2.jpg", flags=3, records=HASH),
        header(flags=3, file_flags=0, records=HASH),
        header(flags=3, file_flags=0, records=record(2, b"\x00" + b"g" * 32) + HASH),
        header(flags=3, file_flags=0, records=record(3, b"\x02" + WINDOWS) + HASH),
        header(flags=2, file_flags=6),
        header(flags=2, file_flags=0),
        header(b"d", file_flags=1) + header(b"e", flags=1, file_flags=7, records=HASH),
        header(b""),
        header(b"\xe5\x9b\xbe/1.jpg"),
        header(flags=1, records=record(3, b"\x0e" + WINDOWS * 3)),
        header(flags=1, records=record(3, b"\x07" + UNIX * 2)),
        header(flags=1, records=record(3, b"\x13" + UNIX + WHOLE)),
        header(flags=1, records=record(3, b"\x1f" + UNIX * 3 + WHOLE * 3)),
        header(flags=1, records=record(3, b"\x01")),
        header(flags=1, records=record(7, b"\x01\x02")),
        header(b"QO", kind=3, flags=7, records=record(7, b"\x01")) + header(),
        header(b"n" * HEADER_BYTES),
        b"".join(header(f"{number}.jpg".encode(), flags=2) for number in range(2 * PIECE_BYTES // 40)),
        header() + END + b"whatever follows",
        b"",
    ],
)
def test_ordinary_headers(blocks: bytes, tmp_path: Path, by_rarfile: Callable[[Path], list[Member] | None]) -> None:
    (tmp_path / "a.rar").write_bytes(rar5([blocks]))
    members = ordinary_members(tmp_path / "a.rar")
    assert members is not None
    assert members == by_rarfile(tmp_path / "a.rar")


@pytest.mark.parametrize(
    "blocks",
    [
        header(b"1.jpg\x00"),
        header(b"1.jpg/"),
        header(b"d/", file_flags=1),
        header(b"\xff.jpg"),
        header(b"n" * PIECE_BYTES),
        header(file_flags=12),
        header(file_flags=20),
        *(header(flags=flags) for flags in (8, 16, 32, 64, 128)),
        *(header(flags=1, records=record(kind, b"\x01\x00\x011")) for kind in (1, 4, 5, 6, 8)),
        header(flags=1, records=record(2, b"\x01" + b"h" * 32)),
        header(flags=1, records=record(2, b"\x00" + b"h" * 31)),
        header(flags=1, records=HASH[:-1]),
        header(flags=1, records=HASH + b"\x00"),
        header(flags=1, records=HASH, extra_size=34),
        header(flags=1, records=HASH, extra_size=36),
        header(flags=0, records=HASH),
        header(flags=1, records=record(3, b"\x02" + LATE)),
        header(flags=1, records=record(3, b"\x02" + WINDOWS[:-1])),
        header(flags=1, records=record(3, b"\x12" + WINDOWS + WHOLE)),
        header(flags=1, records=record(3, b"\x13" + UNIX + TOO_MANY_NS)),
        header(flags=1, records=record(3, b"\x22" + WINDOWS)),
        header(b"CMT", kind=3, flags=2),
        header(b"CMT\x00", kind=3, flags=2),
        header(kind=4),
        header(kind=6, flags=4),
        OTHER_MAIN,
        rar5_block(b"\x05\x00\x01"),
        rar5_block(b"\x05\x08\x00"),
        b"\x00" + header()[1:],
        header()[:-1],
        rar5_block(b"\x02\x02" + b"\xff" * 9 + b"\x7f\x04\x0b\x00" + b"crc." + b"\x00\x01\x051.jpg"),
    ],
)
def test_the_rest_is_left_to_rarfile(blocks: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(rar5([header(), blocks]))
    assert ordinary_members(tmp_path / "a.rar") is None


@pytest.mark.parametrize(
    "main", [b"\x01\x00\x01", b"\x01\x00\x02\x01", b"\x01\x02\x01\x00", b"\x04\x00\x00", b"\x02\x00"]
)
def test_archives_that_do_not_begin_as_ordinary_ones(main: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(RAR5 + rar5_block(main) + header() + END)
    assert ordinary_members(tmp_path / "a.rar") is None


def test_no_end_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(rar5([header()])[: -len(END)])
    for name in ("a.rar", "absent.rar", "."):
        assert ordinary_members(tmp_path / name) is None


SEEDS = [path.read_bytes() for path in sorted(FIXTURES.glob("*.rar")) if path.read_bytes().startswith(RAR5)]
SEEDS += [
    rar5(
        [
            header(flags=3, file_flags=6, records=HASH + record(3, b"\x1f" + UNIX * 3 + WHOLE * 3)),
            header(b"d", file_flags=1),
        ]
    ),
    rar5([rar5_file(b"1.jpg", A, size=11, crc=0, flags=4, link=(kind, b"2.jpg")) for kind in range(6)]),
    *([rar5([header(bytes([c]) * n, flags=n % 8, records=HASH) for c in b"azAZ09/" for n in range(1, 30, 7)])] * 8),
]


@given(seed=st.integers(0, 2**64 - 1))
@settings(max_examples=400, deadline=None, database=None)
def test_damaged_archives(seed: int) -> None:
    """With right checksums over the damage, or else hardly any damaged header is looked at."""
    rng = Random(seed)
    content = rng.choice((mutate, near_start))(rng, rng.choice(SEEDS), donors=SEEDS)
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        archive = Path(root) / "a.rar"
        archive.write_bytes(mended(content) if rng.random() < 0.8 else content)
        patch.setattr("mmctr.images.rar.listing.ordinary_members", lambda _: None)
        members = ordinary_members(archive)
        assert members is None or members == listed(archive)

"""The same rules for a RAR, a zip, a tar of each kind and a folder: keys, companions, limits, damage."""

from functools import partial
from pathlib import Path

import pytest
from archives import A, B
from sources import ARCHIVES, SOURCES, compressed, make, read, tar_bytes

from mmctr.common.errors import InputError
from mmctr.images.extract import check_images, extract_images
from mmctr.images.in_place import index_folder
from mmctr.images.source import kind_of

C = b"C" * 3000


@pytest.fixture(autouse=True)
def _no_machine_wide_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.common.files.os.sync", lambda: None)


def message_of(source: Path, root: Path, **options: object) -> str:
    """What a source is refused with; nothing may be left of it."""
    kind = kind_of(source) if source.exists() else "rar"
    read_it = index_folder if kind == "folder" else partial(extract_images, target=root / "target")
    with pytest.raises(InputError) as caught:
        read_it(source, progress=False, **options)
    assert not (root / "target").exists()
    assert not list(root.glob(".*"))
    message = str(caught.value)
    assert len(message) < 700
    return message


FILES = {
    "a/1.jpg": A,
    "a/02.JPEG": B,
    "b/1.png": C,
    "b/red shoe.WebP": C,
    "notes.txt": b"words",
    "a/._1.jpg": b"companion",
    "__MACOSX/a/3.jpg": b"companion",
}


@pytest.mark.parametrize("ending", SOURCES)
@pytest.mark.parametrize(
    ("names", "expected", "duplicates", "not_items"),
    [
        ("integer", {"1": A, "2": B}, 1, 4),
        ("text", {"1": A, "02": B, "red shoe": C}, 1, 3),
        ("path", {"a/1.jpg": A, "a/02.JPEG": B, "b/1.png": C, "b/red shoe.WebP": C}, 0, 3),
    ],
)
def test_keys_and_companions(ending, names, expected, duplicates, not_items, tmp_path):
    source = make(ending, tmp_path, FILES)
    report, found = read(source, tmp_path, names=names)
    assert found == expected
    assert (report.images, report.duplicates.count, report.not_items.count) == (len(expected), duplicates, not_items)
    assert {"a/._1.jpg", "__MACOSX/a/3.jpg", "notes.txt"} <= set(report.not_items.first)
    assert report.total_bytes == sum(map(len, expected.values()))
    assert report.duplicates.first == ((("1", "b/1.png"),) if duplicates else ())


@pytest.mark.parametrize("ending", SOURCES)
@pytest.mark.parametrize("names", ["integer", "text", "path"])
def test_a_look_before_says_the_same(ending, names, tmp_path):
    source = make(ending, tmp_path, FILES)
    report, found = read(source, tmp_path, names=names)
    listing = check_images(source, names=names, progress=False)
    assert listing is not None
    assert set(listing.keys) == set(found)
    assert (listing.members, listing.report) == (len(FILES) + (2 + 2 if ending == "folder" else 0), report)
    quick = check_images(source, names=names, whole=False, progress=False)
    assert quick == (None if ending in ("tar.gz", "tar.zst") else listing)


@pytest.mark.parametrize("ending", SOURCES)
def test_text_keys_that_are_none(ending, tmp_path):
    """Longer than 256 bytes of UTF-8, or no stem at all; a file's name on the disk is never the text itself."""
    most = 120 if ending == "folder" else 128  # letters of two bytes; a file's whole name has at most 255
    files = {f"{'é' * most}.jpg": A, ".jpg": B, "..jpg": C}
    if ending != "folder":
        files[f"{'é' * most}x.jpg"] = B
    report, found = read(make(ending, tmp_path, files), tmp_path, names="text")
    assert found == {"é" * most: A, ".": C}
    assert report.not_items.count == len(files) - 2


@pytest.mark.parametrize("ending", SOURCES)
def test_an_empty_source(ending, tmp_path):
    message = message_of(make(ending, tmp_path / "in", {}), tmp_path)
    assert f"The {'folder' if ending == 'folder' else 'archive'} must hold images named <item_id>.jpg" in message
    assert "among its 0 members" in message
    assert "Use the" in message


@pytest.mark.parametrize("ending", SOURCES)
def test_nothing_that_is_an_image(ending, tmp_path):
    source = make(ending, tmp_path / "in", {"shoe.jpg": A})
    assert "among its 1 members, such as shoe.jpg" in message_of(source, tmp_path)
    with pytest.raises(InputError, match=r"such as shoe\.jpg"):
        check_images(source, progress=False)


@pytest.mark.parametrize("ending", SOURCES)
@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"max_member_bytes": 2999}, "at most 2999 bytes: member 'b/1.jpg'"),
        ({"max_total_bytes": 3010}, "at most 3010 bytes"),
    ],
)
def test_limits(ending, limits, says, tmp_path):
    source = make(ending, tmp_path / "in", {"a/2.jpg": A, "b/1.jpg": C})
    for message in (message_of(source, tmp_path, **limits), refusal(source, **limits)):
        assert says in message
        assert f"Raise `{next(iter(limits))}` if you trust" in message
    one_more = {name: limit + 1 for name, limit in limits.items()}
    assert read(source, tmp_path / "in", **one_more)[0].images == 2


def refusal(source: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        check_images(source, progress=False, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("ending", ARCHIVES)
@pytest.mark.parametrize("part", [0.25, 0.5, 0.75, 0.9, -1])
def test_a_truncated_archive(ending, part, tmp_path):
    files = {f"{number}.jpg": bytes([number]) * 5000 + bytes(range(256)) * number for number in range(1, 30)}
    source = make(ending, tmp_path / "in", files)
    content = source.read_bytes()
    source.write_bytes(content[: int(len(content) * part) if part > 0 else -1])
    if (ending, part) == ("tar", -1):  # one of the zeros that fill up the last record
        assert read(source, tmp_path)[0].images == 29
        return
    message = message_of(source, tmp_path)
    assert "cut off or damaged" in message
    assert "Download or copy the archive again" in message


@pytest.mark.parametrize("ending", ARCHIVES)
@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "is empty"), (b"<!DOCTYPE html><html>", "a web page"), (b"x" * 600, "starts with the bytes 78 78")],
)
def test_another_kind_of_file(ending, content, says, tmp_path):
    path = tmp_path / f"made.{ending}"
    path.write_bytes(content)
    message = message_of(path, tmp_path)
    assert f"must be a {'RAR' if ending == 'rar' else ending[:3]} file" in message
    assert says in message
    assert "Use the path of the" in message
    assert refusal(path, whole=False) == message


@pytest.mark.parametrize("ending", ARCHIVES)
def test_no_file(ending, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_images(tmp_path / f"absent.{ending}", progress=False)


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.zst"])
@pytest.mark.parametrize(
    "name",
    [
        "/var/tmp/escaped/2.jpg",
        "../2.jpg",
        "../../2.jpg",
        "a/../../2.jpg",
        "C:\\2.jpg",
        "..\\..\\2.jpg",
        "./2.jpg",
        "\x1b[2J/2.jpg",
    ],
)
@pytest.mark.parametrize("names", ["integer", "text", "path"])
def test_paths_that_lead_elsewhere(ending, name, names, tmp_path):
    """`read` looks at everything around the folder of images, and where the paths lead."""
    report, found = read(make(ending, tmp_path, {"1.jpg": A, name: B}), tmp_path, names=names)
    assert report.images == 2
    assert sorted(found.values()) == sorted([A, B])
    if names != "path":
        assert found["2"] == B


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.zst"])
def test_hostile_names_are_shown_short(ending, tmp_path):
    long = "x" * 30_000
    source = make(ending, tmp_path, {"1.jpg": A, f"a\x1b[2J\n\x00/{long}.txt": B, f"{long}/1.jpg": B})
    report, _ = read(source, tmp_path)
    assert all(len(name) < 260 and name.isprintable() for name in report.not_items.first)
    assert all(len(name) < 260 for _, name in report.duplicates.first)


@pytest.mark.parametrize("ending", SOURCES)
def test_listings_are_bounded(ending, tmp_path, monkeypatch):
    monkeypatch.setattr("mmctr.images.bounds.MAX_HEADERS", 10)
    monkeypatch.setattr("mmctr.images.sources.zip.MAX_HEADERS", 10)
    source = make(ending, tmp_path / "in", {f"{number}.jpg": A for number in range(1, 20)})
    message = message_of(source, tmp_path)
    assert "must be bounded" in message
    assert "more than 10" in message


def test_a_compressed_tar_that_is_no_bomb_by_its_headers(tmp_path):
    """A member that lists a petabyte is refused before it is unpacked, and so is one that is too many."""
    head = tar_bytes({"1.jpg": A})[:1024]
    size = tar_header(b"2.jpg", 1 << 50)
    for ending in ("tar", "tar.gz", "tar.zst"):
        path = tmp_path / f"made.{ending}"
        path.write_bytes(compressed(head + size + bytes(5000), ending=ending))
        message = message_of(path, tmp_path)
        assert ("lists 1125899906842624" if ending != "tar" else "cut off or damaged") in message


def tar_header(name: bytes, size: int) -> bytes:
    import tarfile

    info = tarfile.TarInfo(name.decode())
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)

"""Archives made by hand, and what an extraction of one must leave."""

import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import project
import pytest

from mmctr.common.errors import InputError
from mmctr.images.extract import extract_images
from mmctr.images.manifest import MANIFEST_NAME, MANIFEST_SCHEMA
from mmctr.images.plan import ExtractReport
from mmctr.images.rar.tool import unpacking_tool

FIXTURES = project.FIXTURES / "rar"
A, B = b"A" * 11, b"B" * 7


def tree(root: Path, *, but: Path) -> dict[str, object]:
    """Everything below `root` except `but`: kinds, contents, link targets."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if Path(folder, name) != but]
        for name in folders + files:
            path = Path(folder, name)
            found[str(path)] = (
                path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else "folder"
            )
    return found


def extract(archive: Path, root: Path, **options: object) -> tuple[ExtractReport, Path]:
    """Extract deep inside `root`, and check that nothing else in `root` nor where the evil archives point changed."""
    target = root / "deep" / "deeper" / "images"
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / "deep" / "2.jpg").write_bytes(b"kept")
    outside = [Path("/var/tmp/escaped"), Path("/var/tmp/escaped/2.jpg")]
    before = tree(root, but=target), [path.exists() for path in outside]
    report = extract_images(archive, target, **options)  # type: ignore[arg-type]
    assert (tree(root, but=target), [path.exists() for path in outside]) == before
    return report, target


def contents(target: Path) -> dict[str, bytes]:
    """File name to bytes of all images, each checked to be a regular file and to stand right in the manifest."""
    manifest = pl.read_parquet(target / MANIFEST_NAME)
    assert manifest.schema == pl.Schema(MANIFEST_SCHEMA)
    assert manifest["image"].to_list() == sorted(manifest["image"], key=lambda key: (len(key.encode()), key))
    assert sorted(p.name for p in target.iterdir()) == sorted([*manifest["file_name"], MANIFEST_NAME])
    found = {}
    for row in manifest.iter_rows(named=True):
        path = target / row["file_name"]
        assert path.is_file()
        assert not path.is_symlink()
        content = found[path.name] = path.read_bytes()
        assert path.stem in (row["image"], hashlib.sha256(row["image"].encode()).hexdigest())
        assert row["size"] == len(content)
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert (row["mtime_ns"], row["ctime_ns"]) == (path.stat().st_mtime_ns, path.stat().st_ctime_ns)
    return found


def fails(archive: Path, root: Path, *says: str, **options: object) -> str:
    """The message of the InputError that the archive ends in; a folder extracted before must stay as it was."""
    target = root / "deep" / "deeper" / "images"
    target.mkdir(parents=True)
    (target / "old.jpg").write_bytes(b"old")
    before = tree(root, but=root / "none")
    with pytest.raises(InputError) as caught:
        extract_images(archive, target, **options)  # type: ignore[arg-type]
    assert tree(root, but=root / "none") == before
    message = str(caught.value)
    for part in (archive.name, *says):
        assert part in message, message
    assert len(message) < 700
    return message


def vint(number: int) -> bytes:
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def block(kind: int, body: bytes, *, extra: bytes = b"", content: bytes = b"") -> bytes:
    sizes = (vint(len(extra)) if extra else b"") + (vint(len(content)) if content else b"")
    header = vint(kind) + vint(bool(extra) | 2 * bool(content)) + sizes + body + extra
    header = vint(len(header)) + header
    return struct.pack("<I", zlib.crc32(header)) + header + content


def member(
    name: bytes,
    content: bytes = b"",
    *,
    size: int | None = None,
    crc32: int | None = -1,
    extra: tuple[int, bytes] | None = None,
    folder: bool = False,
    method: int = 0,
) -> bytes:
    crc32 = zlib.crc32(content) if crc32 == -1 else crc32
    body = vint(folder | 4 * (crc32 is not None)) + vint(len(content) if size is None else size) + vint(0o100644)
    body += (b"" if crc32 is None else struct.pack("<I", crc32)) + vint(method) + vint(1) + vint(len(name)) + name
    record = b"" if extra is None else vint(extra[0]) + extra[1]
    return block(2, body, extra=vint(len(record)) + record if record else b"", content=content)


def rar5(root: Path, *blocks: bytes, end: bytes = block(5, vint(0))) -> Path:
    path = root / "made.rar"
    path.write_bytes(b"Rar!\x1a\x07\x01\x00" + block(1, vint(0)) + b"".join(blocks) + end)
    return path


def link(kind: int, goal: bytes) -> tuple[int, bytes]:
    return 5, vint(kind) + vint(0) + vint(len(goal)) + goal


def wrapped_tool(root: Path, script: str) -> Callable[[], Path]:
    path = root / "tool"
    path.write_text(f"#!/bin/sh\n{script}\n".replace("TOOL", str(unpacking_tool())))
    path.chmod(0o755)
    return lambda: path

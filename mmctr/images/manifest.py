"""The manifest of images: what they are, and whether a folder of extracted ones is still so.

It keeps each file's times, so that "is this folder still what was extracted" is cheap: only a file whose times are
others is read again.
"""

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import polars as pl

from mmctr.common.errors import raise_if_of_the_machine
from mmctr.common.files import SETTLED_NS, file_sha256, write_bytes
from mmctr.common.text import shown_value
from mmctr.inputs.parquet import read_table

MANIFEST_NAME = "manifest.parquet"
MANIFEST_SCHEMA = {
    "image": pl.String,  # the key: an item id as text, or the image's path in its source
    "file_name": pl.String,  # relative to the folder of images
    "size": pl.Int64,
    "sha256": pl.String,
    "mtime_ns": pl.Int64,
    "ctime_ns": pl.Int64,  # the change time is not a program's to set
}
ImageRow = tuple[str, str, int, str, int, int]  # in the order of the schema


def make_manifest(images: Sequence[ImageRow]) -> pl.DataFrame:
    """The manifest of images, in the order of their keys: shorter ones first, so that integers are ascending."""
    return _ordered(pl.DataFrame(images, schema=MANIFEST_SCHEMA, orient="row"))


def write_manifest(folder: Path, images: Sequence[ImageRow]) -> None:
    """List the images in `folder`, which have not changed since their rows were made."""
    make_manifest(images).write_parquet(folder / MANIFEST_NAME)


def _ordered(manifest: pl.DataFrame) -> pl.DataFrame:
    return manifest.sort(pl.col("image").str.len_bytes(), "image")


def read_manifest(path: Path) -> pl.DataFrame:
    """A manifest, which is the file at `path`.

    Raises:
        ValueError: it is missing, or something else.
        OSError: the machine does not let it be read.
    """
    try:
        manifest = read_table(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise_if_of_the_machine(error, path=path)
        raise ValueError(f"{path} is missing or no parquet file: extract the images again") from error
    if manifest.schema != pl.Schema(MANIFEST_SCHEMA):
        raise ValueError(f"{path} has the columns {dict(manifest.schema)}: extract the images again")
    return manifest


def manifest_digest(folder: Path) -> str:
    """SHA-256 over key, file name, size and content of the images in `folder`, as 64 hexadecimal digits.

    Each file is compared with the manifest by size and both times; only a file of another time is read. So the digest
    depends on what the images are, not on when they were written. A copy of the folder, where all times are others, is
    read once: `<folder>.stamps` beside it then remembers the times.

    Raises:
        ValueError: a file is missing, altered, no regular file, or not in the manifest.
        OSError: the machine does not let the manifest be read, which says nothing about the images.
    """
    started = time.time_ns()
    manifest = read_manifest(folder / MANIFEST_NAME)
    digest = listing_digest(manifest)
    times = _file_times(folder, dict(manifest.select("file_name", "size").iter_rows()))
    rows = manifest.select("file_name", "sha256", "mtime_ns", "ctime_ns").iter_rows()
    touched = {name: sha256 for name, sha256, *written in rows if times[name] != tuple(written)}
    if touched:
        stamp = hashlib.sha256(repr((digest, sorted(times.items()))).encode()).hexdigest()
        settled = started - max(max(pair) for pair in times.values()) > SETTLED_NS
        _check_contents(folder, touched, stamp=stamp, settled=settled)
    return digest


def listing_digest(manifest: pl.DataFrame) -> str:
    """`manifest_digest` of the images that a manifest lists; whether they are there is not looked at."""
    digest = hashlib.sha256()
    for row in _ordered(manifest).select("image", "file_name", "size", "sha256").iter_rows():
        digest.update(listing_line(*row))
    return digest.hexdigest()


def listing_line(*fields: str | int) -> bytes:
    """What a row of a listing adds to its digest; nothing in a name can be taken for the end of a field."""
    return b"\t".join(str(field).encode("unicode_escape") for field in fields) + b"\n"


def _file_times(folder: Path, sizes: dict[str, int]) -> dict[str, tuple[int, int]]:
    """Both times of each file in `folder`, which must hold the named files with these sizes, and nothing else."""
    times = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == MANIFEST_NAME:
                continue
            if entry.name not in sizes:
                raise ValueError(f"{folder} holds {shown_value(entry.name)}, which is not in its manifest")
            state = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(state.st_mode):
                raise ValueError(f"{folder}/{entry.name} is no regular file")
            if state.st_size != sizes[entry.name]:
                raise ValueError(f"{folder}/{entry.name} has {state.st_size} bytes instead of {sizes[entry.name]}")
            times[entry.name] = (state.st_mtime_ns, state.st_ctime_ns)
    if lacking := sizes.keys() - times.keys():
        raise ValueError(f"{folder} lacks {len(lacking)} images of its manifest, {min(lacking)} among them")
    return times


def _check_contents(folder: Path, touched: dict[str, str], *, stamp: str, settled: bool) -> None:
    """Compare the files' SHA-256, unless that was done before for the same `stamp`."""
    memory = folder.with_name(f"{folder.name}.stamps")
    with suppress(OSError):
        if memory.read_bytes() == stamp.encode():
            return
    for name, sha256 in touched.items():
        if file_sha256(folder / name) != sha256:
            raise ValueError(f"{folder}/{name} has another content than when it was extracted")
    if settled:
        with suppress(OSError):  # it only saves time
            write_bytes(memory, stamp.encode())

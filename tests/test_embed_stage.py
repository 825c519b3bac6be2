"""What the stage adds to the library: settings by their names, and images that the next run extracts again."""

import os
from pathlib import Path

import polars as pl
import pytest

from mmctr.errors import InputError
from mmctr.image_manifest import MANIFEST_NAME, manifest_digest, write_manifest
from tasks.config import named_as_settings
from tasks.embed import _mark_for_extraction


def list_again(folder: Path) -> None:
    """Let the manifest have the times of the files as they are, and what they held before."""
    rows = pl.read_parquet(folder / MANIFEST_NAME).to_dicts()
    states = {row["file_name"]: os.lstat(folder / row["file_name"]) for row in rows}
    times = [(states[row["file_name"]].st_mtime_ns, states[row["file_name"]].st_ctime_ns) for row in rows]
    write_manifest(folder, [(*list(row.values())[:5], *pair) for row, pair in zip(rows, times, strict=True)])


def test_an_image_with_other_bytes_and_the_old_times_is_found_by_the_next_run(tmp_path: Path) -> None:
    """A disk that lost a sector changes no time, so without a mark each run would find the image changed and stop."""
    import hashlib
    import zlib

    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for item in (1, 2):
        content = f"image {item}".encode()
        (folder / f"{item}.jpg").write_bytes(content)
        rows.append((item, f"{item}.jpg", len(content), zlib.crc32(content), hashlib.sha256(content).hexdigest(), 0, 0))
    write_manifest(folder, rows)
    (folder / "2.jpg").write_bytes(b"image !")
    list_again(folder)
    good = manifest_digest(folder)
    _mark_for_extraction([folder / "1.jpg"])
    assert manifest_digest(folder) == good  # it is read and found right
    _mark_for_extraction([folder / "2.jpg", folder / "absent.jpg"])
    with pytest.raises(ValueError, match=r"2.jpg has another content"):
        manifest_digest(folder)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("or raise max_failure_share.", "or raise embed.max_failure_share."),
        ("a lower max_pixels; workers=0 decodes", "a lower embed.max_pixels; embed.workers=0 decodes"),
        ("allow it with allow_torchscript=True if", "allow it with embed.allow_torchscript=True if"),
        ("use fewer workers of the model", "use fewer workers of the model"),
        ("embed.max_pixels and /a/max_pixels/b.jpg", "embed.max_pixels and /a/max_pixels/b.jpg"),
    ],
)
def test_the_librarys_parameters_are_named_as_settings(said: str, shown: str) -> None:
    with pytest.raises(InputError) as error, named_as_settings("embed"):
        raise InputError(said)
    assert str(error.value) == shown

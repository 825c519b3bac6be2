"""What the stage adds to the library: images that the next run extracts again, and a checkpoint that is looked at."""

import hashlib
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest
import torch
from tiny_clip import tiny_network

from flows.run.inputs import FoundFiles, look_before
from mmctr.common.errors import InputError
from mmctr.images.manifest import MANIFEST_NAME, manifest_digest, write_manifest
from tasks.embed import _manifest, _mark_for_extraction
from tasks.settings.sections import PipelineConfig


def list_again(folder: Path) -> None:
    """Let the manifest have the times of the files as they are, and what they held before."""
    rows = pl.read_parquet(folder / MANIFEST_NAME).to_dicts()
    states = {row["file_name"]: os.lstat(folder / row["file_name"]) for row in rows}
    times = [(states[row["file_name"]].st_mtime_ns, states[row["file_name"]].st_ctime_ns) for row in rows]
    write_manifest(folder, [(*list(row.values())[:4], *pair) for row, pair in zip(rows, times, strict=True)])


def test_an_image_with_other_bytes_and_the_old_times_is_found_by_the_next_run(tmp_path: Path) -> None:
    """A disk that lost a sector changes no time, so without a mark each run would find the image changed and stop."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows = []
    for item in (1, 2):
        content = f"image {item}".encode()
        (folder / f"{item}.jpg").write_bytes(content)
        rows.append((str(item), f"{item}.jpg", len(content), hashlib.sha256(content).hexdigest(), 0, 0))
    write_manifest(folder, rows)
    (folder / "2.jpg").write_bytes(b"image !")
    list_again(folder)
    good = manifest_digest(folder)
    _mark_for_extraction([folder / "1.jpg"])
    assert manifest_digest(folder) == good  # it is read and found right
    _mark_for_extraction([folder / "2.jpg", folder / "absent.jpg"])
    with pytest.raises(ValueError, match=r"2.jpg has another content"):
        manifest_digest(folder)


def test_images_that_are_listed_otherwise_than_the_key_says_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"one")
    row = ("1", "1.jpg", 3, hashlib.sha256(b"one").hexdigest(), 0, 0)
    write_manifest(tmp_path, [row])
    digest = manifest_digest(tmp_path)
    assert len(_manifest(tmp_path / MANIFEST_NAME, digest=digest)) == 1
    write_manifest(tmp_path, [("2", *row[1:])])
    with pytest.raises(InputError, match=r"must stay as they are .* lists others; run again"):
        _manifest(tmp_path / MANIFEST_NAME, digest=digest)
    (tmp_path / MANIFEST_NAME).unlink()
    with pytest.raises(InputError, match=r"is missing .*; run again"):
        _manifest(tmp_path / MANIFEST_NAME, digest=digest)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("not finite", "must be finite numbers of half precision"),
        ("a program", "allow it with embed.allow_torchscript=True if you trust"),
        ("no checkpoint", "is not, or is incomplete"),
    ],
)
def test_a_checkpoint_of_no_use_is_said_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: str
) -> None:
    model = tmp_path / "model.pt"
    if kind == "not finite":
        weights = tiny_network().state_dict()
        torch.save(weights | {"visual.proj": weights["visual.proj"] * torch.nan}, model)
    elif kind == "a program":
        with zipfile.ZipFile(model, "w") as archive:
            archive.writestr("model/constants.pkl", "")
    else:
        model.write_text("<html>")
    monkeypatch.setattr("flows.run.inputs.find_files", lambda _: FoundFiles({}, None, []))
    with pytest.raises(InputError, match=words):
        look_before(PipelineConfig(base_path=tmp_path, embed={"model": str(model)}))

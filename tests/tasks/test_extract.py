"""The stage on each kind of source: what it leaves, what it refers to, and when that is good no more."""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from archives import A, B
from sources import SOURCES, make

import mmctr.images.in_place
from mmctr.images.manifest import listing_digest, read_manifest
from tasks.cache.images import content_of, image_source, images_ref
from tasks.cache.results import Extracted, ResultSerializer
from tasks.cache.stage import RunContext, StageRunner, stage_key
from tasks.cache.workspace import FolderRef, PartsRef, Workspace
from tasks.extract import extract
from tasks.settings.items import ExtractConfig

FILES = {"a/1.jpg": A, "a/02.JPEG": B, "b/1.png": B, "notes.txt": b"words"}
CONFIG = ExtractConfig()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.setattr("mmctr.common.files.os.sync", lambda: None)
    monkeypatch.setattr("tasks.extract.own_folder", lambda workspace: workspace.store("extract", "k" * 24))
    monkeypatch.setattr("tasks.extract.logger", lambda: logging.getLogger("test"))
    return Workspace(base)


def run(workspace: Workspace, source: Path, *, names: str, ref: object, config: ExtractConfig) -> Any:
    """What the stage returns: its result, or the state of a refusal."""
    return extract.fn(RunContext(workspace, "cpu"), config=config, source=image_source(source, names=names), images=ref)


def extracted(workspace: Workspace, source: Path, *, names: str = "integer") -> Extracted:
    made = run(workspace, source, names=names, ref=images_ref(workspace, source, CONFIG), config=CONFIG)
    assert isinstance(made, Extracted), made
    assert ResultSerializer().loads(ResultSerializer().dumps(made)) == made
    return made


def holds(workspace: Workspace, made: Extracted) -> bool:
    runner = StageRunner(RunContext(workspace, "cpu"))
    return all(runner._holds(ref) for ref in made.references())


@pytest.mark.parametrize("ending", SOURCES)
@pytest.mark.parametrize(("names", "images"), [("integer", 2), ("text", 2), ("path", 3)])
def test_every_source(ending, names, images, workspace):
    source = make(ending, workspace.base_path, FILES)
    made = extracted(workspace, source, names=names)
    duplicates = 0 if names == "path" else 1
    assert made.counts == {"images": images, "duplicate_images": duplicates, "not_items": 1}
    assert len(made.references()) == 3
    manifest = read_manifest(workspace.base_path / made.images.manifest)
    assert len(manifest) == images
    for name, sha256 in manifest.select("file_name", "sha256").iter_rows():
        assert hashlib.sha256((workspace.path(made.images) / name).read_bytes()).hexdigest() == sha256
    assert made.images.digest == listing_digest(manifest)
    assert made.images.in_place == (ending == "folder")
    assert made.images.manifest == made.manifest.path
    assert not Path(made.images.path).is_absolute()
    report = json.loads(workspace.path(made.report).read_bytes())
    assert report["not_items"]["first"] == ["notes.txt"]
    assert holds(workspace, made)


def test_the_same_images_are_the_same_to_what_follows(workspace):
    """A folder is another source than an archive, but one archive's images are those of another."""
    found = {}
    for ending in SOURCES:
        source = make(ending, workspace.base_path / ending, FILES)
        found[ending] = extracted(workspace, source).images.digest
        if ending != "folder":
            assert found[ending] == found["rar"]
    assert found["folder"] != found["rar"]  # as its files are called otherwise


@pytest.fixture
def folder(workspace: Workspace) -> Path:
    return make("folder", workspace.base_path, FILES)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    paths = [folder, *sorted(folder.rglob("*"))]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in paths}


def test_a_folder_is_used_in_place(workspace, folder):
    before = snapshot(folder)
    made = extracted(workspace, folder)
    assert holds(workspace, made)
    assert snapshot(folder) == before
    assert made.images.path == "images"
    kept = {path.name for path in workspace.store("extract", "k" * 24).rglob("*")}
    assert kept == {"manifest.parquet", "extract.json"}


def test_an_input_is_named_by_its_content(workspace, folder):
    archive = make("zip", workspace.base_path, FILES)
    refs = [images_ref(workspace, source, CONFIG) for source in (folder, archive)]
    assert [type(ref) for ref in refs] == [FolderRef, PartsRef]
    assert content_of(refs[1]) == hashlib.sha256(archive.read_bytes()).hexdigest()
    os.utime(folder / "a/1.jpg")
    (folder / "notes.txt").write_bytes(b"other words")
    assert images_ref(workspace, folder, CONFIG) == refs[0]
    (folder / "a/1.jpg").write_bytes(b"other")
    assert content_of(images_ref(workspace, folder, CONFIG)) != content_of(refs[0])


def test_what_was_read_is_remembered_in_the_workspace(workspace, folder, monkeypatch):
    monkeypatch.setattr(mmctr.images.in_place, "SETTLED_NS", -(1 << 62))
    ref = images_ref(workspace, folder, CONFIG)
    memory = pl.read_parquet(workspace.root / "images.parquet")
    assert memory["path"].to_list() == ["a/02.JPEG", "a/1.jpg", "b/1.png"]
    monkeypatch.setattr("mmctr.images.sources.folder.FolderStream.read", lambda *_: pytest.fail("it was read again"))
    assert images_ref(workspace, folder, CONFIG) == ref
    assert holds(workspace, extracted(workspace, folder))


def test_keys_go_by_content_kind_and_names(workspace, folder):
    zipped = make("zip", workspace.base_path, FILES)

    def key(source: Path, names: str = "integer", config: ExtractConfig = CONFIG) -> str:
        inputs = {"source": image_source(source, names=names), "images": images_ref(workspace, source, CONFIG)}
        return stage_key(extract, {"config": config, **inputs})

    keys = [key(folder), key(folder, "text"), key(folder, "path"), key(zipped), key(zipped, "path")]
    assert len(set(keys)) == len(keys)
    assert key(folder) == keys[0]
    copy = folder.rename(workspace.base_path / "moved")
    assert key(copy) == keys[0]
    assert key(copy, config=ExtractConfig(password_env="X")) == keys[0]
    assert key(copy, config=ExtractConfig(max_member_mib=1)) != keys[0]


@pytest.mark.parametrize("change", ["another content", "gone", "a link", "the folder moved", "the manifest gone"])
def test_a_result_in_place_that_is_good_no_more(change, workspace, folder):
    made = extracted(workspace, folder)
    path = folder / "a/1.jpg"
    if change == "another content":
        path.write_bytes(bytes(byte ^ 1 for byte in A))
    elif change == "gone":
        path.unlink()
    elif change == "a link":
        path.rename(workspace.base_path / "elsewhere")
        path.symlink_to(workspace.base_path / "elsewhere")
    elif change == "the folder moved":
        folder.rename(workspace.base_path / "moved")
    else:
        (workspace.base_path / made.images.manifest).unlink()
    assert not holds(workspace, made)


def test_a_folder_that_changed_after_it_was_named(workspace, folder):
    ref = images_ref(workspace, folder, CONFIG)
    (folder / "b/7.png").write_bytes(b"new")
    refused = run(workspace, folder, names="integer", ref=ref, config=CONFIG)
    assert "inputs must stay as they are while a run reads them; images changed meanwhile" in refused.message
    assert not list(workspace.store("extract", "k" * 24).rglob("*.parquet"))


@pytest.mark.parametrize("ending", ["zip", "folder"])
def test_errors_name_the_settings(ending, workspace):
    source = make(ending, workspace.base_path, {"1.jpg": bytes((1 << 20) + 1)})
    ref = images_ref(workspace, source, CONFIG)
    refused = run(workspace, source, names="integer", ref=ref, config=ExtractConfig(max_member_mib=1))
    assert "Raise extract.max_member_mib if you trust" in refused.message

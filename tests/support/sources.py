"""The same images as a RAR, a zip, a tar of each kind and a folder, and what reading any of them must leave."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow
import rars
from archives import contents, extract, tree

from mmctr.images.in_place import index_folder
from mmctr.images.manifest import MANIFEST_NAME
from mmctr.images.plan import ExtractReport
from mmctr.images.source import kind_of

ARCHIVES = ["rar", "zip", "tar", "tar.gz", "tar.zst"]
SOURCES = [*ARCHIVES, "folder"]


def tar_bytes(files: Mapping[str, bytes], *, ending: str = "tar", **options: Any) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", **options) as archive:
        for name, file in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(file)
            archive.addfile(info, io.BytesIO(file))
    return compressed(content.getvalue(), ending=ending)


def compressed(content: bytes, *, ending: str) -> bytes:
    if ending == "tar.gz":
        return gzip.compress(content)
    return pyarrow.compress(content, codec="zstd", asbytes=True) if ending == "tar.zst" else content


def zip_bytes(files: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, file in files.items():
            archive.writestr(name, file)
    return content.getvalue()


def make(ending: str, root: Path, files: Mapping[str, bytes]) -> Path:
    """A source of `files`, in their order as far as it has one."""
    path = root / ("images" if ending == "folder" else f"made.{ending}")
    root.mkdir(parents=True, exist_ok=True)
    if ending == "folder":
        path.mkdir()
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif ending == "rar":
        builder = rars.RarBuilder(store=True)
        for name, content in files.items():
            builder.add_bytes(content, name)
        builder.write(str(path))
    elif ending == "zip":
        path.write_bytes(zip_bytes(files))
    else:
        path.write_bytes(tar_bytes(files, ending=ending))
    return path


def read(source: Path, root: Path, **options: Any) -> tuple[ExtractReport, dict[str, bytes]]:
    """The report on a source, and the content of each image by its key; nothing but a folder for them may change."""
    if kind_of(source) != "folder":
        report, target = extract(source, root, progress=False, **options)
        found = contents(target)
        manifest = pl.read_parquet(target / MANIFEST_NAME)
        return report, {key: found[name] for key, name in manifest.select("image", "file_name").iter_rows()}
    before = tree(root, but=root / "none")
    index = index_folder(source, progress=False, **options)
    assert tree(root, but=root / "none") == before
    names = dict(index.manifest.select("image", "file_name").iter_rows())
    return index.report, {key: (source / name).read_bytes() for key, name in names.items()}

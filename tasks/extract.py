"""Stage 1: images out of an archive, or the list of those in a folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mmctr.common.errors import InputError
from tasks.cache.images import ImagesInput
from tasks.cache.results import Extracted
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import FolderRef, ImagesRef, PartsRef, Workspace
from tasks.settings.archive import ImageSource, archive_limits, folder_limits
from tasks.settings.items import ExtractConfig

if TYPE_CHECKING:
    from mmctr.images.plan import ExtractReport


@stage
def extract(context: RunContext, *, config: ExtractConfig, source: ImageSource, images: ImagesInput) -> Extracted:
    """Write the images of an archive, or list those of a folder, with a report of what was passed over."""
    from mmctr.common.files import write_bytes

    workspace = context.workspace
    folder = own_folder(workspace)
    if isinstance(images, FolderRef):
        made, report = _list(workspace, folder, images, config=config, source=source)
    else:
        made, report = _unpack(workspace, folder, images, config=config, source=source)
    logger().info("%d images of a %s, %.0f MB", report.images, source.kind, report.total_bytes / 1e6)
    write_bytes(folder / "extract.json", json.dumps(asdict(report), indent=1).encode())
    return Extracted(
        images=made,
        manifest=workspace.file_ref(workspace.base_path / made.manifest),
        report=workspace.file_ref(folder / "extract.json"),
        counts={
            "images": report.images,
            "duplicate_images": report.duplicates.count,
            "not_items": report.not_items.count,
        },
    )


def _unpack(
    workspace: Workspace, folder: Path, archive: PartsRef, *, config: ExtractConfig, source: ImageSource
) -> tuple[ImagesRef, "ExtractReport"]:
    from mmctr.images.extract import extract_images
    from mmctr.images.manifest import MANIFEST_NAME, manifest_digest

    target = folder / "images"
    with workspace.reading(archive) as file:
        report = extract_images(file, target, kind=source.kind, names=source.names, **archive_limits(config))
    manifest = workspace.relative(target / MANIFEST_NAME)
    return ImagesRef(path=workspace.relative(target), digest=manifest_digest(target), manifest=manifest), report


def _list(
    workspace: Workspace, folder: Path, images: FolderRef, *, config: ExtractConfig, source: ImageSource
) -> tuple[ImagesRef, "ExtractReport"]:
    """The images stay where they are: the run goes on with the user's own folder."""
    from mmctr.common.files import replacing
    from mmctr.images.in_place import index_folder
    from mmctr.images.manifest import MANIFEST_NAME, listing_digest

    index = index_folder(
        workspace.path(images), names=source.names, memory=workspace.image_memory, **folder_limits(config)
    )
    if index.digest != images.digest:
        raise InputError(
            f"inputs must stay as they are while a run reads them; {images.path} changed meanwhile, nothing was made "
            "of it; run again"
        )
    with replacing(folder / MANIFEST_NAME) as partial:
        index.manifest.write_parquet(partial)
    manifest = workspace.relative(folder / MANIFEST_NAME)
    made = ImagesRef(path=images.path, digest=listing_digest(index.manifest), manifest=manifest, in_place=True)
    return made, index.report

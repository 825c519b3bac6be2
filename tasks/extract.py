"""Stage 1: images out of the RAR archive."""

import json
from dataclasses import asdict

from tasks.cache.results import Extracted
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import FolderRef, PartsRef
from tasks.settings.archive import archive_limits
from tasks.settings.sections import ExtractConfig


@stage
def extract(context: RunContext, *, config: ExtractConfig, archive: PartsRef) -> Extracted:
    """Write the images of the archive, each named by its item, with a manifest and a report of what was passed over."""
    from mmctr.common.files import write_bytes
    from mmctr.images.extract import extract_images
    from mmctr.images.manifest import MANIFEST_NAME, manifest_digest

    workspace = context.workspace
    folder = own_folder(workspace)
    with workspace.reading(archive) as archive_file:
        report = extract_images(archive_file, folder / "images", **archive_limits(config))
    logger().info("%d images extracted, %.0f MB", report.images, report.total_bytes / 1e6)
    write_bytes(folder / "extract.json", json.dumps(asdict(report), indent=1).encode())
    return Extracted(
        images=FolderRef(path=workspace.relative(folder / "images"), digest=manifest_digest(folder / "images")),
        manifest=workspace.file_ref(folder / "images" / MANIFEST_NAME),
        report=workspace.file_ref(folder / "extract.json"),
        counts={
            "images": report.images,
            "duplicate_images": report.duplicates.count,
            "not_items": report.not_items.count,
        },
    )

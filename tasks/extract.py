"""Stage 1: images out of the RAR archive."""

import json
from dataclasses import asdict

from tasks.archive_settings import archive_limits, settings_named
from tasks.config import ExtractConfig
from tasks.references import FolderRef, PartsRef
from tasks.results import Extracted
from tasks.stage import Place, current_key, logger, stage


@stage
def extract(place: Place, *, config: ExtractConfig, archive: PartsRef) -> Extracted:
    """Write the images of the archive, each named by its item, with a manifest and a report of what was passed over."""
    from mmctr.archive import extract_images
    from mmctr.files import write_bytes
    from mmctr.image_manifest import MANIFEST_NAME, manifest_digest

    workspace = place.workspace
    folder = workspace.store("extract", current_key())
    with workspace.reading(archive) as archive_file, settings_named():
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

"""Stage 1: images out of the RAR archive."""

import json
import os
from dataclasses import asdict

from mmctr.errors import InputError
from tasks.config import ExtractConfig
from tasks.references import FileRef, FolderRef
from tasks.results import Extracted
from tasks.stage import Place, current_key, logger, stage


@stage
def extract(place: Place, *, config: ExtractConfig, archive: FileRef) -> Extracted:
    """Write the images of the archive, each named by its item, with a manifest and a report of what was passed over."""
    from mmctr.archive import extract_images, manifest_digest
    from mmctr.files import write_bytes

    workspace = place.workspace
    folder = workspace.store("extract", current_key())
    report = extract_images(
        workspace.path(archive),
        folder / "images",
        password=_password(config),
        max_member_bytes=config.max_member_mib << 20,
        max_total_bytes=config.max_total_gib << 30,
    )
    logger().info("%d images extracted, %.0f MB", report.images, report.total_bytes / 1e6)
    write_bytes(folder / "extract.json", json.dumps(asdict(report), indent=1).encode())
    return Extracted(
        images=FolderRef(path=workspace.relative(folder / "images"), digest=manifest_digest(folder / "images")),
        report=workspace.file_ref(folder / "extract.json"),
        counts={
            "images": report.images,
            "duplicate_images": report.duplicates.count,
            "not_items": report.not_items.count,
        },
    )


def _password(config: ExtractConfig) -> str | None:
    if config.password_env is None:
        return None
    password = os.environ.get(config.password_env)
    if password is None:
        raise InputError(
            f"extract.password_env names the environment variable {config.password_env!r}, which is not set; "
            "set it to the archive's password"
        )
    return password

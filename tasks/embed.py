"""Stage 2: CLIP embeddings of titles and images."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mmctr.common.errors import InputError
from tasks.cache.code_digest import components_code, vectors_folder
from tasks.cache.results import Embedded
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import FileRef, ImagesRef, Workspace
from tasks.running.progress import ProgressArtifact
from tasks.settings.sections import EmbedConfig

if TYPE_CHECKING:
    import polars as pl

    from mmctr.embedding.options import EmbedOptions
    from mmctr.embedding.report import EmbedReport

ITEM_COUNTS = (
    *("items", "with_both", "title_only", "image_only", "neither"),
    *("missing_titles", "missing_images", "unknown_images"),
)
WORK_COUNTS = ("embedded_titles", "reused_titles", "embedded_images", "reused_images")


@stage
def embed(
    context: RunContext, *, config: EmbedConfig, clip_model: FileRef | str, items: FileRef, images: ImagesRef
) -> Embedded:
    """Write `embeddings.parquet`; vectors that were computed before for the same content are reused."""
    from mmctr.embedding.items import embed_items

    from mmctr.compute.device import resolve_device
    from mmctr.embedding.fill import ChangedImagesError
    from mmctr.inputs.columns import read_items

    workspace = context.workspace
    folder = own_folder(workspace)
    device = resolve_device(context.device)
    images_folder = workspace.path(images)
    with workspace.reading(items) as items_file:
        table = read_items(items_file).rename({"title": "item_title"})
    manifest = _manifest(workspace.base_path / images.manifest, digest=images.digest)
    with ExitStack() as inputs:
        model = clip_model if isinstance(clip_model, str) else inputs.enter_context(workspace.reading(clip_model))
        try:
            embeddings, report = embed_items(
                table,
                manifest,
                images_folder=images_folder,
                model=str(model),
                device=device,
                shards=workspace.vectors / vectors_folder(),
                image_code=components_code(config),
                options=_options(config),
                on_progress=ProgressArtifact("embedding, titles and images of those that are new"),
            )
        except ChangedImagesError as error:
            if not images.in_place:
                _mark_for_extraction(error.paths)
            raise
    logger().info(
        "%d items embedded on %s: %d with title and image, %d unreadable images, %d images of unknown items",
        *(report.items, device, report.with_both, report.unreadable_image_count, report.unknown_images),
    )
    return _write(workspace, folder, embeddings, report)


def _write(workspace: Workspace, folder: Path, embeddings: "pl.DataFrame", report: "EmbedReport") -> Embedded:
    """Keep the embeddings, and of the report what is the same however much of the work was done before."""
    from mmctr.common.files import replacing, write_bytes

    figures = asdict(report)
    logger().info("new or reused: %s", {name: figures[name] for name in WORK_COUNTS})
    with replacing(folder / "embeddings.parquet") as partial:
        embeddings.write_parquet(partial)
    kept = {name: value for name, value in figures.items() if name not in WORK_COUNTS}
    write_bytes(folder / "embed.json", json.dumps(kept, indent=1).encode())
    return Embedded(
        embeddings=workspace.file_ref(folder / "embeddings.parquet"),
        report=workspace.file_ref(folder / "embed.json"),
        counts={**{name: figures[name] for name in ITEM_COUNTS}, "unreadable_images": report.unreadable_image_count},
    )


def _options(config: EmbedConfig) -> "EmbedOptions":
    from mmctr.embedding.options import EmbedOptions

    return EmbedOptions(
        shard_size=config.shard_size,
        batch_size=config.image_batch,
        token_batch=config.token_batch,
        workers=config.workers,
        max_pixels=config.max_pixels,
        jpeg_draft=config.jpeg_draft,
        image_precision=config.image_precision,
        allow_torchscript=config.allow_torchscript,
        max_failure_share=config.max_failure_share,
    )


def _manifest(path: Path, *, digest: str) -> "pl.DataFrame":
    """What the manifest of the images lists, which must be what the stage's key says."""
    from mmctr.images.manifest import listing_digest, read_manifest

    try:
        manifest = read_manifest(path)
    except ValueError as error:
        raise InputError(f"{error}; run again, which does that") from error
    if listing_digest(manifest) != digest:
        raise InputError(f"images must stay as they are while a run reads them; {path} lists others; run again")
    import polars as pl

    return manifest.with_columns(pl.col("image").cast(pl.Int64).alias("item_id"))


def _mark_for_extraction(images: Sequence[Path]) -> None:
    """Set another time than the manifest's, so that the next run reads the files, and extracts what is not right."""
    for path in images:
        with suppress(OSError):  # a file that is gone is missed anyway
            os.utime(path, follow_symlinks=False)

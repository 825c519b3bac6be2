"""Stage 2: vectors of the items: of their titles and images by an encoder, or given ones."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mmctr.common.components import load_component
from mmctr.common.errors import InputError
from mmctr.common.text import shown
from mmctr.encoders.names import parse_model
from mmctr.images.naming import Naming
from mmctr.inputs.layout import ItemColumns
from tasks.cache.code_digest import component_code, vectors_folder
from tasks.cache.results import Embedded
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import FileRef, ImagesRef, Workspace
from tasks.running.progress import ProgressArtifact
from tasks.settings.items import EmbedConfig

if TYPE_CHECKING:
    import polars as pl

    from mmctr.embedding.options import EmbedOptions
    from mmctr.embedding.report import EmbedReport
    from mmctr.embedding.vectors import ItemVectors

SOURCES = "mmctr.embedding.sources"  # a module for each value of embed.source
ITEM_COUNTS = (
    *("items", "with_both", "title_only", "image_only", "neither"),
    *("missing_titles", "missing_images", "unknown_images"),
)
WORK_COUNTS = ("embedded_titles", "reused_titles", "embedded_images", "reused_images")


@stage
def embed(
    context: RunContext,
    *,
    config: EmbedConfig,
    columns: ItemColumns,
    items: FileRef,
    clip_model: FileRef | str | None,
    images: ImagesRef | None,
    names: Naming | None,
) -> Embedded:
    """Write `embeddings.parquet` and `embed.json`.

    Vectors that an encoder made before for the same content are reused. With `config.source = "columns"` they are read
    from the item table, and there is neither model nor image.
    """
    if config.source == "columns":
        return _read(context, config, columns=columns, items=items)
    assert clip_model is not None, "an encoder has weights"
    return _encode(context, config, columns=columns, items=items, clip_model=clip_model, images=images, names=names)


def _read(context: RunContext, config: EmbedConfig, *, columns: ItemColumns, items: FileRef) -> Embedded:
    """Vectors that exist already."""
    read_item_vectors = load_component(SOURCES, config.source)
    with context.workspace.reading_table(items) as files:
        made, counts = read_item_vectors(files, item_id=columns.item_id, columns=config.columns, fuse=config.fuse)
    found = {shown(name): count for name, count in counts.found.items()}
    logger().info("%d items have vectors: %s; %d have none", counts.items - counts.none, found, counts.none)
    return _write(
        context.workspace, made, report=asdict(counts), counts={"items": counts.items, "without_vector": counts.none}
    )


def _encode(
    context: RunContext,
    config: EmbedConfig,
    *,
    columns: ItemColumns,
    items: FileRef,
    clip_model: FileRef | str,
    images: ImagesRef | None,
    names: Naming | None,
) -> Embedded:
    """Vectors of titles and images."""
    from mmctr.compute.device import resolve_device
    from mmctr.embedding.fill import ChangedImagesError
    from mmctr.inputs.columns import read_items

    workspace, embed_items = context.workspace, load_component(SOURCES, config.source)
    device = resolve_device(context.device)
    with workspace.reading_table(items) as files:
        table = read_items(files, columns=columns)
    manifest = images and _manifest(workspace.base_path / images.manifest, digest=images.digest)
    with ExitStack() as inputs:
        weights = None if isinstance(clip_model, str) else inputs.enter_context(workspace.reading(clip_model))
        try:
            made, report = embed_items(
                table,
                manifest,
                images_folder=images and workspace.path(images),
                names=names or "integer",
                model=config.model,
                weights=weights,
                fuse=config.fuse,
                device=device,
                shards=workspace.vectors / vectors_folder(parse_model(config.model).kind),
                image_code=component_code(config, "image_precision"),
                options=_options(config),
                on_progress=ProgressArtifact("embedding, titles and images of those that are new"),
            )
        except ChangedImagesError as error:
            if images and not images.in_place:
                _mark_for_extraction(error.paths)
            raise
    logger().info(
        "%d items embedded on %s: %d with title and image, %d unreadable images, %d images of unknown items",
        *(report.items, device, report.with_both, report.unreadable_image_count, report.unknown_images),
    )
    return _keep(workspace, made, report)


def _keep(workspace: Workspace, made: "ItemVectors", report: "EmbedReport") -> Embedded:
    """Of the report what is the same however much of the work was done before."""
    figures = asdict(report)
    logger().info("new or reused: %s", {name: figures[name] for name in WORK_COUNTS})
    return _write(
        workspace,
        made,
        report={name: value for name, value in figures.items() if name not in WORK_COUNTS},
        counts={**{name: figures[name] for name in ITEM_COUNTS}, "unreadable_images": report.unreadable_image_count},
    )


def _write(workspace: Workspace, made: "ItemVectors", *, report: dict[str, object], counts: dict[str, int]) -> Embedded:
    from mmctr.common.files import write_bytes
    from mmctr.embedding.vectors import write_vectors

    folder = own_folder(workspace)
    write_vectors(made, folder / "embeddings.parquet")
    write_bytes(folder / "embed.json", json.dumps(report, indent=1).encode())
    return Embedded(
        embeddings=workspace.file_ref(folder / "embeddings.parquet"),
        report=workspace.file_ref(folder / "embed.json"),
        counts=counts,
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
    return manifest


def _mark_for_extraction(images: Sequence[Path]) -> None:
    """Set another time than the manifest's, so that the next run reads the files, and extracts what is not right."""
    for path in images:
        with suppress(OSError):  # a file that is gone is missed anyway
            os.utime(path, follow_symlinks=False)

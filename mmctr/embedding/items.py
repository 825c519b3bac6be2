"""One CLIP vector per item from its title and its image.

Shapes: n items, E the length of CLIP's embedding.

Both vectors are L2-normalised and averaged; where one is missing or unusable the other stands alone, and an item with
neither gets zeros. Vectors are kept in `VectorShards` by the digest of their content, so equal titles and equal images
are embedded once, an interrupted run goes on after its last shard, and a run with nothing new needs no model.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from mmctr.common.errors import InputError
from mmctr.common.files import file_sha256, is_file
from mmctr.embedding.fill import LoadEncoder, embed_images, embed_titles
from mmctr.embedding.store import Lookup, VectorShards, stored_dim
from mmctr.images.preprocess import MAX_PIXELS

if TYPE_CHECKING:
    from mmctr.encoders.clip import ClipEncoder

LISTED_FAILURES = 1000
LISTED_UNKNOWN = 100


@dataclass(frozen=True)
class EmbedReport:
    """What became of the items. Titles and images are counted per item, embedded and reused ones per content."""

    items: int
    with_both: int
    title_only: int
    image_only: int
    neither: int
    missing_titles: int
    missing_images: int
    unknown_images: int  # images of an item that is not in the item table
    unknown_image_ids: tuple[int, ...]  # the first 100 of these
    unusable_titles: int
    unreadable_image_count: int
    unreadable_images: tuple[tuple[int, str, str], ...]  # (item_id, file_name, reason), the first 1000 by item_id
    embedded_titles: int
    reused_titles: int
    embedded_images: int
    reused_images: int


def embed_items(
    items: pl.DataFrame,
    images: pl.DataFrame,
    *,
    images_folder: Path,
    model: str,
    device: str,
    shards: Path,
    image_code: str = "",
    shard_size: int = 1024,
    batch_size: int = 256,
    token_batch: int = 4096,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    jpeg_draft: bool = False,
    image_precision: str = "float32",
    allow_torchscript: bool = False,
    max_failure_share: float = 0.2,
    progress: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[pl.DataFrame, EmbedReport]:
    """Embed every item of `items` with CLIP `model` (an official name or a checkpoint file).

    `items`: item_id i64 (unique), item_title str (null or blank: no title). `images`: item_id i64 (unique), file_name
    str in `images_folder`, sha256 str of the file; images of other items are counted and not read. Returns item_id i64
    and embedding array[f32, E], sorted by item_id, and the report. The rows do not depend on the order of the inputs.
    `image_code` names the code that makes image vectors where it is chosen; vectors of two are never mixed.
    `progress` None shows bars on a terminal only; `on_progress` is given how many titles and images are done and how
    many there are to do. A checkpoint that is TorchScript and none of OpenAI's needs `allow_torchscript`. Raises
    InputError where the model or an image file cannot be opened or changes meanwhile, or where more than
    `max_failure_share` of the items' images are unreadable; what was computed is kept.
    """
    table = _join_images(items, images)
    contents = _contents(table, images_folder)

    @cache
    def encoder() -> "ClipEncoder":
        from mmctr.encoders.clip import load_clip  # torch and clip take six seconds to import

        return load_clip(
            model, device=device, image_precision=image_precision, allow_torchscript=allow_torchscript, sha256=weights
        )

    weights = file_sha256(Path(model)) if is_file(Path(model)) else None
    hide = None if progress is None else not progress
    view = f"{max_pixels}-{'draft' if jpeg_draft else 'exact'}-{image_precision}{image_code}"
    texts, pictures = _open_stores(shards, _vector_space(weights or model, device), encoder, view=view)
    to_do = len(texts.missing(contents.titles)) + len(pictures.missing(contents.image_paths))
    steps: list[int] = []

    def advance(count: int) -> None:
        steps.append(count)
        if on_progress is not None:
            on_progress(sum(steps), to_do)

    embedded_titles = embed_titles(
        texts, contents.titles, encoder, shard_size=shard_size, token_batch=token_batch, hide=hide, advance=advance
    )
    embedded_images = embed_images(
        pictures,
        contents.image_paths,
        encoder,
        shard_size=shard_size,
        batch_size=batch_size,
        workers=workers,
        max_pixels=max_pixels,
        jpeg_draft=jpeg_draft,
        hide=hide,
        advance=advance,
    )

    text, image = texts.lookup(contents.title_keys), pictures.lookup(contents.image_keys)
    report = _report(
        table,
        contents,
        text,
        image,
        unknown=images["item_id"].filter(~images["item_id"].is_in(table["item_id"].implode())).sort(),
        embedded_titles=embedded_titles,
        embedded_images=embedded_images,
    )
    _check_failures(report, max_failure_share)
    return table.select("item_id").with_columns(pl.Series("embedding", combine(text, image))), report


def _open_stores(shards: Path, space: str, encoder: LoadEncoder, *, view: str) -> tuple[VectorShards, VectorShards]:
    """The vectors of titles and of images; the encoder is asked for their length where there are none yet."""
    text_folder, image_folder = shards / "text" / space, shards / "image" / f"{space}-{view}"
    dim = stored_dim(text_folder) or stored_dim(image_folder) or encoder().embed_dim
    return VectorShards(text_folder, dim=dim), VectorShards(image_folder, dim=dim)


def combine(text: Lookup, image: Lookup) -> np.ndarray:
    """The plain mean of an item's two vectors, or the one there is, or zeros: float32 (n, E)."""
    sources = text.found.astype(np.float32) + image.found.astype(np.float32)  # (n,)
    return (text.vectors + image.vectors) / np.maximum(sources, 1)[:, None]


@dataclass(frozen=True)
class _Contents:
    """Which content each item has, by its digest (None: none), and the distinct contents in order of item_id."""

    title_keys: list[str | None]
    titles: dict[str, str]
    image_keys: list[str | None]
    image_paths: dict[str, Path]


def _join_images(items: pl.DataFrame, images: pl.DataFrame) -> pl.DataFrame:
    """item_id, item_title, file_name, sha256; one row per item, by item_id."""
    for name, frame in (("items", items), ("images", images)):
        assert frame["item_id"].is_unique().all(), f"{name} must hold each item_id once"
    return (
        items.select("item_id", "item_title")
        .sort("item_id")
        .join(images.select("item_id", "file_name", "sha256"), on="item_id", how="left", maintain_order="left")
    )


def _contents(table: pl.DataFrame, images_folder: Path) -> _Contents:
    texts = [(title or "").strip() for title in table["item_title"]]
    title_keys = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    image_keys = table["sha256"].to_list()
    titles: dict[str, str] = {}
    image_paths: dict[str, Path] = {}
    for text, title_key, name, image_key in zip(texts, title_keys, table["file_name"], image_keys, strict=True):
        if title_key is not None:
            titles.setdefault(title_key, text)
        if image_key is not None:
            image_paths.setdefault(image_key, images_folder / name)
    return _Contents(title_keys, titles, image_keys, image_paths)


def _vector_space(model: str, device: str) -> str:
    """A name for all that decides a content's vector: vectors of two spaces are never mixed in one store.

    `model` is an official name, or the SHA-256 of a checkpoint.
    """
    precision = "fp32" if device.split(":")[0] == "cpu" else "fp16"
    return hashlib.sha256(f"{model} {precision}".encode()).hexdigest()[:16]


def _report(
    table: pl.DataFrame,
    contents: _Contents,
    text: Lookup,
    image: Lookup,
    *,
    unknown: pl.Series,
    embedded_titles: int,
    embedded_images: int,
) -> EmbedReport:
    unreadable = [
        (item_id, name, reason)
        for item_id, name, reason in zip(table["item_id"], table["file_name"], image.reasons, strict=True)
        if reason
    ]
    return EmbedReport(
        items=len(table),
        with_both=int((text.found & image.found).sum()),
        title_only=int((text.found & ~image.found).sum()),
        image_only=int((~text.found & image.found).sum()),
        neither=int((~text.found & ~image.found).sum()),
        missing_titles=contents.title_keys.count(None),
        missing_images=contents.image_keys.count(None),
        unknown_images=len(unknown),
        unknown_image_ids=tuple(unknown.head(LISTED_UNKNOWN)),
        unusable_titles=sum(reason != "" for reason in text.reasons),
        unreadable_image_count=len(unreadable),
        unreadable_images=tuple(unreadable[:LISTED_FAILURES]),
        embedded_titles=embedded_titles,
        reused_titles=len(contents.titles) - embedded_titles,
        embedded_images=embedded_images,
        reused_images=len(contents.image_paths) - embedded_images,
    )


def _check_failures(report: EmbedReport, max_failure_share: float) -> None:
    images = report.items - report.missing_images
    if report.unreadable_image_count > max_failure_share * images:
        item_id, name, reason = report.unreadable_images[0]
        raise InputError(
            f"At most {max_failure_share:.0%} of the images may be unreadable, but {report.unreadable_image_count} of "
            f"{images} are; the first is {name} of item {item_id}: {reason}.\n"
            "Extract the images again, or raise `max_failure_share`. What was computed is kept."
        )

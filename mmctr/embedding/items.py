"""One CLIP vector per item from its title and its image.

Shapes: n items, E the length of CLIP's embedding.

Both vectors are L2-normalised and averaged; where one is missing or unusable the other is used alone, and an item with
neither gets zeros. Vectors are kept in `VectorShards` by the digest of their content, so equal titles and equal images
are embedded once, an interrupted run goes on after its last shard, and a run with nothing new needs no model.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from mmctr.common.files import file_sha256, is_file
from mmctr.embedding.contents import join_contents
from mmctr.embedding.fill import Advance, LoadEncoder, embed_images, embed_titles
from mmctr.embedding.options import EmbedOptions
from mmctr.embedding.report import EmbedReport, check_failures, make_report
from mmctr.embedding.store import Lookup, VectorShards, stored_dim
from mmctr.encoders.base import Encoder, vector_space

DEFAULTS = EmbedOptions()


def embed_items(
    items: pl.DataFrame,
    images: pl.DataFrame,
    *,
    images_folder: Path,
    model: str,
    device: str,
    shards: Path,
    image_code: str = "",
    options: EmbedOptions = DEFAULTS,
    progress: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[pl.DataFrame, EmbedReport]:
    """Embed every item of `items` with CLIP `model` (an official name or a checkpoint file).

    `items`: item_id i64 (unique), item_title str (null or blank: no title). `images`: item_id i64 (unique), file_name
    str in `images_folder`, sha256 str of the file; images of other items are counted and not read. Returns item_id i64
    and embedding array[f32, E], sorted by item_id, and the report. The rows do not depend on the order of the inputs.
    `image_code` names the code that makes image vectors, where it is chosen; vectors of two are never mixed.
    `progress` None shows bars on a terminal only; `on_progress` is called with how many titles and images are done and
    how many there are to do. Raises InputError where the model or an image file cannot be opened or changes meanwhile,
    or where too many of the items' images are unreadable; what was computed is kept.
    """
    contents = join_contents(items, images, images_folder=images_folder)
    sha256 = file_sha256(Path(model)) if is_file(Path(model)) else None
    encoder = _encoder(model, device=device, sha256=sha256, options=options)
    view = f"{options.view}{image_code and '-'}{image_code}"
    texts, pictures = _open_stores(shards, vector_space(sha256 or model, device=device), encoder, view=view)
    to_do = len(texts.missing(contents.titles)) + len(pictures.missing(contents.image_paths))
    advance = _counting(on_progress, to_do=to_do)
    new_titles = embed_titles(texts, contents.titles, encoder, options=options, show=progress, advance=advance)
    new_images = embed_images(pictures, contents.image_paths, encoder, options=options, show=progress, advance=advance)
    text, image = texts.lookup(contents.title_keys), pictures.lookup(contents.image_keys)
    report = make_report(contents, text, image, embedded_titles=new_titles, embedded_images=new_images)
    check_failures(report, max_failure_share=options.max_failure_share)
    return contents.table.select("item_id").with_columns(pl.Series("embedding", combine(text, image))), report


def combine(text: Lookup, image: Lookup) -> np.ndarray:
    """The plain mean of an item's two vectors, or the one there is, or zeros: float32 (n, E)."""
    sources = text.found.astype(np.float32) + image.found.astype(np.float32)  # (n,)
    return (text.vectors + image.vectors) / np.maximum(sources, 1)[:, None]


def _encoder(model: str, *, device: str, sha256: str | None, options: EmbedOptions) -> LoadEncoder:
    """Loads the encoder the first time that it is asked for; `sha256` is that of a checkpoint file."""

    @cache
    def encoder() -> Encoder:
        from mmctr.encoders.clip import load_clip  # importing torch and clip is six seconds

        return load_clip(
            model,
            device=device,
            image_precision=options.image_precision,
            allow_torchscript=options.allow_torchscript,
            sha256=sha256,
        )

    return encoder


def _counting(on_progress: Callable[[int, int], None] | None, *, to_do: int) -> Advance:
    """Sums up what is done and passes it on."""
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if on_progress is not None:
            on_progress(done, to_do)

    return advance


def _open_stores(shards: Path, space: str, encoder: LoadEncoder, *, view: str) -> tuple[VectorShards, VectorShards]:
    """The vectors of titles and of images; the encoder is asked for their length where there are none yet."""
    text_folder, image_folder = shards / "text" / space, shards / "image" / f"{space}-{view}"
    dim = stored_dim(text_folder) or stored_dim(image_folder) or encoder().embed_dim
    return VectorShards(text_folder, dim=dim), VectorShards(image_folder, dim=dim)

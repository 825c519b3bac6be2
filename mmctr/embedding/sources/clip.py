"""One vector per item from its title and its image, by an encoder.

Shapes: n items, E the length of the encoder's vectors.

Both vectors are L2-normalised and fused; where one is missing or unusable the other is used alone, and an item with
neither gets zeros. Vectors are kept in `VectorShards` by the digest of their content, so equal titles and equal images
are embedded once, an interrupted run goes on after its last shard, and a run with nothing new needs no model.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import polars as pl

from mmctr.common.files import file_sha256
from mmctr.embedding.contents import join_contents
from mmctr.embedding.fill import Advance, LoadEncoder, embed_images, embed_titles
from mmctr.embedding.options import EmbedOptions, Fuse
from mmctr.embedding.report import EmbedReport, check_failures, make_report
from mmctr.embedding.space import space_of_model
from mmctr.embedding.store import VectorShards, stored_dim
from mmctr.embedding.vectors import ItemVectors, Part, fuse_parts, fused_parts
from mmctr.encoders.base import Encoder, kind_of, weights_file
from mmctr.encoders.names import ModelName, parse_model
from mmctr.images.naming import Naming

DEFAULTS = EmbedOptions()


def embed_items(
    items: pl.DataFrame,
    images: pl.DataFrame | None,
    *,
    images_folder: Path | None,
    model: str,
    device: str,
    shards: Path,
    names: Naming = "integer",
    fuse: Fuse = "mean",
    weights: Path | None = None,
    image_code: str = "",
    options: EmbedOptions = DEFAULTS,
    progress: bool | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[ItemVectors, EmbedReport]:
    """Embed every item of `items` with `model`: a name as `mmctr.encoders.names` has them, or a checkpoint's path.

    `items`: item_id i64 or str (unique), title str (null or blank: no title), image str, what its image is called.
    `images`: image str (unique), file_name str in `images_folder`, sha256 str of the file; `names` says how both meet
    (`mmctr.images.match`), and images of no item are counted and not read. None where there are none.
    `fuse` makes an item's vector of its parts. `weights` is the file that holds the model's weights, where it was found
    already. Returns the vectors, sorted by item id, and the report; they do not depend on the order of the inputs.
    `image_code` names the code that makes image vectors, where it is chosen; vectors of two are never mixed.
    `progress` None shows bars on a terminal only; `on_progress` is called with how many titles and images are done and
    how many there are to do. Raises InputError where the model or an image file cannot be opened or changes meanwhile,
    or where too many of the items' images are unreadable; what was computed is kept.
    """
    contents = join_contents(items, images, images_folder=images_folder, names=names)
    name = parse_model(model)
    file = weights or weights_file(name)
    sha256 = file_sha256(file) if file else None
    encoder = _encoder(name, file=file, sha256=sha256, device=device, options=options)
    view = f"{options.view}{image_code and '-'}{image_code}"
    texts, pictures = _open_stores(
        shards, kind_of(name).identity(name, sha256=sha256, device=device), encoder, view=view
    )
    to_do = len(texts.missing(contents.titles)) + len(pictures.missing(contents.image_paths))
    advance = _counting(on_progress, to_do=to_do)
    new_titles = embed_titles(texts, contents.titles, encoder, options=options, show=progress, advance=advance)
    new_images = embed_images(pictures, contents.image_paths, encoder, options=options, show=progress, advance=advance)
    text, image = texts.lookup(contents.title_keys), pictures.lookup(contents.image_keys)
    report = make_report(contents, text, image, embedded_titles=new_titles, embedded_images=new_images)
    check_failures(report, max_failure_share=options.max_failure_share)
    parts = fused_parts([Part("title", texts.dim), Part("image", texts.dim)], fuse=fuse)
    space = space_of_model(name.reader, sha256 or name.weights, fuse=fuse)
    vectors = fuse_parts([text.vectors, image.vectors], fuse=fuse)
    return ItemVectors(contents.table["item_id"], vectors, parts, space), report


def _encoder(
    name: ModelName, *, file: Path | None, sha256: str | None, device: str, options: EmbedOptions
) -> LoadEncoder:
    """Loads the encoder the first time that it is asked for; `sha256` is that of its weights' file."""

    @cache
    def encoder() -> Encoder:
        return kind_of(name).load(
            name,
            file=file,
            sha256=sha256,
            device=device,
            image_precision=options.image_precision,
            allow_torchscript=options.allow_torchscript,
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


COMPONENT = embed_items

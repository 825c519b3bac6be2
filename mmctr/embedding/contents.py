"""Which title and which image each item has, by the digest of their content: what is equal is embedded once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mmctr.images.match import Matches, match_images
from mmctr.images.naming import Naming

NO_IMAGES = pl.DataFrame(schema={"image": pl.String, "file_name": pl.String, "sha256": pl.String})


@dataclass(frozen=True)
class Contents:
    """The contents of n items, by item_id.

    Attributes:
        table: item_id, title, file_name, sha256; a row an item, by item_id.
        title_keys, image_keys: (n,) digest of each item's title and image, None where it has none.
        titles, image_paths: the distinct contents by their digest, in order of item_id.
        matches: which image each item has found.
        unknown_images: keys of images of no item, ascending.
    """

    table: pl.DataFrame
    title_keys: list[str | None]
    titles: dict[str, str]
    image_keys: list[str | None]
    image_paths: dict[str, Path]
    matches: Matches
    unknown_images: pl.Series


def join_contents(
    items: pl.DataFrame, images: pl.DataFrame | None, *, images_folder: Path | None, names: Naming
) -> Contents:
    """Find each item's image, whatever their order; arguments as in `mmctr.embedding.sources.clip.embed_items`."""
    images = NO_IMAGES if images is None else images
    assert items["item_id"].is_unique().all(), "items must hold each item_id once"
    assert images["image"].is_unique().all(), "images must hold each image once"
    items = items.select("item_id", "title", "image").sort("item_id")
    wanted = items["image"]  # the id as text where images are called by it
    matches = match_images(wanted, images, names=names)
    numbered = images.select("file_name", "sha256", row=pl.int_range(pl.len(), dtype=pl.Int64))
    table = (
        items.select("item_id", "title", row=matches.rows)
        .join(numbered, on="row", how="left", maintain_order="left")
        .drop("row")
    )
    texts = [(title or "").strip() for title in table["title"]]
    title_keys = [hashlib.sha256(text.encode()).hexdigest() if text else None for text in texts]
    image_keys = table["sha256"].to_list()
    titles: dict[str, str] = {}
    image_paths: dict[str, Path] = {}
    for text, title_key, name, image_key in zip(texts, title_keys, table["file_name"], image_keys, strict=True):
        if title_key is not None:
            titles.setdefault(title_key, text)
        if image_key is not None:
            assert images_folder is not None, "images are files in a folder"
            image_paths.setdefault(image_key, images_folder / name)
    unknown = images["image"].filter(~pl.int_range(len(images), eager=True).is_in(matches.rows.implode())).sort()
    return Contents(table, title_keys, titles, image_keys, image_paths, matches, unknown)

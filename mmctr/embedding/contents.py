"""Which title and which image each item has, by the digest of their content: what is equal is embedded once."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl


@dataclass(frozen=True)
class Contents:
    """The contents of n items, by item_id.

    Attributes:
        table: item_id, item_title, file_name, sha256; a row an item.
        title_keys, image_keys: (n,) digest of each item's title and image, None where it has none.
        titles, image_paths: the distinct contents by their digest, in order of item_id.
        unknown_images: item ids of images of no item, ascending.
    """

    table: pl.DataFrame
    title_keys: list[str | None]
    titles: dict[str, str]
    image_keys: list[str | None]
    image_paths: dict[str, Path]
    unknown_images: pl.Series


def join_contents(items: pl.DataFrame, images: pl.DataFrame, *, images_folder: Path) -> Contents:
    """Join items and images by id, whatever their order; arguments as in `mmctr.embedding.items.embed_items`."""
    for name, frame in (("items", items), ("images", images)):
        assert frame["item_id"].is_unique().all(), f"{name} must hold each item_id once"
    table = (
        items.select("item_id", "item_title")
        .sort("item_id")
        .join(images.select("item_id", "file_name", "sha256"), on="item_id", how="left", maintain_order="left")
    )
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
    unknown = images["item_id"].filter(~images["item_id"].is_in(table["item_id"].implode())).sort()
    return Contents(table, title_keys, titles, image_keys, image_paths, unknown)

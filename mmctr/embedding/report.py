"""What became of the items that were embedded."""

from dataclasses import dataclass

import polars as pl

from mmctr.common.errors import InputError
from mmctr.embedding.contents import Contents
from mmctr.embedding.store import Lookup

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
    unknown_image_names: tuple[str, ...]  # the first 100 of these
    ambiguous_images: int  # items that name an image of which there are several
    ambiguous_image_names: tuple[str, ...]  # the first of these names
    unusable_titles: int
    unreadable_image_count: int
    unreadable_images: tuple[tuple[int | str, str, str], ...]  # (item_id, file_name, reason), the first 1000 by item_id
    embedded_titles: int
    reused_titles: int
    embedded_images: int
    reused_images: int


def make_report(
    contents: Contents, text: Lookup, image: Lookup, *, embedded_titles: int, embedded_images: int
) -> EmbedReport:
    """Count what the stores hold for each item; `embedded_*` are the contents that this run embedded."""
    table = contents.table
    unreadable = [
        (item_id, name, reason)
        for item_id, name, reason in zip(table["item_id"], table["file_name"], image.reasons, strict=True)
        if reason
    ]
    unknown: pl.Series = contents.unknown_images
    return EmbedReport(
        items=len(table),
        with_both=int((text.found & image.found).sum()),
        title_only=int((text.found & ~image.found).sum()),
        image_only=int((~text.found & image.found).sum()),
        neither=int((~text.found & ~image.found).sum()),
        missing_titles=contents.title_keys.count(None),
        missing_images=contents.image_keys.count(None),
        unknown_images=len(unknown),
        unknown_image_names=tuple(unknown.head(LISTED_UNKNOWN)),
        ambiguous_images=contents.matches.ambiguous.count,
        ambiguous_image_names=contents.matches.ambiguous.first,
        unusable_titles=sum(reason != "" for reason in text.reasons),
        unreadable_image_count=len(unreadable),
        unreadable_images=tuple(unreadable[:LISTED_FAILURES]),
        embedded_titles=embedded_titles,
        reused_titles=len(contents.titles) - embedded_titles,
        embedded_images=embedded_images,
        reused_images=len(contents.image_paths) - embedded_images,
    )


def check_failures(report: EmbedReport, *, max_failure_share: float) -> None:
    """Refuse a report with too many unreadable images.

    Raises:
        InputError: they are more than `max_failure_share` of the items' images.
    """
    images = report.items - report.missing_images
    if report.unreadable_image_count > max_failure_share * images:
        item_id, name, reason = report.unreadable_images[0]
        raise InputError(
            f"At most {max_failure_share:.0%} of the images may be unreadable, but {report.unreadable_image_count} of "
            f"{images} are; the first is {name} of item {item_id}: {reason}.\n"
            "Extract the images again, or raise `max_failure_share`. What was computed is kept."
        )

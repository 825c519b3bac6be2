"""What is in a data set: sizes, coverage, unknown ids, labels, history lengths, cold targets, leaks and repetitions.

The splits are the work of `mmctr.report.splits`.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from mmctr.clicks.item_table import ItemTable
from mmctr.images.extract import check_images
from mmctr.images.find import files_of
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from mmctr.inputs.columns import read_items
from mmctr.inputs.layout import ITEM_ID, SPLITS, TITLE
from mmctr.inputs.rules import check_inputs
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.report.splits import SplitReport, report_splits


@dataclass(frozen=True)
class FileReport:
    """One input file; of the archive `rows` is the number of members, `bytes` that of all its parts."""

    path: Path
    bytes: int
    rows: int


@dataclass(frozen=True)
class Coverage:
    """How many items have a title (not blank) and an image (by the archive's listing; nothing is unpacked)."""

    items: int
    with_image: int
    with_title: int
    with_both: int
    with_neither: int
    images_of_unknown_items: int
    members_that_are_no_image: int


@dataclass(frozen=True)
class DatasetReport:
    """The whole data set."""

    files: dict[str, FileReport]
    coverage: Coverage
    splits: dict[str, SplitReport]


def report_dataset(
    base_path: Path,
    *,
    min_items: int = 1,
    min_known_targets: float = 0.0,
    password: str | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> DatasetReport:
    """Look at all of the data under `base_path`.

    Args:
        base_path: the data folder.
        min_items: fewest items that the later stages can work with.
        min_known_targets: share of the test split's target items that must be among the items.
        password: of the archive.
        max_member_bytes: of an image, unpacked.
        max_total_bytes: of the whole archive, unpacked.

    Raises:
        InputError: the inputs break a rule (`mmctr.inputs.rules`), or the archive breaks one that its listing shows
            (`mmctr.images.extract.check_images`).
    """
    inputs = check_inputs(base_path, min_items=min_items, min_known_targets=min_known_targets)
    images = check_images(
        inputs.archive, password=password, max_member_bytes=max_member_bytes, max_total_bytes=max_total_bytes
    )
    assert images is not None, "looked at as a whole"
    files = {"items": inputs.items, "archive": inputs.archive, **{name: getattr(inputs, name) for name in SPLITS}}
    rows = {**inputs.rows, "archive": images.members}
    items = read_items(inputs.items)
    item_ids = items[ITEM_ID].to_numpy()
    table = ItemTable(Vocabulary(item_ids), np.zeros((len(items) + 1, 0), dtype=np.float32))
    return DatasetReport(
        files={role: FileReport(path, _size(role, path), rows[role]) for role, path in files.items()},
        coverage=_coverage(items, list(map(int, images.keys)), others=images.report.not_items.count),
        splits=report_splits({name: files[name] for name in SPLITS}, table=table),
    )


def _size(role: str, path: Path) -> int:
    return sum(part.stat().st_size for part in (files_of(path) if role == "archive" else [path]))


def _coverage(items: pl.DataFrame, image_ids: Collection[int], *, others: int) -> Coverage:
    """`others` members are no images of an item."""
    images = set(image_ids)
    title = items[TITLE].fill_null("").str.strip_chars() != ""
    image = pl.Series([item_id in images for item_id in items[ITEM_ID]], dtype=pl.Boolean)
    return Coverage(
        items=len(items),
        with_image=int(image.sum()),
        with_title=int(title.sum()),
        with_both=int((image & title).sum()),
        with_neither=int((~image & ~title).sum()),
        images_of_unknown_items=len(images.difference(items[ITEM_ID])),
        members_that_are_no_image=others,
    )

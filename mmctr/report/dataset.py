"""What is in a data set: sizes, coverage, unknown ids, labels, history lengths, cold targets, leaks and repetitions.

The splits are the work of `mmctr.report.splits`, features of `mmctr.report.features`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from mmctr.images.extract import Listing, check_images
from mmctr.images.find import files_of, find_images
from mmctr.images.match import match_images
from mmctr.images.naming import Naming, naming_of
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from mmctr.inputs.columns import IMAGE, ITEM_ID, TITLE, read_items
from mmctr.inputs.files import EXTENSIONS
from mmctr.inputs.layout import MICROLENS_1M, SPLITS, Layout
from mmctr.inputs.rules import InputFiles, check_inputs, text_columns
from mmctr.inputs.tables import read_chunks
from mmctr.inputs.vocabulary import Vocabulary, texts
from mmctr.report.features import FeatureReport, counts_of
from mmctr.report.splits import Clicks, SplitReport, report_splits

LISTED_TABLES = 8  # tables that no part of the layout names, the first ones


@dataclass(frozen=True)
class FileReport:
    """One input: a table in one or several files, or the images; of these `rows` is the number of members."""

    path: Path
    files: int
    bytes: int
    rows: int


@dataclass(frozen=True)
class Coverage:
    """How many items have a title (not blank), an image (as their source lists it) and given vectors.

    None is for what the data set has not.
    """

    items: int
    with_image: int | None
    with_title: int | None
    with_both: int | None
    with_neither: int | None
    with_vector: dict[str, int]  # by the column of the vectors
    images_of_unknown_items: int | None
    ambiguous_images: int | None  # names that several images have
    members_that_are_no_image: int | None


@dataclass(frozen=True)
class DatasetReport:
    """The whole data set.

    Attributes:
        files: what was read, by its role.
        coverage: of the items.
        item_features: the declared features of items, by their column.
        splits: by their name.
        held_out: whether `valid` is a part of train.
        not_read: tables in the data folder that the layout does not name, the first ones.
    """

    files: dict[str, FileReport]
    coverage: Coverage
    item_features: dict[str, FeatureReport]
    splits: dict[str, SplitReport]
    held_out: bool
    not_read: list[str]


def report_dataset(
    base_path: Path,
    layout: Layout = MICROLENS_1M,
    *,
    embed_columns: Sequence[str] = (),
    min_items: int = 1,
    min_known_targets: float = 0.0,
    password: str | None = None,
    max_member_bytes: int = MAX_MEMBER_BYTES,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> DatasetReport:
    """Look at all of the data under `base_path`.

    Args:
        base_path: the data folder.
        layout: names its files and their columns.
        embed_columns: columns of the item table with vectors that are there already.
        min_items: fewest items that the later stages can work with.
        min_known_targets: share of the test split's target items that must be among the items.
        password: of the archive.
        max_member_bytes: of an image, unpacked.
        max_total_bytes: of the whole archive, unpacked.

    Raises:
        InputError: the inputs break a rule (`mmctr.inputs.rules`), or the images break one that their listing shows
            (`mmctr.images.extract.check_images`).
    """
    source, problem = find_images(base_path, layout.images) if base_path.is_dir() else (None, None)
    inputs = check_inputs(
        base_path,
        layout,
        min_items=min_items,
        min_known_targets=min_known_targets,
        problems=[problem] if problem else [],
    )
    items = read_items(inputs.items, columns=layout.item_columns)
    names = naming_of(layout.image, text_ids=items[ITEM_ID].dtype == pl.String)
    listing = None
    if source is not None:
        listing = check_images(
            source, names=names, password=password, max_member_bytes=max_member_bytes, max_total_bytes=max_total_bytes
        )
        assert listing is not None, "looked at as a whole"
    coverage = _coverage(items, listing, names=names, titles=bool(layout.title))
    vectors = _with_vector(inputs.items, embed_columns)
    ids = items[ITEM_ID]
    known = Vocabulary(texts(ids.to_list()) if ids.dtype == pl.String else ids.to_numpy())
    return DatasetReport(
        files=_files(base_path, inputs, layout=layout, source=source, listing=listing),
        coverage=Coverage(items=len(items), with_vector=vectors, **coverage),
        item_features=_item_features(inputs.items, layout),
        splits=report_splits(_splits(inputs, layout), layout=layout, items=known),
        held_out=not layout.valid,
        not_read=_not_read(base_path, inputs, layout),
    )


def _splits(inputs: InputFiles, layout: Layout) -> dict[str, Clicks]:
    found = {name: Clicks(getattr(inputs, name)) for name in SPLITS if getattr(inputs, name)}
    if not layout.valid:
        found["train"] = Clicks(inputs.train, layout.held_out("train"))
        found["valid"] = Clicks(inputs.train, layout.held_out("valid"))
    return found


def _files(
    base_path: Path, inputs: InputFiles, *, layout: Layout, source: Path | None, listing: Listing | None
) -> dict[str, FileReport]:
    roles = {role: getattr(inputs, role) for role in ("items", *SPLITS)}
    found = {
        role: FileReport(base_path / getattr(layout, role), len(files), _bytes(files), inputs.rows[role])
        for role, files in roles.items()
        if files
    }
    if source is not None and listing is not None:
        parts, held = files_of(source), listing.report
        members = held.images + held.duplicates.count + held.not_items.count  # folders are no files
        found["images"] = FileReport(source, len(parts), _bytes(parts), members)
    return found


def _bytes(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def _coverage(items: pl.DataFrame, listing: Listing | None, *, names: Naming, titles: bool) -> dict[str, int | None]:
    """The fields of `Coverage` that titles and images make."""
    title = items[TITLE].fill_null("").str.strip_chars() != "" if titles else None
    image = None
    found: dict[str, int | None] = dict.fromkeys(
        ("images_of_unknown_items", "ambiguous_images", "members_that_are_no_image")
    )
    if listing is not None:
        matches = match_images(
            items[IMAGE], pl.DataFrame({"image": pl.Series(listing.keys, dtype=pl.String)}), names=names
        )
        image = matches.rows.is_not_null()
        found["images_of_unknown_items"] = matches.unused
        found["ambiguous_images"] = matches.ambiguous.count
        found["members_that_are_no_image"] = listing.report.not_items.count
    found |= {
        "with_image": None if image is None else int(image.sum()),
        "with_title": None if title is None else int(title.sum()),
        "with_both": None,
        "with_neither": None,
    }
    if title is not None and image is not None:
        found |= {"with_both": int((image & title).sum()), "with_neither": int((~image & ~title).sum())}
    return found


def _with_vector(items: Sequence[Path], columns: Sequence[str]) -> dict[str, int]:
    """How many items have a list of numbers in each of some columns."""
    found = dict.fromkeys(columns, 0)
    for chunk in read_chunks(items, columns=columns) if columns else ():
        for name in columns:
            column: pa.Array = chunk.column(name)
            found[name] += len(column) - column.null_count
    return found


def _item_features(items: Sequence[Path], layout: Layout) -> dict[str, FeatureReport]:
    columns = [feature.column for feature in layout.item_features]
    counts = counts_of(layout.item_features, text=text_columns(items, columns))
    for chunk in read_chunks(items, columns=columns) if columns else ():
        for name, found in counts.items():
            found.look(chunk.column(name))
    return {name: found.report() for name, found in counts.items()}


def _not_read(base_path: Path, inputs: InputFiles, layout: Layout) -> list[str]:
    """Files that look like tables, at most two folders deep, that are neither read nor made by a run."""
    known = {path for role in ("items", *SPLITS) for path in getattr(inputs, role)}
    known |= {base_path / name for name in (layout.item_embeddings, layout.prediction)}
    found = []
    for path in sorted(path for pattern in ("*", "*/*") for path in base_path.glob(pattern)):
        inner = path.relative_to(base_path).parts
        if path.suffix.lower() in EXTENSIONS and path not in known and not any(part[0] in "._" for part in inner):
            found.append("/".join(inner))
    return found[:LISTED_TABLES]

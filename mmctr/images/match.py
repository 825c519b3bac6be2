"""Which image of a manifest each item has.

Where images are called by item ids, an item's image is the one with its id. Where a column names the file, the path in
it may be exact, or shorter than the one in the source: `a.jpg` for `train/a.jpg`, if there is one such image.
"""

from dataclasses import dataclass

import polars as pl

from mmctr.common.text import shown
from mmctr.images.naming import Naming, image_path
from mmctr.images.plan import LISTED_AT_MOST, Names

SEVERAL = -1
MOST_PARTS = 64  # of a path that another one ends in


@dataclass(frozen=True)
class Matches:
    """What became of n wanted images.

    Attributes:
        rows: (n,) Int64, the row of the manifest; null where an item names no image, or none that is there.
        missing: images that are wanted and not there, each value once.
        ambiguous: paths that several images end in, so that there is no saying which is meant, each value once.
        unused: images of the manifest that nobody wants.
    """

    rows: pl.Series
    missing: Names
    ambiguous: Names
    unused: int


def match_images(wanted: pl.Series, manifest: pl.DataFrame, *, names: Naming) -> Matches:
    """The image that each value of `wanted` names.

    Args:
        wanted: (n,) String; item ids as text, or with `names="path"` paths as a column has them: `./` and backslashes
            are no difference. Null and empty text name no image. Several items may have the same image.
        manifest: images by their key in the column `image`, each once.
        names: what the keys are (`mmctr.images.naming`).
    """
    keys = manifest["image"].to_list()
    rows = {key: row for row, key in enumerate(keys)}
    values = wanted.drop_nulls().unique(maintain_order=True).to_list()
    paths = {value: image_path(value) if names == "path" else value for value in values if value}
    found = {value: rows[path] for value, path in paths.items() if path in rows}
    if names == "path":
        ends = _rows_by_end(keys, {path for value, path in paths.items() if value not in found})
        found |= {value: ends[path] for value, path in paths.items() if value not in found and path in ends}
    ambiguous = [value for value, row in found.items() if row == SEVERAL]
    matched = {value: row for value, row in found.items() if row != SEVERAL}
    return Matches(
        rows=pl.Series("row", [matched.get(value) for value in wanted.to_list()], dtype=pl.Int64),
        missing=_names([value for value in paths if value not in found]),
        ambiguous=_names(ambiguous),
        unused=len(keys) - len(set(matched.values())),
    )


def _rows_by_end(keys: list[str], ends: set[str]) -> dict[str, int]:
    """The row of the one key that ends in `/` and a path of `ends`, or SEVERAL where more than one does."""
    found: dict[str, int] = {}
    if not ends:
        return found
    parts = min(MOST_PARTS, 1 + max(end.count("/") for end in ends))
    for row, key in enumerate(keys):
        *_, last = split = key.rsplit("/", parts)
        for part in [*split[-2:0:-1], None]:  # `c.jpg`, then `b/c.jpg` for `a/b/c.jpg`
            if last in ends and len(last) < len(key):
                found[last] = SEVERAL if last in found else row
            last = f"{part}/{last}"
    return found


def _names(values: list[str]) -> Names:
    return Names(len(values), tuple(map(shown, values[:LISTED_AT_MOST])))

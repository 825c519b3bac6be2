"""Which table is the item table, what its columns are, and where its images are."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from mmctr.common.text import shown
from mmctr.inputs.discover.choice import Choice, per_cent, share_of
from mmctr.inputs.discover.find import IMAGE_ENDINGS, Pictures, extensions
from mmctr.inputs.discover.histories import MOSTLY
from mmctr.inputs.discover.names import IMAGE, ITEM, LABEL, TEXT, TITLE, is_id, says
from mmctr.inputs.discover.sample import Column, Sample, all_ids

MOST_IDS = 2_000_000  # rows of an item table whose ids are compared


@dataclass(frozen=True)
class Items:
    """The item table, its id, and what it and the images hold."""

    sample: Sample
    item_id: Column
    clicked: float  # share of the clicked items that are in it

    @cached_property
    def _ids(self) -> tuple[frozenset[str], bool]:
        return all_ids(self.sample.table, self.item_id.name, most=MOST_IDS)

    @property
    def ids(self) -> frozenset[str]:
        """Ids of the first rows, as text."""
        return self._ids[0]

    @property
    def count(self) -> int | None:
        """How many items there are; None for more than are compared."""
        return len(self._ids[0]) if self._ids[1] else None

    def holds(self, column: Column) -> float:
        """Share of a column's values that are ids of items."""
        return share_of(column.values, self.ids)


def item_table(samples: Sequence[Sample], *, clicked: frozenset[str]) -> tuple[Items | None, list[Choice]]:
    """The table with one row an item: its ids are those of the clicked items, and it says most of them.

    Args:
        samples: the tables that are no click logs.
        clicked: ids of items in histories; empty where there are no click logs.
    """
    found = []
    for sample in samples:
        for column in sample.columns:
            if column.is_unique and not (column.shape == "text" and _is_prose(column)):
                one = Items(sample, column, 0.0)
                found.append(Items(sample, column, share_of(clicked, one.ids) if clicked else 0.0))
    if not clicked:
        found = [one for one in found if says(one.item_id.name, ITEM) or says(one.sample.name, ITEM)]
    found = [one for one in found if not any(says(column.name, LABEL) for column in one.sample.columns)] or found
    ranked = sorted(found, key=_rank, reverse=True)
    if not ranked or (clicked and not ranked[0].clicked):
        why = "no table has one row an item, with the ids that the histories hold"
        others = tuple((sample.name, f"{sample.rows:,} rows looked at") for sample in samples)
        return None, [Choice("items", None, why, others=others)]
    return ranked[0], _of_table(ranked)


def _rank(one: Items) -> tuple[float, bool, int, bool]:
    named = says(one.item_id.name, ITEM) or is_id(one.item_id.name)
    return round(one.clicked, 1), named, len(one.sample.columns), says(one.sample.name, ITEM)


def _is_prose(column: Column) -> bool:
    return sum(" " in text.strip() for text in column.texts) > MOSTLY * len(column.texts)


def _of_table(ranked: Sequence[Items]) -> list[Choice]:
    best = ranked[0]
    tables = {one.sample.name: one for one in reversed(ranked) if one.sample.name != best.sample.name}
    columns = [one for one in ranked[1:] if one.sample.name == best.sample.name]
    evidence = "no click log to compare with" if not best.clicked else f"{per_cent(best.clicked)} of the clicked items"
    why = f"one row an id ({shown(best.item_id.name, limit=60)}); it has {evidence}"
    others = tuple(
        (name, f"its {one.item_id.name} has {per_cent(one.clicked)} of them too") for name, one in tables.items()
    )
    no_value_twice = "no value is there twice, and none is missing"
    rivals = tuple((one.item_id.name, no_value_twice) for one in columns)
    return [
        Choice("items", best.sample.name, why, is_certain=best.clicked >= MOSTLY, others=others),
        Choice("item_id", best.item_id.name, no_value_twice, best.clicked >= MOSTLY, rivals),
    ]


def content(items: Items, pictures: Sequence[Pictures]) -> list[Choice]:
    """Title, images, and how the two find to each other."""
    images, image = _images(items, pictures)
    return [_title(items, taken=(items.item_id.name, str(image.value))), images, image]


def _title(items: Items, *, taken: Sequence[str]) -> Choice:
    texts = [column for column in items.sample.columns if column.shape == "text" and column.name not in taken]
    named = [column for column in texts if says(column.name, TITLE)] or [c for c in texts if says(c.name, TEXT)]
    prose = [column for column in texts if _is_prose(column)]
    if not named and not prose:
        return Choice("title", "", "no column of text is called as titles are, or has several words")
    found = (named or prose)[0]
    words = sum(len(text.split()) for text in found.texts) / max(1, len(found.texts))
    why = f"text, {words:.0f} words on average" + (", and its name says so" if found in named else "")
    others = tuple((column.name, "text too") for column in dict.fromkeys([*named, *prose]) if column is not found)
    return Choice("title", found.name, why, bool(named), others)


def _images(items: Items, pictures: Sequence[Pictures]) -> tuple[Choice, Choice]:
    column = next((one for one in items.sample.columns if one.shape == "text" and _names_files(one)), None)
    if not pictures:
        no_images = "no archive and no folder of images is there"
        return Choice("images", (), no_images), Choice("image", "", "there are no images")
    evidence = [(_evidence(one, items, column), one) for one in pictures]
    by_evidence = sorted(evidence, key=lambda pair: (pair[0], pair[1].count), reverse=True)
    (called, named, likely), best = by_evidence[0]
    others = tuple(((one.name,), "images too") for _, one in by_evidence[1:])
    if not best.is_folder:
        why = "an archive; what is in it was not looked at, `mmctr check` does"
        images = Choice("images", (best.name,), why, likely, others)
        return images, _image_of_archive(column)
    found = f"{best.count:,} images ({extensions(best)})"
    if max(called, named) < MOSTLY:
        why = f"{found}; their names are neither ids of items nor in a column"
        return Choice("images", (best.name,), why, False, others), Choice("image", "", "no column names them", False)
    if called >= named:
        why = f"{found}; {per_cent(called)} of their names are ids of items"
        return Choice("images", (best.name,), why, others=others), Choice("image", "", "images are called by the id")
    assert column is not None
    why = f"{per_cent(named)} of the images in {best.name} are named in it"
    return Choice("images", (best.name,), found, others=others), Choice("image", column.name, why)


def _image_of_archive(column: Column | None) -> Choice:
    if column is None:
        return Choice("image", "", "no column names files of images, so they must be called by the item's id")
    return Choice("image", column.name, "its values are names of images", False, (("", "where the id is the name"),))


def _evidence(one: Pictures, items: Items, column: Column | None) -> tuple[float, float, bool]:
    """Share of the names that are ids, share that a column names, and whether the archive's name says images."""
    names = frozenset(PurePosixPath(name).stem for name in one.names)
    files = frozenset(PurePosixPath(name).name for name in one.names)
    in_column = frozenset(PurePosixPath(text).name for text in column.values) if column else frozenset()
    named = share_of(in_column, files) if items.sample.is_whole else share_of(files, in_column)
    return share_of(names, items.ids), named, says(one.name, IMAGE) or says(one.name, ITEM)


def _names_files(column: Column) -> bool:
    ends = sum(text.lower().endswith(IMAGE_ENDINGS) for text in column.texts)
    return ends > MOSTLY * len(column.texts)

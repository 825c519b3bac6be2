"""Which columns of a table are read, and as what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mmctr.inputs.features import Feature
from mmctr.inputs.layout import Layout, Padding

Use = Literal["item id", "row id", "title", "image", "history", "label", "user", "level", "category", "tags", "number"]


@dataclass(frozen=True)
class Wanted:
    """A column and what it is read as.

    Attributes:
        name: of the column.
        use: what it is read as; a `level` is a category whose values are 0 to `size` - 1.
        text: whether ids or values must be text, or integers; None where either is right.
        like: where that was decided, in words.
        unique: whether a value may be there once only.
        size: of a level.
        padding: of a history, and whether 0 can be an item's id.
        separator: between the ids or the tags of a text.
    """

    name: str
    use: Use
    text: bool | None = None
    like: str = ""
    unique: bool = False
    size: int | None = None
    padding: Padding = "zero"
    separator: str = " "


def of_items(layout: Layout) -> list[Wanted]:
    """What is read of the item table."""
    named = [
        Wanted(layout.item_id, "item id", unique=True, padding=layout.padding),
        Wanted(layout.title, "title"),
        Wanted(layout.image, "image"),
    ]
    return [one for one in named if one.name] + [of_feature(feature) for feature in layout.item_features]


def of_clicks(
    layout: Layout,
    *,
    text_ids: bool | None,
    with_label: bool,
    with_row_id: bool,
    with_user: bool,
    of_train: Mapping[str, bool] | None = None,
) -> list[Wanted]:
    """What is read of a click log.

    Args:
        layout: names the columns.
        text_ids: whether the ids of items are text; None where nobody knows.
        with_label: read it.
        with_row_id: read it, if it is named.
        with_user: read it.
        of_train: whether a feature's values are text, by its column, where train was read before.
    """
    like = "the ids of the items"
    kinds = of_train or {}
    found = [
        Wanted(
            layout.history,
            "history",
            text=text_ids,
            like=like,
            padding=layout.padding,
            separator=layout.history_separator,
        ),
        Wanted(layout.target, "item id", text=text_ids, like=like, padding=layout.padding),
        *(of_feature(feature, text=kinds.get(feature.column)) for feature in layout.row_features),
    ]
    if with_row_id and layout.row_id:
        found.append(Wanted(layout.row_id, "row id", unique=True))
    if with_user:
        found.append(Wanted(layout.user, "user"))
    if with_label:
        found.append(Wanted(layout.label, "label"))
    return found


def of_feature(feature: Feature, *, text: bool | None = None) -> Wanted:
    """What is read of a feature; `text` as its values are in train."""
    if feature.kind == "category" and feature.size is not None:
        return Wanted(feature.column, "level", size=feature.size)
    like = "its values in train" if text is not None else ""
    return Wanted(feature.column, feature.kind, text=text, like=like, separator=feature.separator)

"""Where the files of a data set are, how their columns are called, and what is made of them: a layout, as a value.

The default is the challenge's, MicroLens-1M; `layouts/microlens_1m.toml` is the one place that has its names.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mmctr.inputs.features import Feature

SPLITS = ("train", "valid", "test")
Padding = Literal["zero", "none"]
Submission = Literal["challenge", "plain"]


@dataclass(frozen=True)
class Layout:
    """A data set. Paths are relative to its folder, BASE_PATH; an empty name is that of what there is not.

    Attributes:
        items: the item table: a file, a folder of part files, or a glob, as are the click logs.
        images: names of an archive or a folder of images, of which the first that is there is read.
        train, valid, test: click logs. Without `valid`, users of `train` are held out; without `test`, nothing is
            predicted.
        item_id: column of the item table with the item's id.
        title: its column with the title.
        image: its column with the name of the image's file; empty where images are called by the item's id.
        history: column of the click logs with the items that a user clicked before, the most recent last.
        target: their column with the id of the item that is shown; empty where it is called as `item_id`.
        label: their column with 1 for a click and 0 for none.
        row_id: column of `test` that names a row in the prediction; empty where rows are numbered.
        user: column of the click logs with the user's id, which is never an input of a model.
        time: their column with the time of a row.
        padding: whether 0 in a history is padding; a null and an empty text always are.
        history_separator: what is between the ids of a history that is written as text.
        row_features: columns of the click logs that a model reads, by name.
        item_features: columns of the item table that a model reads, of the target and of each history item.
        valid_share: share of the users that are held out of `train` where there is no `valid`.
        valid_seed: seed of the choice of these users.
        submission: how predictions are written: `challenge` as its scorer reads them, `plain` as row id, probability.
        item_embeddings, checkpoint, prediction, archive: files that a run writes to BASE_PATH.
    """

    items: str
    images: tuple[str, ...]
    train: str
    valid: str
    test: str
    item_id: str
    title: str
    image: str
    history: str
    target: str
    label: str
    row_id: str
    user: str
    time: str
    padding: Padding
    history_separator: str
    row_features: tuple[Feature, ...]
    item_features: tuple[Feature, ...]
    valid_share: float
    valid_seed: int
    submission: Submission
    item_embeddings: str
    checkpoint: str
    prediction: str
    archive: str

    def held_out(self, part: Literal["train", "valid"]) -> "HeldOut | None":
        """Which rows of `train` are the split `part`; None where `valid` is a click log of its own."""
        if self.valid:
            return None
        return HeldOut(user=self.user, share=self.valid_share, seed=self.valid_seed, part=part)

    @property
    def item_columns(self) -> "ItemColumns":
        """What is read of the item table."""
        return ItemColumns(
            item_id=self.item_id, title=self.title, image=self.image, padding=self.padding, features=self.item_features
        )

    @property
    def click_columns(self) -> "ClickColumns":
        """What a model reads of the click logs, and the label."""
        return ClickColumns(
            history=self.history,
            target=self.target,
            label=self.label,
            padding=self.padding,
            history_separator=self.history_separator,
            features=self.row_features,
        )


def layout_of(values: Mapping[str, Any]) -> Layout:
    """The layout of what a TOML table has: features are tables by the name of their column."""
    features = {
        name: tuple(Feature(column=column, **feature) for column, feature in values[name].items())
        for name in ("row_features", "item_features")
    }
    target = values["target"] or values["item_id"]
    return Layout(**{**values, "target": target, "images": tuple(values["images"]), **features})


def _shipped(name: str) -> Layout:
    path = Path(__file__).parent / "layouts" / f"{name}.toml"
    return layout_of(tomllib.loads(path.read_text(encoding="utf-8")))


MICROLENS_1M = _shipped("microlens_1m")


@dataclass(frozen=True)
class ItemColumns:
    """Columns of the item table, as `Layout` has them; an empty name is that of a column that there is not."""

    item_id: str = MICROLENS_1M.item_id
    title: str = MICROLENS_1M.title
    image: str = MICROLENS_1M.image
    padding: Padding = MICROLENS_1M.padding
    features: tuple[Feature, ...] = MICROLENS_1M.item_features


@dataclass(frozen=True)
class ClickColumns:
    """Columns of the click logs that a model reads, and the label, as `Layout` has them."""

    history: str = MICROLENS_1M.history
    target: str = MICROLENS_1M.target
    label: str = MICROLENS_1M.label
    padding: Padding = MICROLENS_1M.padding
    history_separator: str = MICROLENS_1M.history_separator
    features: tuple[Feature, ...] = MICROLENS_1M.row_features


@dataclass(frozen=True)
class HeldOut:
    """A part of train's users, who stand for `valid`: by a seeded hash of the user, so that a user is in one of both.

    Attributes:
        user: column of the user's id.
        share: of the users that are held out.
        seed: of the hash.
        part: which rows are meant: `train`, those of all other users, or `valid`, those of the users held out.
    """

    user: str
    share: float
    seed: int
    part: Literal["train", "valid"]


@dataclass(frozen=True)
class Half:
    """Which half of the validation clicks is meant.

    Attributes:
        user: column of the user's id, by which rows are divided, so that a user is in one half; where the clicks do
            not have it, or it is empty, rows are divided by their number.
        part: `choosing` or `judging`.
    """

    user: str = ""
    part: Literal["choosing", "judging"] = "choosing"

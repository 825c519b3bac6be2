"""The section `data`: which files and columns a data set has, and how what is made of it is called.

The defaults are the challenge's, of `mmctr/inputs/layouts/microlens_1m.toml`.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from mmctr.inputs.features import Feature, Kind
from mmctr.inputs.layout import MICROLENS_1M, Layout, Padding, Submission, layout_of
from tasks.settings.base import RunsOnly, Section


class FeatureConfig(Section):
    """A column that the model reads, under its name."""

    kind: Kind = Field(description="category: one of many values; tags: a list of them; number: standardised")
    width: int = Field(Feature.width, ge=1, le=1024, description="of the embedding of a value; a number has none")
    size: int | None = Field(
        Feature.size,
        ge=2,
        le=100_000_000,
        description="of a category whose values are 0 to size - 1; by default its values are those of train",
    )
    max_tags: int = Field(Feature.max_tags, ge=1, le=1024, description="of a row's tags, the first that are read")
    separator: str = Field(
        Feature.separator, min_length=1, max_length=10, description="between tags that are written as one text"
    )

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.size is not None and self.kind != "category":
            raise ValueError(f"size is for a feature of kind category; this one is of kind {self.kind}")
        return self


Features = dict[Annotated[str, Field(min_length=1, max_length=200)], FeatureConfig]
Name = Annotated[str, Field(max_length=500)]


def _features(features: tuple[Feature, ...]) -> Features:
    """Features of a layout as settings."""
    return {one.column: FeatureConfig(**{k: v for k, v in asdict(one).items() if k != "column"}) for one in features}


class DataConfig(Section):
    """The data: its files, their columns, and the names of what is made; an empty name is that of what there is not."""

    items: Annotated[Name, RunsOnly()] = Field(  # what is in a file counts, not where it is
        MICROLENS_1M.items,
        min_length=1,
        description="item table: a file, a folder of part files, or a glob; parquet or CSV",
    )
    images: Annotated[tuple[Name, ...], RunsOnly()] = Field(
        MICROLENS_1M.images,
        description="archive or folder of images, of several the first that is there; an empty list for none",
    )
    train: Annotated[Name, RunsOnly()] = Field(MICROLENS_1M.train, min_length=1, description="click log to train on")
    valid: Annotated[Name, RunsOnly()] = Field(
        MICROLENS_1M.valid, description="click log to choose by; without one, users of train are held out"
    )
    test: Annotated[Name, RunsOnly()] = Field(
        MICROLENS_1M.test, description="click log to predict; without one there is no submission"
    )
    item_id: Name = Field(MICROLENS_1M.item_id, min_length=1, description="column of the item's id")
    title: Name = Field(MICROLENS_1M.title, description="column of the item's title")
    image: Name = Field(
        MICROLENS_1M.image,
        description="column of the name of the item's image; without one, images are called by the item's id",
    )
    history: Name = Field(
        MICROLENS_1M.history, min_length=1, description="column of the clicked items, the most recent last"
    )
    target: Name = Field("", description="column of the item that is shown; without one, it is called as item_id")
    label: Name = Field(MICROLENS_1M.label, min_length=1, description="column of 1 for a click and 0 for none")
    row_id: Name = Field(
        MICROLENS_1M.row_id, description="column that names a row of the prediction; without one, rows are numbered"
    )
    user: Annotated[Name, RunsOnly()] = Field(  # the name counts as an input of `train`, which looks for the column
        MICROLENS_1M.user, description="column of the user's id, by which rows belong together; no model reads it"
    )
    time: Annotated[Name, RunsOnly()] = Field(MICROLENS_1M.time, description="column of the time of a row")
    padding: Padding = Field(
        MICROLENS_1M.padding,
        description="zero: 0 in a history is padding; none: it is an id; nulls never are",
    )
    history_separator: str = Field(
        MICROLENS_1M.history_separator, min_length=1, max_length=10, description="between the ids of a history in CSV"
    )
    row_features: Features = Field(
        _features(MICROLENS_1M.row_features), description="columns of the click logs that the model reads"
    )
    item_features: Features = Field(
        _features(MICROLENS_1M.item_features),
        description="columns of the item table that the model reads, of the target and of the history's items",
    )
    valid_share: float = Field(
        MICROLENS_1M.valid_share, gt=0, lt=1, description="of the users, held out of train where there is no valid"
    )
    valid_seed: int = Field(MICROLENS_1M.valid_seed, ge=0, le=2**31 - 1, description="of the choice of these users")
    submission: Submission = Field(
        MICROLENS_1M.submission,
        description="challenge: as its scorer reads it; plain: the row's id and the probability",
    )
    item_embeddings: Annotated[Name, RunsOnly()] = Field(
        MICROLENS_1M.item_embeddings, min_length=1, description="file that is written: reduced vectors of the items"
    )
    checkpoint: Annotated[Name, RunsOnly()] = Field(
        MICROLENS_1M.checkpoint, min_length=1, description="file that is written: the model"
    )
    prediction: Annotated[Name, RunsOnly()] = Field(
        MICROLENS_1M.prediction, min_length=1, description="file that is written: probabilities of test as CSV"
    )
    archive: Annotated[Name, RunsOnly()] = Field(
        MICROLENS_1M.archive, min_length=1, description="file that is written: the same, zipped"
    )

    @property
    def layout(self) -> Layout:
        """The section as the library has it."""
        return layout_of(self.model_dump())

    @field_validator("item_embeddings", "checkpoint", "prediction", "archive")
    @classmethod
    def _check_output(cls, name: str) -> str:
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or path.parts[:1] == (".mmctr",):
            raise ValueError("a file that is written must be in BASE_PATH, and not in .mmctr")
        return name

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        made = [self.item_embeddings, self.checkpoint, self.prediction, self.archive]
        read = [self.items, *self.images, self.train, self.valid, self.test]
        taken = [Path(name) for name in read if name]
        for number, name in enumerate(made):
            path = Path(name)
            if name in made[:number] or any(path == other or other in path.parents for other in taken):
                raise ValueError(f"data: each file that is written needs a name of its own; {name} is that of another")
        return self

    @model_validator(mode="after")
    def _check_valid(self) -> Self:
        if not self.valid and not self.user:
            raise ValueError("data.valid or data.user must be named: users are held out of train by their id")
        return self

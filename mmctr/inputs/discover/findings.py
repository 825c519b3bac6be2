"""What a folder is taken for: each setting that was chosen with its evidence, and what is left to choose."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.inputs.discover.candidates import Candidate, candidates
from mmctr.inputs.discover.choice import Choice, Value
from mmctr.inputs.discover.events import Events, raw_logs
from mmctr.inputs.discover.find import Pictures, find
from mmctr.inputs.discover.items import Items, content, item_table
from mmctr.inputs.discover.logs import Logs, click_logs, read_logs
from mmctr.inputs.discover.sample import Column, Sample, problem_of, sample_table
from mmctr.inputs.layout import MICROLENS_1M

MOST_TABLES = 60
OUTPUTS = ("item_embeddings", "checkpoint", "prediction", "archive")
RESULTS = dict(
    zip(OUTPUTS, ("item_embeddings.parquet", "model.pt", "prediction.csv", "prediction.zip"), strict=True)
)  # in a folder of this name, where the data are not the challenge's
RESULTS_FOLDER = "results"


@dataclass(frozen=True)
class Findings:
    """What was found in a folder.

    Attributes:
        choices: of the section `data`, in the order in which they are read.
        row_features, item_features: columns that could be features.
        levels: whether the challenge's two levels are in the click logs.
        vectors: columns of the item table with vectors.
        item_rows: of the item table, where all of them were looked at.
        events: raw logs; of use where there are no click logs.
        items: the item table.
        notes: what else is there or was not looked at.
    """

    choices: tuple[Choice, ...] = ()
    row_features: tuple[Candidate, ...] = ()
    item_features: tuple[Candidate, ...] = ()
    levels: bool = False
    vectors: tuple[Column, ...] = ()
    item_rows: int | None = None
    events: tuple[Events, ...] = ()
    items: Items | None = None
    notes: tuple[str, ...] = ()

    def choice(self, key: str) -> Choice | None:
        """The choice of a setting."""
        return next((choice for choice in self.choices if choice.key == key), None)

    @property
    def has_clicks(self) -> bool:
        """Whether there is a click log to train on."""
        return self.choice("train") is not None

    @property
    def is_challenge(self) -> bool:
        """Whether every choice is what the challenge's layout has."""
        return self.has_clicks and self.levels and all(is_default(choice) for choice in self.choices)

    @property
    def is_for_challenge(self) -> bool:
        """Whether the click logs are where the challenge has them, so that a submission is what is wanted."""
        files = [choice for choice in self.choices if choice.key in ("train", "valid", "test")]
        return self.has_clicks and all(is_default(choice) for choice in files)


def is_default(choice: Choice) -> bool:
    """Whether a setting is chosen as the challenge's layout has it."""
    default: Value = getattr(MICROLENS_1M, choice.key)
    if choice.key == "images":
        return isinstance(choice.value, tuple) and bool(set(choice.value) & set(MICROLENS_1M.images))
    if choice.key == "time":
        return True  # nothing reads it
    return choice.value == default


@dataclass
class _Tables:
    samples: list[Sample] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look_at(folder: Path) -> Findings:
    """Look at what a folder holds, of each table at some thousand rows.

    Raises:
        InputError: it is no folder.
        OSError: it may not be read.
    """
    if not folder.is_dir():
        raise InputError(f"init looks at a folder with data; {folder} is none; name another")
    os.scandir(folder).close()
    written = [getattr(MICROLENS_1M, name) for name in OUTPUTS]
    holds = find(folder, without=[*written, RESULTS_FOLDER, "scores"])
    tables = _Tables()
    if not holds.all:
        tables.notes.append("the folder has more files than are looked at; some were not")
    for table in holds.tables[:MOST_TABLES]:
        try:
            tables.samples.append(sample_table(table))
        except InputError as error:
            tables.notes.append(f"{table.name} cannot be read: {problem_of(error, table)}")
    if len(holds.tables) > MOST_TABLES:
        tables.notes.append(f"of {len(holds.tables):,} tables the first {MOST_TABLES} were looked at")
    return _findings(tables, holds.pictures)


def _findings(tables: _Tables, pictures: Sequence[Pictures]) -> Findings:
    logs = click_logs(tables.samples)
    others = [sample for sample in tables.samples if all(sample is not log.sample for log in logs)]
    clicked = max((log.history.ids for log in logs), key=len, default=frozenset[str]())
    items, of_table = item_table(others, clicked=clicked)

    def item_ids(column: Column) -> float:
        return items.holds(column) if items else 0.0

    events = raw_logs([one for one in others if items is None or one is not items.sample], item_ids=item_ids)
    of_content = content(items, pictures) if items else []
    if not logs:
        choices = _ordered([*of_table, *of_content])
        return Findings(choices, items=items, events=tuple(events), notes=tuple(tables.notes))
    found = read_logs(logs, item_ids=item_ids)
    used = [one.sample for one in (found.train, found.valid, found.test) if one is not None]
    used += [items.sample] if items else []
    rest = [sample for sample in others if sample not in used]
    notes = [*tables.notes, *(f"{sample.name} has no part in this" for sample in rest)]
    choices = _ordered([*of_table, *of_content, *found.choices])
    return Findings(
        choices=choices,
        row_features=tuple(_row_features(found, choices)),
        item_features=tuple(_item_features(items, choices)),
        levels=_has_levels(found),
        vectors=tuple(column for column in (items.sample.columns if items else ()) if column.shape == "vector"),
        item_rows=items.count if items else None,
        events=tuple(events),
        items=items,
        notes=tuple(notes),
    )


ORDER = (
    *("items", "images", "train", "valid", "test", "item_id", "title", "image", "history", "target", "label"),
    *("row_id", "user", "time", "padding", "history_separator"),
)


def _ordered(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """In the order of the layout."""
    return tuple(sorted(choices, key=lambda choice: ORDER.index(choice.key)))


def _taken(choices: Sequence[Choice], keys: Sequence[str]) -> set[str]:
    return {str(choice.value) for choice in choices if choice.key in keys}


def _row_features(logs: Logs, choices: Sequence[Choice]) -> list[Candidate]:
    taken = _taken(choices, ("history", "target", "label", "row_id", "user", "time")) | {logs.target}
    others = [one.sample for one in (logs.valid, logs.test) if one is not None]
    return candidates(logs.train.sample, taken=taken, also_in=others)


def _item_features(items: Items | None, choices: Sequence[Choice]) -> list[Candidate]:
    taken = _taken(choices, ("item_id", "title", "image"))
    return candidates(items.sample, taken=taken) if items else []


def _has_levels(logs: Logs) -> bool:
    """Whether the challenge's two levels are there, as it has them."""
    for one in (logs.train, logs.valid, logs.test):
        for feature in MICROLENS_1M.row_features:
            column = one.sample.column(feature.column) if one is not None else None
            if one is not None and (column is None or not _in_range(column, feature.size or 0)):
                return False
    return True


def _in_range(column: Column, size: int) -> bool:
    whole = column.shape in ("flag", "integer") and not column.nulls
    return whole and all(0 <= int(text) < size for text in column.values)

"""What is written beside the splits: `prepare.json`, a record of what was done, and `mmctr.toml`, which reads them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmctr.common.files import file_sha256
from mmctr.inputs.features import MAX_LEN
from mmctr.inputs.from_logs import item_table
from mmctr.inputs.from_logs.options import HISTORY, ITEM, LABEL, ROW_ID, TIME, USER, Column, Request, Rules

RECORD, SETTINGS = "prepare.json", "mmctr.toml"
TEST_LABELS = "test_labels.parquet"
SMALL_BATCH, SMALL_ROWS = 512, 400_000  # of train rows below which a step has so few of them


@dataclass(frozen=True)
class SplitCounts:
    """Of one split."""

    rows: int
    positives: int
    users: int
    events: int
    without_history: int  # rows
    short_history: int  # events that became no row, as their history is shorter than asked for
    not_last: int  # events that became no row, as later ones of the user did
    too_few_negatives: int  # positives that became no row


@dataclass(frozen=True)
class Prepared:
    """What came of a log.

    Attributes:
        rows_read: of the log.
        dropped: rows that are no events, by reason.
        events, users, items: of the log, after that.
        unknown_items: items of the log that the item table does not have.
        first_time, last_time: of the events, for people.
        cuts: first times of valid and test; None where users are split.
        splits: by name.
    """

    rows_read: int
    dropped: dict[str, int]
    events: int
    users: int
    items: int
    unknown_items: int
    first_time: str
    last_time: str
    cuts: tuple[str, str] | None
    splits: dict[str, SplitCounts]


def write_record(folder: Path, *, request: Request, inputs: Sequence[Path], prepared: Prepared) -> None:
    """Write `prepare.json`, with the digests of all that is in `folder`; the same work writes the same bytes."""
    record: dict[str, Any] = {
        "format": 1,
        "request": asdict(request),
        "inputs": [_file(path, name=str(path)) for path in inputs],
        "rules": rules_text(request),
        "log": {name: value for name, value in asdict(prepared).items() if name != "splits"},
        "splits": {name: asdict(counts) for name, counts in prepared.splits.items()},
        "outputs": [_file(path, name=path.name) for path in sorted(folder.iterdir())],
    }
    text = json.dumps(record, indent=2, ensure_ascii=False, default=str)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def _file(path: Path, *, name: str) -> dict[str, Any]:
    return {"file": name, "bytes": path.stat().st_size, "sha256": file_sha256(path)}


def rules_text(request: Request) -> list[str]:
    """What was done, in sentences."""
    rules = request.rules
    whose = "positive events" if rules.history == "positives" and request.log.label else "events"
    by_user = "a user is in one split alone, by a hash of the user's id and the seed"
    by_time = "an event is in the split of its time; what happened at the first time of a split is in that split"
    sentences = [
        by_user if rules.split == "users" else by_time,
        f"a history has the user's {whose} strictly before the row's time, the {rules.max_len} most recent, the most "
        "recent last; events at one time are in no history of each other, and stand in the order of their items' ids",
        "rows of the log without user, item or time are dropped; rows that are equal in all columns that are read are "
        "one event",
    ]
    if rules.negatives:
        pool = {
            "uniform": "each item alike",
            "popularity": "by the number of its events",
            "live": "each item alike that is live at the row's time: between its first and its last event",
        }[rules.negatives_from]
        sentences += [
            f"each event has {rules.negatives} different negatives with its own time, history and context: items that "
            f"the user has no event with in the whole log, {pool}",
            "negatives of train are drawn from what train's events say, those of valid from train's and valid's, those "
            "of test from all",
        ]
    return sentences


def write_settings(folder: Path, *, request: Request, train_rows: int, model: str) -> None:
    """Write `mmctr.toml` for `mmctr run`; `model` is the name that its models are registered under."""
    items = request.items
    item_id, title = (items.item_id, items.title) if items else (ITEM, "")
    lines = [
        "# Written by `mmctr prepare`; prepare.json has how the splits were made. Paths are relative to this file.",
        "# `mmctr settings` lists all settings.",
        "",
        "[data]",
        f"items = {_text(item_table.NAME)}",
        "images = []  # an archive or a folder of images in this folder: name it here",
        *(f"{name} = {_text(f'{name}.parquet')}" for name in ("train", "valid", "test")),
        f"item_id = {_text(item_id)}  # column of the item table",
        f"title = {_text(title)}  # column of the item table with titles; empty: there are none",
        'image = ""  # column of the item table with the names of images; empty: they are called by the item\'s id',
        f"target = {_text(ITEM)}",
        *(f"{name} = {_text(column)}" for name, column in _COLUMNS),
        'padding = "none"  # histories hold nothing but items',
        'submission = "plain"  # the row\'s id and the probability',
        'item_embeddings = "item_embeddings.parquet"',
        'checkpoint = "model.pt"',
        'prediction = "predictions.csv"',
        'archive = "predictions.zip"',
        *_features("row_features", request.log.context, "columns of the click logs that the model reads"),
        *_features("item_features", items.features if items else (), "columns of the item table that it reads"),
        *_training(request, train_rows=train_rows),
        "",
        "[promote]",
        f"registered_model = {_text(model)}  # models of other data sets in the same MLflow store need another name",
    ]
    (folder / SETTINGS).write_text("\n".join(lines) + "\n", encoding="utf-8")


_COLUMNS = (
    ("history", HISTORY),
    ("label", LABEL),
    ("row_id", ROW_ID),
    ("user", USER),
    ("time", TIME),
)


def _training(request: Request, *, train_rows: int) -> list[str]:
    """Settings of the stages that the default ones do not fit."""
    source = ["# clip: vectors of titles and images; none: items are known by their ids and features alone"]
    source.append(f"source = {_text('clip' if request.items and request.items.title else 'none')}")
    train = []
    if request.rules.max_len != MAX_LEN:
        train.append(f"max_len = {request.rules.max_len}  # of the histories that were written")
    if train_rows < SMALL_ROWS:
        train.append(f"batch_size = {SMALL_BATCH}  # the default would leave few steps an epoch on a log of this size")
    return ["", "[embed]", *source, *(["", "[train]", *train] if train else [])]


def _features(name: str, columns: Sequence[Column], what: str) -> list[str]:
    declared = [f"{_text(one.name)} = {{ kind = {_text(one.kind)} }}" for one in columns if one.kind]
    return ["", f"[data.{name}]  # {what}: category, tags, or number", *declared]


def _text(value: str) -> str:
    """A basic string of TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def summary(prepared: Prepared, *, rules: Rules, out: Path) -> str:
    """What a person sees at the end."""
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in prepared.dropped.items() if count) or "none dropped"
    lines = [
        f"log           {prepared.rows_read:,} rows: {dropped}",
        f"events        {prepared.events:,} of {prepared.users:,} users and {prepared.items:,} items, from "
        f"{prepared.first_time} to {prepared.last_time}",
    ]
    if prepared.unknown_items:
        lines.append(f"unknown       {prepared.unknown_items:,} items of the log, which are not in the item table")
    if prepared.cuts:
        lines.append(f"split         by time: valid from {prepared.cuts[0]}, test from {prepared.cuts[1]}")
    else:
        lines.append(f"split         by users, seed {rules.seed}")
    lines.append(f"{'split':14}{'rows':12}{'positive':10}{'users':12}{'no history':12}left out")
    for name, split in prepared.splits.items():
        share = f"{split.positives / split.rows:.1%}"
        counts = f"{split.rows:<12,}{share:10}{split.users:<12,}{split.without_history:<12,}"
        lines.append(f"  {name:12}{counts}{split.short_history + split.not_last + split.too_few_negatives:,} events")
    lines.append(f"written       {out}; {RECORD} there says how")
    lines += [f"next          mmctr check {out}", f"then          mmctr run {out}"]
    return "\n".join(lines)

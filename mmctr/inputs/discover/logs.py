"""Which tables are click logs, which split each is, and what their columns are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mmctr.inputs.discover.choice import Choice, per_cent, share_of
from mmctr.inputs.discover.histories import MOSTLY, History, history_of
from mmctr.inputs.discover.names import (
    ITEM,
    LABEL,
    ROW,
    TEST,
    TIME,
    TRAIN,
    USER,
    VALID,
    is_id,
    says,
    words_of,
)
from mmctr.inputs.discover.sample import Column, Sample


@dataclass(frozen=True)
class Log:
    """A click log: its sample and its history."""

    sample: Sample
    history: History

    @property
    def name(self) -> str:
        """Of the table."""
        return self.sample.name

    def flags(self) -> list[Column]:
        """Columns of 0 and 1."""
        return [column for column in self.sample.columns if column.shape == "flag"]


@dataclass(frozen=True)
class Logs:
    """The click logs by split, and their columns."""

    train: Log
    valid: Log | None
    test: Log | None
    target: str
    choices: tuple[Choice, ...]


def click_logs(samples: Sequence[Sample]) -> list[Log]:
    """The tables that have histories."""
    found = [(sample, history_of(sample)) for sample in samples]
    return [Log(sample, history) for sample, history in found if history is not None]


def read_logs(logs: Sequence[Log], *, item_ids: Callable[[Column], float]) -> Logs:
    """Which log is which split, and which column is what.

    Args:
        logs: at least one.
        item_ids: share of a column's values that are ids in the item table, 0 where there is none.
    """
    splits, of_files = _splits(logs)
    train = splits["train"]
    assert train is not None
    label = _label(train, splits["test"])
    target = _target(train, item_ids, label=label)
    user = _user(train, needed=splits["valid"] is None)
    choices = [
        *of_files,
        _history(train),
        target,
        label,
        user,
        _row_id(splits["test"], known=(target.value, user.value)),
        _time(train),
    ]
    choices += _of_history(train, item_ids)
    return Logs(train, splits["valid"], splits["test"], target=str(target.value or ""), choices=tuple(choices))


def _splits(logs: Sequence[Log]) -> tuple[dict[str, Log | None], list[Choice]]:
    """The log of each split by its name, and where names say nothing, by its labels and its size."""
    left, splits, by_name = list(logs), dict[str, Log | None](train=None, valid=None, test=None), set()
    for split, words in (("test", TEST), ("valid", VALID), ("train", TRAIN)):
        named = [log for log in left if says(_last(log.name), words)] or [log for log in left if says(log.name, words)]
        if len(named) == 1 or (named and split == "train"):
            splits[split] = found = max(named, key=_size)
            left.remove(found)
            by_name.add(split)
    labelled = sorted((log for log in left if log.flags()), key=_size, reverse=True)
    unlabelled = [log for log in left if not log.flags()]
    if splits["train"] is None:
        best = (labelled or unlabelled or [log for log in (splits["valid"], splits["test"]) if log])[0]
        splits |= {"train": best, **{name: None for name in ("valid", "test") if splits[name] is best}}
        labelled, unlabelled = ([log for log in group if log is not best] for group in (labelled, unlabelled))
    if splits["test"] is None and unlabelled:
        splits["test"] = unlabelled.pop(0)
    if splits["valid"] is None and labelled:
        splits["valid"] = labelled.pop(0)
    rest = tuple((log.name, _rows(log)) for log in (*labelled, *unlabelled))
    return splits, [_split(name, log, certain=name in by_name, rest=rest) for name, log in splits.items()]


def _split(name: str, log: Log | None, *, certain: bool, rest: tuple[tuple[str, str], ...]) -> Choice:
    if log is None:
        why = {"valid": "users of train are held out by their id", "test": "nothing is predicted without one"}[name]
        return Choice(name, "", f"no click log is called {name}: {why}", others=rest)
    evidence = "its name says so" if certain else _by_content(name)
    why = f"{_rows(log)}, each with a history ({log.history.column.name}); {evidence}"
    return Choice(name, log.name, why, is_certain=certain or name == "train", others=rest)


def _by_content(name: str) -> str:
    if name == "test":
        return "it has no column of 0 and 1 for a label"
    return "the largest log with a label" if name == "train" else "another, smaller log with a label"


def _last(name: str) -> str:
    """The last part of a path, or its folder's where it is a pattern of parts."""
    path = PurePosixPath(name)
    return path.parent.name if path.name.startswith("part") else path.name


def _size(log: Log) -> int:
    return sum(path.stat().st_size for path in log.sample.table.files)


def _rows(log: Log) -> str:
    parts = f", {len(log.sample.table.files)} files" if len(log.sample.table.files) > 1 else ""
    return f"{log.sample.rows:,} rows{'' if log.sample.is_whole else ' looked at'}{parts}"


def _history(train: Log) -> Choice:
    history = train.history
    what = "lists of ids" if history.column.shape == "ids" else f"ids with {history.separator!r} between them"
    named = "its name says so" if history.is_named else "its ids are those of another column, and its name says nothing"
    return Choice("history", history.column.name, f"{what}; {named}", is_certain=history.is_named)


def _label(train: Log, test: Log | None) -> Choice:
    flags = train.flags()
    if not flags:
        return Choice("label", None, f"{train.name} has no column of 0 and 1; a model cannot be trained without one")
    named = [column for column in flags if says(column.name, LABEL)]
    absent = [column for column in flags if test is not None and test.sample.column(column.name) is None]
    found = (named or absent or flags)[0]
    certain = len(named) == 1 or len(flags) == 1 or (not named and len(absent) == 1)
    why = "0 and 1" + (
        ", and its name says so" if found in named else ", and test does not have it" * (found in absent)
    )
    others = tuple((column.name, "0 and 1 as well") for column in flags if column is not found)
    return Choice("label", found.name, why, is_certain=certain, others=others)


def _target(train: Log, item_ids: Callable[[Column], float], *, label: Choice) -> Choice:
    scalars = [column for column in train.sample.columns if column.shape in ("integer", "text")]
    taken = {train.history.column.name, label.value}
    candidates = [column for column in scalars if column.name not in taken]
    if not candidates:
        return Choice("target", None, f"{train.name} has no column for the item that is shown")

    def evidence(column: Column) -> tuple[bool, bool, float, bool, int]:
        known = item_ids(column)
        seen = share_of(column.values, train.history.ids)
        item = says(column.name, ITEM)
        return (
            known >= MOSTLY or seen >= MOSTLY,
            item,
            round(max(known, seen), 1),
            is_id(column.name),
            len(column.values),
        )

    ranked = sorted((column for column in candidates if not says(column.name, USER)), key=evidence, reverse=True)
    found = (ranked or candidates)[0]
    known, seen = item_ids(found), share_of(found.values, train.history.ids)
    why = f"{per_cent(known)} of its values are ids in the item table, {per_cent(seen)} are in these histories too"
    certain = max(known, seen) >= MOSTLY and says(found.name, ITEM)
    rivals = [column for column in ranked[1:] if evidence(column)[:2] == evidence(found)[:2]]
    others = tuple((column.name, f"{per_cent(item_ids(column))} are ids in the item table") for column in rivals)
    return Choice("target", found.name, why, is_certain=certain, others=others)


def _user(train: Log, *, needed: bool) -> Choice:
    columns = [column for column in train.sample.columns if column.shape in ("integer", "text")]
    named = [column for column in columns if says(column.name, USER)]
    if not named and needed:
        others = tuple((column.name, f"{len(column.values):,} different values") for column in columns)
        why = "no column is called as users are, and without valid, users of train are held out by their id"
        return Choice("user", None, why, others=others)
    if not named:
        return Choice("user", "", "no column is called as users are; it is needed only where there is no valid")
    found = max(named, key=lambda column: (is_id(column.name) or column.name.lower() in USER, len(column.values)))
    others = tuple((column.name, "its name says user too") for column in named if column is not found)
    return Choice("user", found.name, "its name says so; no model reads it", others=others)


def _row_id(test: Log | None, *, known: tuple[object, ...]) -> Choice:
    if test is None:
        return Choice("row_id", "", "without test, no rows are named")
    unique = [column for column in test.sample.columns if column.is_unique and column.name not in known]
    named = [column for column in unique if words_of(column.name) & ROW]
    if not unique:
        return Choice("row_id", "", f"no column of {test.name} names its rows, so they are numbered")
    found = (named or unique)[0]
    others = tuple((column.name, "no value is there twice either") for column in unique if column is not found)
    return Choice("row_id", found.name, f"no value is there twice in {test.name}", bool(named), others)


def _time(train: Log) -> Choice:
    named = [column for column in train.sample.columns if says(column.name, TIME)]
    found = [column for column in named if column.shape in ("time", "integer", "number")]
    if not found:
        return Choice("time", "", "no column is called as times are; no stage needs one")
    return Choice("time", found[0].name, "its name says so; no model reads it")


def _of_history(train: Log, item_ids: Callable[[Column], float]) -> list[Choice]:
    """How histories are padded, and separated where they are text."""
    history, choices = train.history, []
    padded = history.entries & {"0", ""}
    zero = Column("", "integer", is_text=False, rows=1, nulls=0, texts=("0",))
    if "0" in history.entries and item_ids(zero) == 1:
        choices.append(Choice("padding", "none", "0 is in histories and is an item's id", is_certain=False))
    else:
        why = "0 or an empty text is in histories and is no item's id" if padded else "no history holds any"
        choices.append(Choice("padding", "zero", why))
    if history.column.shape == "text":
        choices.append(Choice("history_separator", history.separator, "it is between the ids of most histories"))
    return choices

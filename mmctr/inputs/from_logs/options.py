"""What a user says of a log and asks of the split: plain values, checked once."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_value

TimeUnit = Literal["s", "ms", "us", "ns"]
UNITS: dict[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # a second has so many
# Columns of the output; user, item and time are called so whatever the log calls them.
USER, ITEM, TIME, HISTORY, LABEL, ROW_ID = OUTPUT_COLUMNS = ("user_id", "item_id", "time", "history", "label", "ID")
MOST_NEGATIVES, LONGEST_HISTORY = 100, 10_000


@dataclass(frozen=True)
class Column:
    """A column that goes into the output as it is; with a kind it is a feature there."""

    name: str
    kind: str = ""  # category, tags or number


@dataclass(frozen=True)
class LogFormat:
    """Columns of the events, and how to read them."""

    user: str = "user_id"
    item: str = "item_id"
    time: str = "timestamp"
    label: str = ""  # without one, each event is a positive
    positive_from: float | None = None  # a label of this much or more is a positive; None: labels are 0 and 1
    context: tuple[Column, ...] = ()
    time_unit: TimeUnit = "s"  # of times that are numbers
    time_format: str = ""  # of times that are text, as for strftime; "": ISO 8601 or numbers
    separator: str = ""  # of CSV; "": a tab where the header has one, else a comma
    nulls: tuple[str, ...] = ()  # texts of CSV that mean that there is nothing, beside the empty one
    tag_separator: str = " "  # of tags in CSV


@dataclass(frozen=True)
class ItemFormat:
    """The item table, which goes into the output as it is."""

    file: Path
    item_id: str = "item_id"
    title: str = ""
    features: tuple[Column, ...] = ()


@dataclass(frozen=True)
class Rules:
    """How events become rows. See `mmctr prepare --help`; each field is an option of that command."""

    split: Literal["time", "users"] = "time"
    valid: float = 0.1
    test: float = 0.1
    valid_from: str = ""
    test_from: str = ""
    max_len: int = 64
    min_history: int = 0
    history: Literal["positives", "all"] = "positives"
    last: int = 0  # rows a user and split, the most recent ones; 0: all
    negatives: int = 0
    negatives_from: Literal["uniform", "popularity", "live"] = "uniform"
    seed: int = 0


@dataclass(frozen=True)
class Request:
    """All that `mmctr prepare` was asked for, but for the places of files."""

    log: LogFormat = field(default_factory=LogFormat)
    items: ItemFormat | None = None
    rules: Rules = field(default_factory=Rules)


def check_request(request: Request) -> None:
    """Refuse what needs no look at the log.

    Raises:
        InputError: the rule, the value and the option.
    """
    _check_log(request.log)
    rules = request.rules
    if request.log.label and rules.negatives:
        raise InputError(
            "negatives are drawn for a log of positives alone; this one has labels "
            f"({shown(request.log.label)}); leave out either --negatives or --label"
        )
    if not request.log.label and not rules.negatives:
        raise InputError(
            "a model needs both classes: name the column of labels with --label, or, where each event is a positive, "
            "have negatives drawn with --negatives 3"
        )
    for name, value, least, most in (
        ("--negatives", rules.negatives, 0, MOST_NEGATIVES),
        ("--max-len", rules.max_len, 1, LONGEST_HISTORY),
        ("--min-history", rules.min_history, 0, rules.max_len),
        ("--last", rules.last, 0, 2**31),
        ("--seed", rules.seed, 0, 2**63 - 1),
    ):
        if not least <= value <= most:
            raise InputError(f"{name} must be a whole number from {least} to {most}; found {shown_value(value)}")
    _check_split(rules)


def _check_log(log: LogFormat) -> None:
    named = [log.user, log.item, log.time, *([log.label] if log.label else []), *(one.name for one in log.context)]
    for name in named:
        if named.count(name) > 1:
            raise InputError(
                f"user, item, time, label and context are columns of their own; {shown(name)} is named more than once"
            )
    for one in log.context:
        if one.name in OUTPUT_COLUMNS:
            raise InputError(
                f"the output has a column {one.name} of its own; rename that of the log before it becomes context"
            )
    if log.positive_from is not None:
        if not log.label:
            raise InputError("--positive-from turns a column of ratings into labels; name that column with --label")
        if not math.isfinite(log.positive_from):
            raise InputError(f"--positive-from must be a number; found {log.positive_from}")
    if log.separator and (len(log.separator) != 1 or not log.separator.isascii() or log.separator in '"\r\n\0'):
        raise InputError(f"--separator must be one ASCII character, such as ';'; found {shown_value(log.separator)}")
    if not log.tag_separator:
        raise InputError("--tag-separator must be a text, such as '|'; found nothing")


def _check_split(rules: Rules) -> None:
    if rules.valid_from or rules.test_from:
        if rules.split != "time" or not (rules.valid_from and rules.test_from):
            raise InputError(
                "the two cuts of a split by time, --valid-from and --test-from, go together; found "
                f"--split {rules.split}, --valid-from {shown_value(rules.valid_from)}, "
                f"--test-from {shown_value(rules.test_from)}"
            )
        return
    if not (0 < rules.valid < 1 and 0 < rules.test < 1 and rules.valid + rules.test < 1):
        raise InputError(
            "--valid and --test are shares above 0 that leave some for train, such as 0.1; "
            f"found {rules.valid:g} and {rules.test:g}"
        )

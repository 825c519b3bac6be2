"""What a search may choose: a TOML file that has a range or a list of choices for each setting.

    "train.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
    "train.batch_size" = {low = 512, high = 8192, step = 512}
    "model.item.features" = {choices = [true, false]}

Both ends of each range and each choice are tried as settings when the file is read, so that no trial fails by one.
"""

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from mmctr.common.errors import InputError
from mmctr.common.files import is_file
from mmctr.common.text import shown, shown_value
from tasks.settings.base import RunsOnly, Section
from tasks.settings.load import with_settings
from tasks.settings.sections import PipelineConfig
from tasks.settings.space import Choices, Dimension, Range, Space
from tasks.settings.toml_file import read_toml

SEARCHED = ("extract", "embed", "reduce", "model", "train")  # sections that decide what is learned from given rows
RANGE, CHOICES = ("low", "high", "log", "step"), "choices"
EXAMPLE = "{low = 1e-4, high = 1e-2, log = true} or {choices = [...]}"
LARGEST_BYTES = 100_000  # of the file
MOST_CHOICES, SHOWN_NAME, SHOWN_PROBLEMS = 1000, 60, 20


def read_space(path: Path) -> dict[str, Any]:
    """The content of a space file, by dotted names of settings.

    Raises:
        InputError: it is no readable TOML file, or has nothing in it.
    """
    if not is_file(path):
        raise InputError(f"a space is a TOML file; there is none at {shown(str(path))}; name one with --space")
    if path.stat().st_size > LARGEST_BYTES:  # Prefect keeps it as a parameter
        raise InputError(f"a space file must have at most {LARGEST_BYTES:,} bytes; {path} has more")
    table = dict(_flat(read_toml(path)))
    if not table:
        raise InputError(
            f'a space names at least one setting, {path} names none; write a line such as "train.learning_rate" = '
            "{low = 1e-4, high = 1e-2, log = true}"
        )
    return table


def space_of(table: Mapping[str, Any], config: PipelineConfig) -> Space:
    """The space of a file's content, over the settings that are the same for all trials.

    Raises:
        InputError: everything that is wrong with it.
    """
    problems: list[str] = []
    dimensions: dict[str, Dimension] = {}
    for name, entry in table.items():
        try:
            dimensions[name] = _dimension(name, entry, config)
        except InputError as problem:
            problems.append(str(problem))
    if not problems:
        problems = _together(dimensions, config)
    if problems:
        lines = "\n".join(f"  {problem}" for problem in problems[:SHOWN_PROBLEMS])
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        raise InputError(f"the space cannot be searched:\n{lines}{more}")
    return Space(dimensions, config)


def _flat(table: Mapping[str, Any], *, before: str = "") -> Iterator[tuple[str, Any]]:
    """Entries by dotted names, also where the file has sections."""
    for name, value in table.items():
        is_section = isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values())
        if is_section:
            yield from _flat(value, before=f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _dimension(name: str, entry: Any, config: PipelineConfig) -> Dimension:
    said = shown(name, limit=SHOWN_NAME)
    if not isinstance(entry, dict) or not entry:
        raise InputError(f"{said} must be {EXAMPLE}; found {shown_value(entry)}")
    for unknown in entry.keys() - {*RANGE, CHOICES}:
        near = get_close_matches(unknown, [*RANGE, CHOICES], n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"{said} must be {EXAMPLE}; {meant}found {shown(unknown, limit=SHOWN_NAME)}")
    if CHOICES in entry and len(entry) > 1:
        raise InputError(f"{said} must be a range or a list of choices, found both; remove one")
    kind = _choices(said, entry[CHOICES]) if CHOICES in entry else _numbers(said, entry)
    values = {CHOICES: list(kind.values.values())} if isinstance(kind, Choices) else _ends(kind)
    for what, tried in values.items():
        for value in tried:
            _try(config, {name: value}, f"{what} {shown_value(value)} of {said}")
    _check_searched(name, said)
    if isinstance(kind, Range) and kind.is_whole and kind.step is None and _takes_fractions(config, name, kind):
        return Range(kind.low, kind.high, kind.log, None, is_whole=False)
    return kind


def _numbers(said: str, entry: Mapping[str, Any]) -> Range:
    low, high, log, step = (entry.get(name) for name in RANGE)
    log = False if log is None else log
    numbers = [low, high] if step is None else [low, high, step]
    if not isinstance(log, bool) or not all(_is_number(number) for number in numbers):
        raise InputError(f"{said} must be {EXAMPLE}, with finite numbers; found {shown_value(dict(entry))}")
    assert low is not None
    assert high is not None
    if low >= high:
        raise InputError(f"low of {said} must be below high; found {shown_value(low)} and {shown_value(high)}")
    if log and (low <= 0 or step is not None):
        why = "log needs low above 0" if low <= 0 else "log and step cannot be used together"
        raise InputError(f"{said}: {why}; found {shown_value(dict(entry))}")
    if step is not None and not 0 < step <= high - low:
        raise InputError(f"step of {said} must be above 0 and at most high - low; found {shown_value(step)}")
    is_whole = all(float(number).is_integer() for number in (low, high, step or 0))
    if is_whole:
        low, high, step = int(low), int(high), None if step is None else int(step)
    return Range(low, high, log, step, is_whole)


def _choices(said: str, values: Any) -> Choices:
    if not isinstance(values, list) or not 2 <= len(values) <= MOST_CHOICES:
        raise InputError(f"choices of {said} must be a list of 2 to {MOST_CHOICES} values; found {shown_value(values)}")
    try:
        texts = [json.dumps(value) for value in values]
    except (TypeError, ValueError, RecursionError):
        raise InputError(f"choices of {said} must be texts, numbers, truth values, lists or tables") from None
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise InputError(f"choices of {said} must be different; {shown(twice, limit=SHOWN_NAME)} is there twice")
    return Choices(dict(zip(texts, values, strict=True)))


def _is_number(value: Any) -> bool:
    """Whether this is a finite number that a float can hold; True is none."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:
        return False


def _ends(kind: Range) -> dict[str, list[Any]]:
    return {"low": [kind.low], "high": [kind.high]}


def _try(config: PipelineConfig, settings: Mapping[str, Any], what: str) -> PipelineConfig:
    """The configuration with some settings.

    Raises:
        InputError: it cannot be used, in one line.
    """
    try:
        return with_settings(config, settings)
    except InputError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise InputError(f"{what}: {'; '.join(reasons)}") from None


def _check_searched(name: str, said: str) -> None:
    """Refuse a setting that does not change what is learned from the same rows.

    Raises:
        InputError: with what can be searched.
    """
    first, *rest = name.split(".")
    field = PipelineConfig.model_fields[first]
    section: Any = field.annotation
    runs_only = isinstance(section, type) and issubclass(section, Section) and rest[0] in section.marked(RunsOnly)
    if first not in SEARCHED or runs_only:
        raise InputError(
            f"{said} changes nothing that is learned from the same rows; a search chooses settings of "
            f"{', '.join(name for name in SEARCHED if name in PipelineConfig.model_fields)} that do; remove it"
        )


def _takes_fractions(config: PipelineConfig, name: str, kind: Range) -> bool:
    """Whether a setting is no whole number, although both ends of its range are written as such."""
    try:
        with_settings(config, {name: kind.low + 0.5})
    except InputError:
        return False
    return True


def _together(dimensions: Mapping[str, Dimension], config: PipelineConfig) -> list[str]:
    """What is wrong with all first and all last values together, which may break a rule about several settings."""
    values = {
        name: list(kind.values.values()) if isinstance(kind, Choices) else [kind.low, kind.high]
        for name, kind in dimensions.items()
    }
    problems = []
    for what, place in (("first", 0), ("last", -1)):
        try:
            _try(config, {name: known[place] for name, known in values.items()}, f"the {what} value of each setting")
        except InputError as problem:
            problems.append(str(problem))
    return problems

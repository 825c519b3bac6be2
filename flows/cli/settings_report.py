"""`mmctr settings`: every setting with what `tasks/settings/sections.py` says of it."""

import json
import re
import textwrap
import types
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from tasks.settings.base import RunsOnly, Section
from tasks.settings.sections import PipelineConfig

NAME, DEFAULT, RANGE, SENTENCE = 28, 14, 26, 72  # widths of the columns
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Setting:
    """One setting; `default` is written as in TOML, and empty where there is none."""

    name: str
    default: str
    range: str
    sentence: str
    changes_results: bool


def settings() -> Iterator[tuple[str, str, list[Setting]]]:
    """Each section with its sentence and settings; the first has no name."""
    fields = PipelineConfig.model_fields
    single = {name: field for name, field in fields.items() if _section(field) is None and name != "base_path"}
    yield "", "Of the whole run.", [_setting(name, field) for name, field in single.items()]
    for name, field in fields.items():
        section = _section(field)
        if section is not None:
            rows = [_setting(f"{name}.{inner}", what) for inner, what in section.model_fields.items()]
            yield name, str(section.__doc__).splitlines()[0], rows


def _section(field: FieldInfo) -> type[Section] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _setting(name: str, field: FieldInfo) -> Setting:
    default = field.get_default(call_default_factory=True)
    keyed = "." in name and not any(isinstance(mark, RunsOnly) for mark in field.metadata)
    text = "" if default is None else json.dumps(default, default=to_jsonable_python)
    return Setting(name, text, _range(field.annotation, field.metadata), str(field.description), keyed)


def _range(kind: Any, marks: Any) -> str:
    """What a value may be, in words, from a field's type and its marks."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _range(inner[0], [mark for given in inner[1:] for mark in getattr(given, "metadata", [given])])
    if origin is Literal:
        return " or ".join(inner)
    if origin in (Union, types.UnionType):
        return f"{' or '.join(_range(one, marks) for one in inner if one is not types.NoneType)}, or none"
    if origin is tuple:
        return f"list, each a {_range(inner[0], [])}"
    if origin is dict and get_origin(inner[0]) is Annotated:
        return f"tables of {', '.join(inner[1].model_fields)}"
    if origin is dict:
        return f"for each of {', '.join(get_args(inner[0]))}: {_range(inner[1], [])}"
    return _word(kind) + _bounds(marks)


def _word(kind: Any) -> str:
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _bounds(marks: Any) -> str:
    low = high = closed = ""
    for mark in marks:
        if isinstance(mark, Ge):
            closed, low = _plain(mark.ge), f"{_plain(mark.ge)} or more"
        elif isinstance(mark, Gt):
            low = f"more than {_plain(mark.gt)}"
        elif isinstance(mark, Le):
            high = f"to {_plain(mark.le)}" if closed else f"at most {_plain(mark.le)}"
            low = closed or low
        elif isinstance(mark, Lt):
            high = f"less than {_plain(mark.lt)}"
        elif isinstance(mark, MinLen):
            low = f"{mark.min_length} characters or more"
        elif isinstance(mark, MaxLen):
            high = f"at most {mark.max_length} characters"
        elif getattr(mark, "pattern", None):
            low = f"like {mark.pattern}"
    bounds = [bound for bound in (low, high) if bound]
    return "".join(f", {bound}" for bound in bounds).replace(", to ", " to ")


def _plain(number: Any) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


def as_json() -> str:
    """All settings as a list of objects."""
    rows = [{"section": section, **asdict(setting)} for section, _, known in settings() for setting in known]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def as_text() -> str:
    """All settings as aligned lines, by section."""
    lines: list[str] = []
    for section, sentence, known in settings():
        if known:
            lines += [*([""] if lines else []), f"{section or 'no section'}: {sentence}"]
        for setting in known:
            cells = [
                textwrap.wrap(text, width) or [""]
                for text, width in (
                    (setting.name, NAME - 2),
                    (setting.default or "-", DEFAULT - 2),
                    (setting.range, RANGE - 2),
                    (setting.sentence, SENTENCE),
                )
            ]
            for row in range(max(map(len, cells))):
                name, default, values, words = (cell[row] if row < len(cell) else "" for cell in cells)
                lines.append(f"  {name:<{NAME}}{default:<{DEFAULT}}{values:<{RANGE}}{words}".rstrip())
    return "\n".join(lines)


def as_markdown() -> str:
    """The page docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "`mmctr settings` lists them too; `mmctr settings --markdown > docs/settings.md` makes this page. A setting is",
        "given as `--set train.epochs=3`, in `BASE_PATH/mmctr.toml`, in the file of `--config`, or in a deployment's",
        "parameter `config`. *Key*: another value makes another result; a setting without it only says how to run.",
    ]
    for section, sentence, known in settings():
        if known:
            lines += ["", f"## {section or 'Without a section'}", "", sentence, ""]
            lines += ["| setting | default | range | meaning | key |", "|---|---|---|---|---|"]
        for setting in known:
            values = re.sub(r"\^\S.*\$", r"`\g<0>`", setting.range)  # a pattern is no Markdown
            cells = (values, setting.sentence, "yes" if setting.changes_results else "")
            texts = " | ".join(cell.replace("|", "\\|") for cell in cells)
            lines.append(f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} | {texts} |")
    return "\n".join(lines)

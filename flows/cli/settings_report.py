"""`mmctr settings`: every setting with what its section says of it."""

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
from tasks.settings.structure import list_of, parts_of, section_of

NAME, DEFAULT, RANGE, SENTENCE = 36, 14, 26, 72  # widths of the columns
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Setting:
    """One setting; `default` is written as in TOML, and empty where there is none."""

    name: str
    default: str
    range: str
    sentence: str
    changes_results: bool


@dataclass(frozen=True)
class Group:
    """Settings of one section, or of one kind of a part. `title` is empty for those of no section."""

    title: str
    sentence: str
    settings: list[Setting]


def groups() -> Iterator[Group]:
    """All settings by section; a section within another, and each kind of a part, comes after it."""
    fields = PipelineConfig.model_fields
    single = {name: field for name, field in fields.items() if section_of(field.annotation) is None}
    single.pop("base_path")
    yield Group("", "Of the whole run.", [_setting(name, field) for name, field in single.items()])
    for name, field in fields.items():
        if (section := section_of(field.annotation)) is not None:
            yield from _of_section(section, name, title=name)


def _of_section(section: type[Section], name: str, *, title: str) -> Iterator[Group]:
    own: list[Setting] = []
    within: list[Group] = []
    for field_name, field in section.model_fields.items():
        whole, kind = f"{name}.{field_name}", field.annotation
        if parts := parts_of(list_of(kind) or kind):
            own.append(_part(whole, field, kinds=list(parts), is_list=list_of(kind) is not None))
            element = f"{whole}.N" if list_of(kind) is not None else whole
            for one, part in parts.items():
                within += _of_section(part, element, title=f'{element}, kind = "{one}"')
        elif (inner := section_of(kind)) is not None:
            within += _of_section(inner, whole, title=whole)
        elif field_name != "kind" or "kind" not in title:
            own.append(_setting(whole, field))
    yield Group(title, str(section.__doc__).splitlines()[0], own)
    yield from within


def _part(name: str, field: FieldInfo, *, kinds: list[str], is_list: bool) -> Setting:
    """A part itself, or the list of them: its default by the kind, as its settings come after it."""
    default = field.get_default(call_default_factory=True)
    shown = [f'{{kind = "{one.kind}"}}' for one in (default if is_list else [default])]
    which = f"{'list, each ' if is_list else ''}a table of kind {' or '.join(kinds)}"
    return Setting(name, f"[{', '.join(shown)}]" if is_list else shown[0], which, str(field.description), True)


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
    rows = [{"section": group.title, **asdict(setting)} for group in groups() for setting in group.settings]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def as_text() -> str:
    """All settings as aligned lines, by section."""
    lines: list[str] = []
    for group in groups():
        lines += [*([""] if lines else []), f"{group.title or 'no section'}: {group.sentence}"]
        for setting in group.settings:
            lines += _aligned(setting)
    return "\n".join(lines)


def _aligned(setting: Setting) -> Iterator[str]:
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
        yield f"  {name:<{NAME}}{default:<{DEFAULT}}{values:<{RANGE}}{words}".rstrip()


INTRODUCTION = """\
# Settings

`mmctr settings` lists them too; `mmctr settings --markdown > docs/settings.md` makes this page. *Key*: another value
makes another result; a setting without it only says how to run. Settings come in layers, the upper over the lower: the
defaults below, a preset (`--preset NAME`, `mmctr presets`), `BASE_PATH/mmctr.toml` or the file of `--config`, and last
`--set train.epochs=3`, or for a deployment its parameter `config`.

A part of the model is a table with a `kind`. One of another kind takes the place of the whole part; without a kind, or
with the same, single settings of it go over those of the layers below:

    [model.head]
    dropout = 0.2                                     # the preset's head, with this dropout
    [[model.sequence]]
    kind = "target_attention"                         # a list is set as a whole

    --set model.head.dropout=0.2 --set model.sequence.0.dropout=0.1 --set 'model.sequence=[{kind = "target_attention"}]'
"""


def as_markdown() -> str:
    """The page docs/settings.md."""
    lines = INTRODUCTION.rstrip("\n").split("\n")
    for group in groups():
        lines += ["", f"## {group.title or 'Without a section'}", "", group.sentence, ""]
        lines += ["| setting | default | range | meaning | key |", "|---|---|---|---|---|"] if group.settings else []
        for setting in group.settings:
            values = re.sub(r"\^\S.*\$", r"`\g<0>`", setting.range)  # a pattern is no Markdown
            cells = (values, setting.sentence, "yes" if setting.changes_results else "")
            texts = " | ".join(cell.replace("|", "\\|") for cell in cells)
            lines.append(f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} | {texts} |")
    return "\n".join(lines).rstrip("\n")

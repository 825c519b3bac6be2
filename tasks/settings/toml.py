"""Settings as TOML: what differs from others, for `--config` and presets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmctr.inputs.discover.draft import toml as text_of
from tasks.settings.sections import PipelineConfig
from tasks.settings.structure import below, is_free_table

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def changed(settings: Mapping[str, Any], base: Mapping[str, Any], *, of: Any = PipelineConfig) -> dict[str, Any]:
    """What of nested `settings`, as JSON values, differs from `base`, so that it can go over that as a layer.

    A part of another kind, a list and a table of the user's own names are there as a whole. `of` is what they are
    settings of.
    """
    found = {}
    for name, value in settings.items():
        known, inner = base.get(name), below(of, name)
        if value == known or value is None:
            continue
        both = isinstance(value, dict) and isinstance(known, dict)
        if both and not is_free_table(inner) and value.get("kind") == (known or {}).get("kind"):
            kind = {"kind": value["kind"]} if "kind" in value else {}
            found[name] = kind | changed(value, known or {}, of=inner)
        else:
            found[name] = value
    return found


def as_toml(settings: Mapping[str, Any]) -> str:
    """Nested settings as the text of a TOML file: plain ones first, then a section for each table."""
    plain = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    sections = {name: value for name, value in settings.items() if isinstance(value, dict)}
    blocks = [list(_lines(plain))] if plain else []
    blocks += [[f"[{_key(name)}]", *_lines(section)] for name, section in sections.items()]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _lines(section: Mapping[str, Any]) -> Iterator[str]:
    for name, value in section.items():
        yield f"{_key(name)} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return text_of(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(name)} = {_value(one)}" for name, one in value.items() if one is not None) + "}"
    return f"[{', '.join(_value(one) for one in value)}]"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else text_of(name)

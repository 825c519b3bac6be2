"""Settings as TOML: what differs from others, for `--config` and presets."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmctr.inputs.discover.draft import toml as text_of

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def changed(settings: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What of nested `settings`, as JSON values, differs from `base`; a part of another kind and a list as a whole."""
    found = {}
    for name, value in settings.items():
        known = base.get(name)
        if isinstance(value, dict) and isinstance(known, dict) and value.get("kind") == known.get("kind"):
            if inner := changed(value, known):
                found[name] = {"kind": value["kind"], **inner} if "kind" in value else inner
        elif value != known and value is not None:
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

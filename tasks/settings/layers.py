"""Layers of settings, as plain tables: the upper goes over the lower, field by field.

docs/decisions/0057-layers-of-settings.md says why it is so. Nothing is checked here but that a name can be followed.
"""

import tomllib
from typing import Any

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from tasks.settings.sections import PipelineConfig
from tasks.settings.structure import below, is_free_table, takes_names

Table = dict[str, Any]
DEEPEST = 8  # names in that of a setting


class Entries(dict[str, Any]):
    """A table of which single entries were named: what else the lower layer has in it stays."""


def merged(lower: Table, upper: Table) -> Table:
    """`upper` over `lower`, settings as a TOML file has them; neither is changed.

    A section goes over the lower one field by field, as does a part of the same kind or of none; a part of another kind
    takes the place of the whole. So do a list, and a table whose names are the user's (`run.timeout`).

    Raises:
        InputError: a single element is set of a list that has no such element.
    """
    return _merged(lower, upper, annotation=PipelineConfig, name="")


def _merged(lower: Table, upper: Table, *, annotation: Any, name: str) -> Table:
    found = type(lower)(lower)
    for field, value in upper.items():
        inner, whole = below(annotation, field), f"{name}.{field}" if name else field
        found[field] = _over(found[field], value, annotation=inner, name=whole) if field in found else value
    return found


def _over(lower: Any, upper: Any, *, annotation: Any, name: str) -> Any:
    if isinstance(lower, list | tuple) and isinstance(upper, Entries):
        return _elements_over(list(lower), upper, annotation=annotation, name=name)
    if not isinstance(lower, dict) or not isinstance(upper, dict) or _is_of_another_kind(upper, lower):
        return upper
    if is_free_table(annotation) and not isinstance(upper, Entries):
        return upper
    return _merged(lower, upper, annotation=annotation, name=name)


def _is_of_another_kind(upper: Table, lower: Table) -> bool:
    return "kind" in upper and "kind" in lower and bool(upper["kind"] != lower["kind"])


def _elements_over(lower: list[Any], upper: Entries, *, annotation: Any, name: str) -> list[Any]:
    for number, value in upper.items():
        if not (number.isascii() and number.isdigit() and int(number[:9]) < len(lower)):
            known = f"its elements are 0 to {len(lower) - 1}" if lower else "it has none"
            raise InputError(
                f"{name} is a list, of which one element is set by its number, and {known}; found "
                f"{shown_value(number)}; use such a number, or set the whole list"
            )
        place = int(number)
        inner = below(annotation, place)
        lower[place] = _over(lower[place], value, annotation=inner, name=f"{name}.{place}")
    return lower


def table_of(overrides: list[str]) -> Table:
    """Settings written `section.field=value`, the value as in TOML or bare text, as one table; later ones go over.

    Raises:
        InputError: one is not written so, or there is nothing to set below a name in it.
    """
    table: Table = {}
    for override in overrides:
        table = merged(table, _single(override))
    return table


def _single(override: str) -> Table:
    name, equals, text = override.partition("=")
    return single(name if equals else "", _value(text), found=override)


def single(name: str, value: Any, *, found: str) -> Table:
    """One setting by its dotted name, as a table that goes over another.

    Raises:
        InputError: the name is none, or there is nothing to set below a name in it; `found` is what is shown.
    """
    steps = name.strip().split(".")
    if not all(steps) or len(steps) > DEEPEST:
        raise InputError(
            f"a setting is written section.field=value, such as train.epochs=3; found {shown_value(found)}"
        )
    annotation: Any = PipelineConfig
    for depth, step in enumerate(steps[:-1], start=1):
        annotation = below(annotation, step)
        if annotation is not None and not takes_names(annotation):
            within = ".".join(steps[:depth])
            raise InputError(f"{within} is not a section of the configuration; found {shown_value(found)}")
    for step in reversed(steps):
        value = Entries({step: value})
    return dict(value)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()

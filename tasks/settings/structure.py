"""The structure of the configuration: what is below a name, be it a section, a part of several kinds, or a list."""

import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from tasks.settings.base import Section

Step = int | str


def section_of(annotation: Any) -> type[Section] | None:
    """The section that an annotation means; None where it means something else."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def parts_of(annotation: Any) -> dict[str, type[Section]]:
    """The classes of a part by their kind; none where the annotation is no part."""
    if get_origin(annotation) is Annotated:
        return parts_of(get_args(annotation)[0])
    is_union = get_origin(annotation) in (Union, types.UnionType)
    sections = [section_of(one) for one in (get_args(annotation) if is_union else [annotation])]
    kinds = [_kind_of(section) for section in sections]
    return {str(kind): section for kind, section in zip(kinds, sections, strict=True) if kind and section}


def _kind_of(section: type[Section] | None) -> str | None:
    """The one kind of a part's class; None where it is no part."""
    field = None if section is None else section.model_fields.get("kind")
    kinds = get_args(field.annotation) if field is not None and get_origin(field.annotation) is Literal else ()
    return str(kinds[0]) if len(kinds) == 1 else None


def list_of(annotation: Any) -> Any:
    """The annotation of a list's elements; None where it means something else."""
    return get_args(annotation)[0] if get_origin(annotation) in (tuple, list) else None


def is_free_table(annotation: Any) -> bool:
    """Whether an annotation means a table whose names are the user's."""
    return get_origin(annotation) is dict


def below(annotation: Any, step: Step) -> Any:
    """The annotation that a name leads to: of a field, of an element of a list, of an entry of a free table."""
    if is_free_table(annotation):
        return get_args(annotation)[1]
    for section in _sections(annotation):
        if step in section.model_fields:
            return section.model_fields[str(step)].annotation
    return list_of(annotation)


def _sections(annotation: Any) -> list[type[Section]]:
    """A section, or those of all kinds of a part."""
    section = section_of(annotation)
    return list(parts_of(annotation).values()) if section is None else [section]


def fields_of(annotation: Any) -> list[str]:
    """The names that may be set below an annotation, of a part those of all its kinds."""
    return list(dict.fromkeys(name for section in _sections(annotation) for name in section.model_fields))


def takes_names(annotation: Any) -> bool:
    """Whether there is something to set below an annotation."""
    return bool(_sections(annotation)) or is_free_table(annotation) or bool(parts_of(list_of(annotation)))


class Located(NamedTuple):
    """A place in the configuration: its name in parts, what holds it, and the kinds of that where it is a part."""

    names: list[str]
    holder: Any
    kinds: dict[str, type[Section]]


def located(location: Sequence[Step], *, root: type[Section]) -> Located:
    """The place in `root` that pydantic reports a problem of."""
    names: list[str] = []
    kinds: dict[str, type[Section]] = {}
    annotation: Any = root
    holder: Any = root
    for step in location:
        parts = {} if section_of(annotation) is not None else parts_of(annotation)
        if step in parts:
            annotation, kinds = parts[str(step)], parts  # pydantic says which kind it checked; no name has that
        else:
            kinds = kinds if annotation in kinds.values() else {}
            names.append(str(step))
            holder, annotation = annotation, below(annotation, step)
    return Located(names, holder, kinds)

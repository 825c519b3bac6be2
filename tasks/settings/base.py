"""What every section of the configuration is, and the marks of its fields."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class RunsOnly:
    """Marks a field whose value never changes a result; it is no part of cache keys."""


@dataclass(frozen=True)
class Component:
    """Marks a field whose value names a module of `package`: its code counts in the keys of runs that choose it.

    `module` says which one, where the value is not its very name.
    """

    package: str
    module: Callable[[Any], str] = str


class Section(BaseModel):
    """Base of all sections: frozen, and unknown names are refused.

    A keyed field that is new counts for nothing at its default, so its default must do what was done without it. Where
    a default changes its value or what it does, or a keyed field goes, `revision` is raised; a test compares both with
    tests/golden/defaults.json.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    revision: ClassVar[int] = 1

    def model_post_init(self, _: Any, /) -> None:
        """Count the kind of a part as set: without it, what is set of the part would be of another one."""
        if "kind" in type(self).model_fields:
            self.model_fields_set.add("kind")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema of Prefect's form, without defaults: sent back, they would go over the data folder's own."""
        made = handler(schema)
        own = handler.resolve_ref_schema(made)
        for name, field in own.get("properties", {}).items():
            default = field.pop("default", None)
            if default is not None and "description" in field:
                field["description"] += f"; default {default}"
            _let_choose(field)
            if name == "kind" and "const" in field:  # of a part; the form knows lists of values, and no constants
                field["enum"] = [field.pop("const")]
                own["required"] = [*own.get("required", []), name]
        return made

    @classmethod
    def marked(cls, mark: type) -> dict[str, Any]:
        """The marks of a kind, by the name of the field that has it."""
        marks = [(name, found) for name, field in cls.model_fields.items() for found in field.metadata]
        return {name: found for name, found in marks if isinstance(found, mark)}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The defaults of the fields that a stage's result depends on, as JSON values; of a section within, its key."""
        return _keyed_fields(cls(), cls.model_fields.keys() - cls.marked(RunsOnly).keys())

    def keyed(self) -> dict[str, Any]:
        """What a stage's result depends on: the revision, and the fields that differ from their defaults.

        Of a section within this one that is the same, so that a field that is new there counts for nothing either.
        """
        defaults = self.defaults()
        values = _keyed_fields(self, defaults)
        changed = {name: value for name, value in values.items() if value != defaults[name]}
        return {"revision": self.revision, **changed}

    def components(self) -> list[str]:
        """Modules that a stage loads by the names in this section and in those within it."""
        within = [section for name in type(self).model_fields for section in _sections(getattr(self, name))]
        return [*self.chosen().values(), *(module for section in within for module in section.components())]

    def chosen(self) -> dict[str, str]:
        """The module that each field marked as a component names, by the field."""
        marks = self.marked(Component).items()
        return {name: f"{mark.package}.{mark.module(getattr(self, name))}" for name, mark in marks}


def _let_choose(field: JsonSchemaValue) -> None:
    """Say of a part of several kinds that it is any of them, in words that the form knows."""
    for choice in (field, field.get("items", {})):
        if "oneOf" in choice:
            choice["anyOf"] = choice.pop("oneOf")
            choice.pop("discriminator", None)


def _keyed_fields(section: Section, names: Iterable[str]) -> dict[str, Any]:
    """Values of fields as JSON values, of sections among them what a result depends on."""
    plain = section.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name in sorted(names):
        value = getattr(section, name)
        if isinstance(value, Section):
            found[name] = _keyed_part(value)
        elif _sections(value):
            found[name] = [_keyed_part(one) for one in value]
        else:
            found[name] = plain[name]
    return found


def _keyed_part(section: Section) -> dict[str, Any]:
    """What a result depends on of a section within another, with its kind, which its default may not say."""
    kinds = {name: getattr(section, name) for name in type(section).marked(Component)}
    return {**section.keyed(), **kinds}


def _sections(value: object) -> list[Section]:
    """The sections in the value of a field."""
    values = value if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, Section)]

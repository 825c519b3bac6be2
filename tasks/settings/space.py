"""What a search may choose, as values: ranges and choices of settings, and the configurations in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmctr.common.errors import InputError
from tasks.settings.load import with_settings
from tasks.settings.sections import PipelineConfig


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones, or any; with `step` every so many, else evenly, or
    evenly in the logarithm."""

    low: float
    high: float
    log: bool
    step: float | None
    is_whole: bool


@dataclass(frozen=True)
class Choices:
    """Some values, by their text, which is JSON."""

    values: Mapping[str, Any]


Dimension = Range | Choices


@dataclass(frozen=True)
class Space:
    """The settings that are searched, by their dotted names, and the configuration that all else is taken from."""

    dimensions: Mapping[str, Dimension]
    config: PipelineConfig

    def settings(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """The values of settings at a point of the space, where a choice is named by its text."""
        return {
            name: kind.values[point[name]] if isinstance(kind, Choices) else point[name]
            for name, kind in self.dimensions.items()
        }

    def config_at(self, point: Mapping[str, Any]) -> PipelineConfig:
        """The configuration at a point of the space.

        Raises:
            InputError: these settings cannot be used together.
        """
        return with_settings(self.config, self.settings(point))

    def present(self) -> dict[str, Any] | None:
        """The point of the configuration as it is; None where it is outside of the space."""
        point = {}
        for name, kind in self.dimensions.items():
            now = _value_at(self.config, name)
            if isinstance(kind, Choices):
                same = (text for text, value in kind.values.items() if _is_same(self.config, name, value))
                point[name] = next(same, None)
            else:
                is_there = isinstance(now, int | float) and kind.low <= now <= kind.high and _is_on_step(kind, now)
                point[name] = now if is_there else None
        return None if None in point.values() else point


def _value_at(config: PipelineConfig, name: str) -> Any:
    """The value of a setting, as JSON has it; None where there is none."""
    value: Any = config.model_dump(mode="json")
    for part in name.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def _is_same(config: PipelineConfig, name: str, value: Any) -> bool:
    """Whether a setting has this value, however it is written."""
    try:
        return with_settings(config, {name: value}) == config
    except InputError:
        return False


def _is_on_step(kind: Range, value: float) -> bool:
    steps = 0.0 if kind.step is None else (value - kind.low) / kind.step
    return abs(steps - round(steps)) < 1e-9

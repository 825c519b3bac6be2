"""Presets: settings under a name, as TOML with comments and sources, in `mmctr/models/presets`, or a user's own file.

A preset is the layer of settings between the defaults and those of a data folder.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

import mmctr.models
from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from tasks.settings.base import Section
from tasks.settings.problems import described
from tasks.settings.sections import home_expanded
from tasks.settings.toml_file import parsed, read_text, resolve_model

FOLDER = Path(mmctr.models.__path__[0]) / "presets"
MISSION, ORGANISERS = "mission", "organisers"
NOT_OF_A_PRESET = ("base_path", "device", "experiment", "preset", "rules")  # they are of a run


class Measured(Section):
    """What was measured of a preset, by `make bench`."""

    rows_per_second: float = Field(gt=0, description="of training, at the challenge's shape")
    share_of_mission: float = Field(gt=0, description="of the speed of the preset mission, in the same run")
    on: str = Field(max_length=200, description="the machine")


class About(Section):
    """The table `about` of a preset's file."""

    summary: str = Field("", max_length=1000, description="a sentence")
    sources: tuple[str, ...] = Field((), max_length=100, description="papers, logs, files")
    measured: Measured | None = Field(None, description="what was measured of it")


@dataclass(frozen=True)
class Preset:
    """A preset: what it says of itself, its settings by section, and the text of its file."""

    name: str
    about: About
    settings: dict[str, Any]
    text: str


def preset_names() -> list[str]:
    """The names of the presets that come with the package: the default first."""
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return [MISSION, *(name for name in names if name != MISSION)]


def is_path(name: str) -> bool:
    """Whether a preset is named by the path of a file."""
    return "/" in name or name.endswith(".toml")


def from_folder(name: str, folder: Path) -> str:
    """The name of a preset in a file with settings: a path is meant from that file's folder."""
    return str(folder / home_expanded(Path(name))) if is_path(name) else name


def read_preset(name: str) -> Preset:
    """A preset by its name, or by the path of a TOML file.

    Raises:
        InputError: there is no such preset, or its file cannot be used.
    """
    if is_path(name):
        path = home_expanded(Path(name)).absolute()
    elif name in preset_names():
        path = FOLDER / f"{name}.toml"
    else:
        raise InputError(
            f"a preset is one of {', '.join(preset_names())}, or the path of a TOML file, such as ./mine.toml; found "
            f"{shown_value(name)}; `mmctr presets` says what each is"
        )
    text = read_text(path, option="--preset")
    settings = parsed(text, path=path)
    about = settings.pop("about", {})
    if wrong := [one for one in NOT_OF_A_PRESET if one in settings]:
        raise InputError(
            f"a preset has settings of stages, and none that are of a run; {path} is none: it sets {', '.join(wrong)}; "
            "set that in mmctr.toml or on the command line"
        )
    resolve_model(settings, folder=path.parent)
    return Preset(name, _about(about, path), settings, text)


def _about(about: object, path: Path) -> About:
    try:
        return About.model_validate(about)
    except ValidationError as error:
        raise InputError(f"the table [about] of {path} cannot be used:\n{described(error, root=About)}") from None

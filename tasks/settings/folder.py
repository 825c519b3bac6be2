"""The settings that come with a data folder, BASE_PATH/mmctr.toml: they name nothing outside it and let no code run."""

import stat
from pathlib import Path
from typing import Any

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import is_file
from mmctr.common.text import shown_value
from mmctr.encoders.names import parse_model
from tasks.settings.presets import is_path
from tasks.settings.sections import home_expanded
from tasks.settings.toml_file import read_toml

CONFIG_NAME = "mmctr.toml"
PATHS = ("items", "images", "train", "valid", "test")  # settings of `data` that say what is read
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def settings_of_folder(base_path: Path, *, given: dict[str, Any]) -> dict[str, Any]:
    """The settings in `base_path/mmctr.toml` over which `given` will go; none where there is no such file.

    Raises:
        InputError: what is there is no readable file of the folder's own, or what it sets is not for a data folder.
    """
    path = base_path / CONFIG_NAME
    if not _is_there(path):
        return {}
    if not is_file(path):
        raise InputError(f"{path} must be a file with settings; {_kind(path)}; remove it, or put a file in its place")
    if not _is_within(path, base_path):
        raise _beyond(base_path, f"it is a link to {path.resolve()}")
    values = read_toml(path)
    _check_paths(values.get("data"), base_path)
    preset = values.get("preset")
    if isinstance(preset, str) and is_path(preset) and "preset" not in given:
        raise _beyond(base_path, f"its preset is {shown_value(preset)}")
    embed, over = values.get("embed"), given.get("embed")
    if isinstance(embed, dict):
        chosen = over if isinstance(over, dict) else {}
        if embed.get("allow_torchscript", False) is not False and "allow_torchscript" not in chosen:
            raise _beyond(base_path, "it sets embed.allow_torchscript")
        if isinstance(embed.get("model"), str) and "model" not in chosen:
            embed["model"] = _model_of_folder(embed["model"], base_path)
    return values


def _check_paths(data: object, base_path: Path) -> None:
    """Refuse paths of a data folder's own settings that lead out of it by their words; a link in it is its owner's."""
    if not isinstance(data, dict):
        return
    for name in PATHS:
        value = data.get(name)
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, str) and (Path(path).is_absolute() or ".." in Path(path).parts):
                raise _beyond(base_path, f"its data.{name} is {shown_value(path)}")


def _model_of_folder(model: str, base_path: Path) -> str:
    """`embed.model` of a data folder's own settings: weights in that folder, or those that are published by a name."""
    try:
        name = parse_model(model)
    except InputError:
        return model  # the settings are checked as a whole
    path = home_expanded(Path(name.weights))
    beside = base_path / path
    if is_file(beside) and _is_within(beside, base_path):
        return str(name.with_weights(beside))
    if is_file(beside) or is_file(path) or path.is_absolute() or ".." in path.parts:
        raise _beyond(base_path, f"its embed.model is {shown_value(model)}")
    return model


def _is_there(path: Path) -> bool:
    """Whether there is anything at `path`, be it a link to nothing."""
    try:
        path.lstat()
    except (OSError, ValueError) as error:
        raise_if_of_the_machine(error, path=path)
        return False
    return True


def _kind(path: Path) -> str:
    """What is at `path` where it is no file."""
    try:
        return f"it is {KINDS.get(stat.S_IFMT(path.stat().st_mode), 'a device')}"
    except OSError:
        return f"it is a link to {path.readlink()}, where there is nothing"


def _is_within(path: Path, folder: Path) -> bool:
    """Whether `path` is in `folder`, wherever links lead."""
    return path.resolve().is_relative_to(folder.resolve())


def _beyond(base_path: Path, found: str) -> InputError:
    path = base_path / CONFIG_NAME
    return InputError(
        f"{path} comes with the data, so it must not name what is outside that folder nor let code run; {found}; to "
        f"allow it, set it yourself with --set or in a deployment's parameter config, or name the file: --config {path}"
    )

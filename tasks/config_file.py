"""Where the configuration comes from: defaults, then a TOML file, then overrides."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmctr.errors import InputError, first_line, raise_if_of_the_machine, shown_value
from mmctr.files import is_file
from tasks.config import PipelineConfig, home_expanded

CONFIG_NAME = "mmctr.toml"
SHOWN_PROBLEMS, SHOWN_NAME = 20, 60


def load_config(
    base_path: Path, *, config_file: Path | None = None, overrides: list[str] | None = None, device: str | None = None
) -> PipelineConfig:
    """The configuration of a run: defaults, then a TOML file, then overrides.

    Args:
        base_path: the data folder.
        config_file: a TOML file with the sections above; by default `base_path/mmctr.toml` where there is one.
        overrides: settings such as `train.epochs=3`, values as in TOML, or bare text.
        device: takes the place of `device` in the file.

    Raises:
        InputError: the file cannot be read, or a setting is unknown or out of range; all of them in one message.
    """
    for text in (str(base_path), *(overrides or [])):
        _check_text(text)
    base_path = home_expanded(base_path).absolute()
    if config_file is None and is_file(base_path / CONFIG_NAME):
        config_file = base_path / CONFIG_NAME
    values: dict[str, Any] = {} if config_file is None else _read_toml(config_file)
    if config_file is not None:
        _resolve_model(values, folder=config_file.absolute().parent)
    for override in overrides or []:
        _apply_override(values, override)
    if "base_path" in values:
        raise InputError("BASE_PATH is what a run is started with, not a setting; remove base_path from the settings")
    if device is not None:
        values["device"] = device
    try:
        return PipelineConfig.model_validate({**values, "base_path": base_path})
    except ValidationError as error:
        raise InputError(f"the configuration cannot be used:\n{_describe(error)}") from None


def _check_text(text: str) -> None:
    """Refuse arguments that are no UTF-8: they cannot be written down in a run's records."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"paths and settings must be valid UTF-8; found {shown_value(text)}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no configuration file at {path}; give the path of a TOML file with --config") from None
    except (ValueError, OSError, RecursionError) as error:  # whole numbers of thousands of digits are a ValueError
        raise_if_of_the_machine(error, path=path)
        raise InputError(f"{path} is not a readable TOML file: {first_line(error)}") from None


def _resolve_model(values: dict[str, Any], *, folder: Path) -> None:
    """A checkpoint's path in a file is meant from that file's folder."""
    embed = values.get("embed")
    if isinstance(embed, dict) and isinstance(embed.get("model"), str) and is_file(folder / embed["model"]):
        embed["model"] = str(folder / embed["model"])


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts) or len(parts) > 2:
        raise InputError(
            f"a setting is written section.field=value, such as train.epochs=3; found {shown_value(override)}"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    section = values
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise InputError(f"{part} is not a section of the configuration; found {shown_value(override)}")
    section[parts[-1]] = value


def _describe(error: ValidationError) -> str:
    lines = []
    problems = error.errors()
    for problem in problems[:SHOWN_PROBLEMS]:
        if not problem["loc"]:  # a rule about several settings
            lines.append(f"  {problem['msg'].removeprefix('Value error, ')}")
            continue
        name = ".".join(str(part) for part in problem["loc"])[:SHOWN_NAME]
        known = "" if problem["type"] != "extra_forbidden" else f"; known are {', '.join(_fields(problem['loc'][:-1]))}"
        lines.append(f"  {name} = {shown_value(problem['input'])}: {problem['msg']}{known}")
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _fields(location: tuple[int | str, ...]) -> list[str]:
    section: Any = PipelineConfig
    for part in location:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields)

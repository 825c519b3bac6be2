"""Where the configuration comes from: defaults, then a TOML file, then what a command or a deployment sets itself."""

import stat
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmctr.common.errors import InputError, check_text, raise_if_of_the_machine
from mmctr.common.files import is_file
from mmctr.common.text import first_line, shown, shown_value
from mmctr.encoders.names import parse_model
from tasks.settings.base import Section
from tasks.settings.sections import PipelineConfig, home_expanded

CONFIG_NAME = "mmctr.toml"
LARGEST_BYTES = 1_000_000  # of a file with settings
SHOWN_PROBLEMS, SHOWN_NAME = 20, 60
PATHS = ("items", "images", "train", "valid", "test")  # settings of `data` that say what is read
KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def load_config(
    base_path: Path, *, config_file: Path | None = None, overrides: list[str] | None = None, device: str | None = None
) -> PipelineConfig:
    """The configuration of a command: defaults, then a TOML file, then overrides.

    Args:
        base_path: the data folder.
        config_file: a TOML file with the sections above; by default `base_path/mmctr.toml` where there is one.
        overrides: settings such as `train.epochs=3`, values as in TOML, or bare text.
        device: replaces `device` of the file.

    Raises:
        InputError: the file cannot be read, or a setting is unknown or out of range; all of them in one message.
    """
    for text in (str(base_path), *(overrides or [])):
        check_text(text)
    base_path = home_expanded(base_path).absolute()
    given: dict[str, Any] = {}
    for override in overrides or []:
        _apply_override(given, override)
    if device is not None:
        given["device"] = device
    if config_file is None:
        values = _settings_of_folder(base_path, given=given)
    else:
        values = read_toml(config_file)
        _resolve_model(values, folder=config_file.absolute().parent)
    return _whole(values, given=given, base_path=base_path)


def completed(config: PipelineConfig) -> PipelineConfig:
    """The configuration of a flow run: what its parameters set stays, over the settings of the data folder.

    A configuration that sets everything, such as that of a command, comes back as it is.

    Raises:
        InputError: the folder's file cannot be used, or what comes of both.
    """
    given = config.model_dump(exclude_unset=True)
    if given == config.model_dump():
        return config
    given.pop("base_path", None)
    return _whole(_settings_of_folder(config.base_path, given=given), given=given, base_path=config.base_path)


def _whole(values: dict[str, Any], *, given: dict[str, Any], base_path: Path) -> PipelineConfig:
    """A configuration of `given` over `values` with every field set, so that nothing goes beneath it a second time."""
    for name, value in given.items():
        section = values.get(name)
        values[name] = {**section, **value} if isinstance(section, dict) and isinstance(value, dict) else value
    if "base_path" in values:
        raise InputError("BASE_PATH is what a run is started with, not a setting; remove base_path from the settings")
    try:
        config = PipelineConfig.model_validate({**values, "base_path": base_path})
        return PipelineConfig.model_validate(config.model_dump())
    except ValidationError as error:
        raise InputError(f"the configuration cannot be used:\n{_describe(error)}") from None


def _settings_of_folder(base_path: Path, *, given: dict[str, Any]) -> dict[str, Any]:
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


def with_settings(config: PipelineConfig, settings: Mapping[str, Any]) -> PipelineConfig:
    """`config` with other values of some settings, by their dotted names; an element of a list is named by its number.

    A table goes over the one that is there; one with another `kind` replaces it whole.

    Raises:
        InputError: there is no such setting, or a value is out of range; all of them in one message.
    """
    values: Any = config.model_dump(mode="json")
    for name in sorted(settings, key=lambda name: name.count(".")):  # a part before what is set within it
        section, (*before, last) = values, name.split(".")
        for part in before:
            key = _key(section, part, name)
            section = section.setdefault(key, {}) if isinstance(section, dict) else section[key]
        key, value = _key(section, last, name), settings[name]
        there = section.get(key) if isinstance(section, dict) else section[key]
        if isinstance(there, dict) and isinstance(value, dict) and value.get("kind") in (None, there.get("kind")):
            value = {**there, **value}
        section[key] = value
    try:
        return PipelineConfig.model_validate(values)
    except ValidationError as error:
        raise InputError(f"the configuration cannot be used:\n{_describe(error)}") from None


def _key(section: Any, part: str, name: str) -> Any:
    """What `part` of a setting's name is in a section, a part or a list.

    Raises:
        InputError: it is nothing there.
    """
    if isinstance(section, dict) and part:
        return part
    if isinstance(section, list) and part.isdecimal() and int(part) < len(section):
        return int(part)
    raise InputError(f"the configuration cannot be used:\n  {shown(name, limit=SHOWN_NAME)}: there is no such setting")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        InputError: there is none, it is too large, or it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
        if len(content) > LARGEST_BYTES:
            raise InputError(f"a file with settings must have at most {LARGEST_BYTES:,} bytes; {path} has more")
        return tomllib.loads(_text(content, path=path))
    except FileNotFoundError:
        raise InputError(f"no configuration file at {path}; name a TOML file with --config") from None
    except (ValueError, OSError, RecursionError) as error:  # whole numbers of thousands of digits are a ValueError
        raise_if_of_the_machine(error, path=path)
        raise InputError(f"{path} is not a readable TOML file: {first_line(error)}") from None


def _text(content: bytes, *, path: Path) -> str:
    """The text of a TOML file, which is UTF-8; editors of Windows put a mark before it, or write in another encoding.

    Raises:
        InputError: it has another encoding.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else f"the byte {content[error.start]:#x}"
        raise InputError(
            f"a TOML file must be in UTF-8, {path} is not a readable TOML file: it has {found} in line {line}; save it "
            "as UTF-8"
        ) from None


def _resolve_model(values: dict[str, Any], *, folder: Path) -> None:
    """A checkpoint's path in a file is meant from that file's folder."""
    embed = values.get("embed")
    if isinstance(embed, dict) and isinstance(embed.get("model"), str):
        with suppress(InputError):  # the settings are checked as a whole
            name = parse_model(embed["model"])
            if is_file(folder / name.weights):
                embed["model"] = str(name.with_weights(folder / name.weights))


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
        field = PipelineConfig.model_fields.get(part)
        section = section.setdefault(part, {})
        if not isinstance(section, dict) or (field is not None and not _is_section(field.annotation)):
            raise InputError(f"{part} is not a section of the configuration; found {shown_value(override)}")
    section[parts[-1]] = value


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Section)


def _describe(error: ValidationError) -> str:
    lines = []
    problems = error.errors()
    for problem in problems[:SHOWN_PROBLEMS]:
        if not problem["loc"]:  # a rule about several settings
            lines.append(f"  {problem['msg'].removeprefix('Value error, ')}")
            continue
        name = shown(".".join(str(part) for part in problem["loc"]), limit=SHOWN_NAME)
        rule = _instead(problem["loc"]) if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"  {name} = {shown_value(problem['input'])}: {rule}")
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _instead(location: tuple[int | str, ...]) -> str:
    """The setting that an unknown one may have meant, and all that its section knows."""
    *before, unknown = (str(part) for part in location)
    known = [name for name in _fields(location[:-1]) if name != "base_path"]
    of_sections = [f"{name}.{field}" for name in known for field in _fields((name,))] if not before else []
    near = [name for name in of_sections if name.endswith(f".{unknown}")] or get_close_matches(unknown, known, n=1)
    meant = f"did you mean {'.'.join([*before, near[0]])}? Known" if near else "known"
    return f"there is no such setting; {meant} are {', '.join(known)}"


def _fields(location: tuple[int | str, ...]) -> list[str]:
    section: Any = PipelineConfig
    for part in location:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields) if _is_section(section) else []

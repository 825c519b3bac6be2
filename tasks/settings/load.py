"""Where the configuration comes from, in layers, of which the upper goes over the lower (docs/decisions/0057).

defaults < preset < BASE_PATH/mmctr.toml or the file of --config < what a command or a deployment sets itself
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmctr.common.errors import InputError, check_text
from tasks.settings.folder import settings_of_folder
from tasks.settings.layers import Table, merged, single, table_of
from tasks.settings.presets import MISSION, ORGANISERS, from_folder, read_preset
from tasks.settings.problems import described
from tasks.settings.rules import FREE, broken_rules
from tasks.settings.sections import PipelineConfig, home_expanded
from tasks.settings.toml_file import read_toml, resolve_model


def load_config(
    base_path: Path,
    *,
    config_file: Path | None = None,
    overrides: list[str] | None = None,
    device: str | None = None,
    preset: str | None = None,
    rules: str | None = None,
) -> PipelineConfig:
    """The configuration of a command.

    Args:
        base_path: the data folder.
        config_file: a TOML file with settings; by default `base_path/mmctr.toml` where there is one.
        overrides: settings such as `train.epochs=3` or `model.head.dropout=0.2`, values as in TOML, or bare text.
        device: replaces the setting of this name.
        preset: the same.
        rules: the same.

    Raises:
        InputError: a file cannot be read, a setting is unknown or out of range, or the challenge's rules forbid what is
            set; all of them in one message.
    """
    options = {"device": device, "preset": preset, "rules": rules}
    chosen = {name: value for name, value in options.items() if value is not None}
    for text in (str(base_path), *(overrides or []), *chosen.values()):
        check_text(text)
    base_path = home_expanded(base_path).absolute()
    given = {**table_of(overrides or []), **chosen}
    if config_file is None:
        values = settings_of_folder(base_path, given=given)
    else:
        values, folder = read_toml(config_file), config_file.absolute().parent
        resolve_model(values, folder=folder)
        if isinstance(values.get("preset"), str):
            values["preset"] = from_folder(values["preset"], folder)
    return _whole(values, given=given, base_path=base_path)


def completed(config: PipelineConfig) -> PipelineConfig:
    """The configuration of a flow run: what its parameters set stays, over preset and settings of the data folder.

    A configuration that sets everything, such as that of a command, comes back as it is.

    Raises:
        InputError: the folder's file or the preset cannot be used, or what comes of all, or its rules forbid it.
    """
    given = config.model_dump(exclude_unset=True)
    if given == config.model_dump():
        return _ruled(config)
    given.pop("base_path", None)
    return _whole(settings_of_folder(config.base_path, given=given), given=given, base_path=config.base_path)


def with_settings(config: PipelineConfig, settings: Mapping[str, Any]) -> PipelineConfig:
    """`config` with other values of some settings, by their dotted names.

    Raises:
        InputError: there is no such setting, a value is out of range, or the configuration's rules forbid it.
    """
    whole = config.model_dump()
    for name in sorted(settings, key=lambda name: name.count(".")):  # a part before what is set within it
        whole = merged(whole, single(name, settings[name], found=name))
    return _ruled(_checked(whole))


def preset_config(name: str, *, base_path: Path) -> PipelineConfig:
    """A preset over the defaults, and nothing over it.

    Raises:
        InputError: there is no such preset, or it sets what cannot be set.
    """
    return _layered(base_path, name, [{"preset": name}])


def _whole(values: Table, *, given: Table, base_path: Path) -> PipelineConfig:
    """A configuration of all layers with every field set, so that nothing goes beneath it a second time."""
    if "base_path" in values or "base_path" in given:
        raise InputError("BASE_PATH is what a run is started with, not a setting; remove base_path from the settings")
    name = given.get("preset", values.get("preset", MISSION))
    return _ruled(_layered(base_path, name, [values, given]))


def _layered(base_path: Path, preset: Any, layers: list[Table]) -> PipelineConfig:
    whole = PipelineConfig(base_path=base_path).model_dump()
    of_preset = [read_preset(preset).settings] if isinstance(preset, str) else []  # else it is refused with all others
    for layer in [*of_preset, *layers]:
        whole = merged(whole, layer)
    return _checked(whole)


def _checked(whole: Table) -> PipelineConfig:
    """The configuration of settings that are all there."""
    try:
        config = PipelineConfig.model_validate(whole)
        return PipelineConfig.model_validate(config.model_dump())  # every field is set, of parts and features too
    except ValidationError as error:
        raise InputError(f"the configuration cannot be used:\n{described(error)}") from None


def _ruled(config: PipelineConfig) -> PipelineConfig:
    """`config`, where the rules that it names allow it."""
    if config.rules == FREE:
        return config
    organisers = preset_config(ORGANISERS, base_path=config.base_path)
    broken = broken_rules(
        config.rules, settings=config.model_dump(mode="json"), organisers=organisers.model_dump(mode="json")
    )
    if broken:
        lines = "".join(f"\n  {line}" for line in broken)
        raise InputError(
            f'rules = "{config.rules}" refuses what this task of the challenge forbids:{lines}\nset these as the '
            f'organisers have them (mmctr presets {ORGANISERS}), or rules = "{FREE}"'
        )
    return config

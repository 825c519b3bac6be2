"""Options that several commands have, and the configuration that they ask for. Nothing heavy is imported."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tasks.settings.sections import PipelineConfig

RULES = ("free", "task1", "task2", "task12")  # as tasks.settings.sections.Rules, which is heavier


def config_of(options: argparse.Namespace) -> "PipelineConfig":
    """The configuration that a command's options ask for, over that of the data folder."""
    from tasks.settings.load import load_config

    return load_config(
        options.base_path,
        config_file=options.config,
        overrides=options.set,
        device=getattr(options, "device", None),
        preset=options.preset,
        rules=getattr(options, "rules", None),
    )


def add_base_path(command: argparse.ArgumentParser) -> None:
    """BASE_PATH."""
    command.add_argument(
        "base_path",
        type=Path,
        metavar="BASE_PATH",
        help="data folder: by default the challenge's files, else as its mmctr.toml says",
    )


def add_settings(command: argparse.ArgumentParser) -> None:
    """The layers of settings."""
    command.add_argument(
        "--preset",
        metavar="NAME",
        help="settings beneath those of BASE_PATH/mmctr.toml: a name of `mmctr presets`, or a file such as ./mine.toml "
        "(default: mission, the challenge's baseline)",
    )
    command.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings (default: BASE_PATH/mmctr.toml where there is one)"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="one setting, such as train.epochs=3 or model.head.dropout=0.2; may be repeated",
    )


def add_rules(command: argparse.ArgumentParser) -> None:
    """The challenge's rules."""
    command.add_argument(
        "--rules",
        choices=RULES,
        help="refuse what the challenge's rules forbid in a task (default: free, nothing is refused)",
    )


def add_model(command: argparse.ArgumentParser, *, also: str | None = None) -> None:
    """Which model; `also` is another name of the option."""
    command.add_argument(
        *("--model", *([also] if also else [])),
        default="champion",
        help="number or alias of a version in MLflow's registry, the id of an MLflow run, or the path of a checkpoint "
        "(default %(default)s)",
    )


def add_device(command: argparse.ArgumentParser) -> None:
    """Where it is computed."""
    command.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto, which is CUDA when there is one)")

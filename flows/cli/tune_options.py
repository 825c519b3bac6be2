"""The options of `mmctr tune`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.options import add_base_path, add_device, add_rules, add_settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_tune(commands: "Commands") -> None:
    """`mmctr tune`."""
    command = commands.add_parser(
        "tune",
        help="search for better settings",
        description="Train with settings out of the space in FILE.toml again and again, and keep the best: its "
        "settings in BASE_PATH/.mmctr/tune/<study>/best.toml, its model as a version, which is no champion. Nothing is "
        "published. The same command goes on where one was stopped, or with more trials.",
    )
    add_base_path(command)
    command.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE.toml",
        help='what to choose from, a line a setting: "train.learning_rate" = {low = 1e-4, high = 1e-2, log = true} or '
        '"model.item.features" = {choices = [true, false]}',
    )
    command.add_argument("--study", default="", metavar="NAME", help="name (default: that of FILE and what it is for)")
    command.add_argument(
        "--trials", type=_count, default=50, metavar="N", help="trials in all, earlier calls included (default 50)"
    )
    command.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="begin no trial after that time; those that run end"
    )
    command.add_argument(
        "--jobs",
        type=_jobs,
        default="auto",
        metavar="N",
        help="trials at once, each with its share of the cores or its GPU (default auto: one a GPU, or one for four "
        "cores)",
    )
    command.add_argument(
        "--pruner",
        choices=["median", "hyperband", "none"],
        default="median",
        help="what ends a trial early, by the validation AUC of others (default %(default)s)",
    )
    command.add_argument("--seed", type=_natural, default=0, help="of the points that are tried (default %(default)s)")
    add_settings(command)
    add_rules(command)
    add_device(command)
    command.set_defaults(doing="searching for settings for {base_path} in {space}")


def _count(text: str) -> int:
    """A whole number from 1 on; argparse shows what it found instead."""
    number = _natural(text)
    if not 1 <= number <= 100_000:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 100000 is needed, found {text[:20]!r}")
    return number


def _natural(text: str) -> int:
    """A whole number from 0 on."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"a whole number is needed, found {text[:20]!r}")
    return int(text)


def _seconds(text: str) -> float:
    """A time in seconds, above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"seconds above 0 are needed, found {text[:20]!r}")
    return seconds


def _jobs(text: str) -> int | str:
    """How many trials at once."""
    return text if text == "auto" else _count(text)

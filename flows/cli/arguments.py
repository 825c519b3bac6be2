"""The commands of `mmctr` and their options. Nothing heavy is imported, so that `--help` answers at once."""

import argparse
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.model_arguments import add_item_info, add_predict, add_promote, add_run, add_score, add_similar
from flows.cli.options import add_base_path, add_rules, add_settings
from flows.cli.prepare_options import add_prepare
from flows.cli.tune_options import add_tune

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="mmctr", description="Click-through-rate models from item titles, item images and click logs."
    )
    top.add_argument("--version", action="version", version=f"mmctr {version('mmctr')}")
    commands = top.add_subparsers(title="commands", required=True, dest="command", metavar="COMMAND")
    of_data, of_models = (
        (_demo, add_prepare, _init, _check),
        (add_run, add_tune, add_predict, add_score, add_similar, add_item_info, add_promote),
    )
    for add in (*of_data, *of_models, _presets, _settings, _gc, _check_submission, _ui):
        add(commands)
    return top


def _demo(commands: "Commands") -> None:
    command = commands.add_parser(
        "demo",
        help="write a demo data set",
        description="Write a demo data set with a RAR archive and a tiny CLIP: where only the content tells what is "
        "clicked, or with the structure of the challenge's logs, on which a model that learns ids by heart fails.",
    )
    command.add_argument("out", type=Path, metavar="OUT", help="folder to write; must be empty or absent")
    command.add_argument(
        "--world", choices=("content", "challenge"), default="content", help="kind of world (default %(default)s)"
    )
    command.add_argument(
        "--items", type=int, help="items in the world, at least 150 (default: 3000; of the challenge world 1000)"
    )
    command.add_argument(
        "--users", type=int, help="users with four train rows each (default: 12000; of the challenge world 10000)"
    )
    command.add_argument("--seed", type=int, default=0, help="seed of the world (default %(default)s)")
    command.add_argument(
        "--if-missing", action="store_true", help="do nothing when OUT is a whole demo data set already"
    )
    command.set_defaults(doing="demo data set in {out}")


def _init(commands: "Commands") -> None:
    command = commands.add_parser(
        "init",
        help="draft mmctr.toml for a data folder",
        description="Look at the tables and images in FOLDER and write FOLDER/mmctr.toml: which file and column is "
        "taken for what, and why. What is not certain is marked; an existing file is never overwritten.",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="folder with parquet or CSV files and images")
    command.add_argument("--stdout", action="store_true", help="print the settings instead of writing them")
    command.set_defaults(doing="looking at what {folder} holds")


def _check(commands: "Commands") -> None:
    command = commands.add_parser(
        "check",
        help="validate and describe a data folder",
        description="Validate the input files and report what is in them: sizes, coverage, unknown and cold items, "
        "labels, history lengths, rows and users that splits share. Nothing is written.",
    )
    add_base_path(command)
    add_settings(command)
    add_rules(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON, for a program to read")
    command.set_defaults(doing="looking through the inputs in {base_path}")


def _presets(commands: "Commands") -> None:
    command = commands.add_parser(
        "presets",
        help="list the presets, or print one",
        description="The presets with what each costs; with NAME the settings of one, with their reasons and sources, "
        "as a file that can be copied, changed and named with --preset.",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="name of a preset")
    command.add_argument("--json", action="store_true", help="print the list as JSON, for a program to read")
    command.set_defaults(doing=None)


def _settings(commands: "Commands") -> None:
    command = commands.add_parser(
        "settings",
        help="list all settings",
        description="Every setting with its default, its range and a sentence. They are set with --set, in "
        "BASE_PATH/mmctr.toml, or in the file of --config.",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print them as JSON, for a program to read")
    form.add_argument("--markdown", action="store_true", help="print them as Markdown, as docs/settings.md has them")
    command.set_defaults(doing=None)


def _gc(commands: "Commands") -> None:
    command = commands.add_parser(
        "gc",
        help="remove cached results that no kept run refers to",
        description="Say what of BASE_PATH/.mmctr no kept run refers to, and with --delete remove it. Kept are the "
        "newest runs, runs whose model has an alias in the MLflow registry, runs that have not finished (until one of "
        "the same settings finishes), and what is younger than an hour. MLflow's runs stay as they are, as they hold "
        "copies. To run settings again whose results were removed computes them anew, and opens a new MLflow run.",
    )
    add_base_path(command)
    command.add_argument("--keep", type=int, default=3, metavar="N", help="newest runs to keep (default %(default)s)")
    command.add_argument("--delete", action="store_true", help="remove it; without this, nothing is removed")
    command.add_argument(
        "--drop-unfinished", action="store_true", help="do not keep the work of runs that have not finished"
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON, for a program to read")
    command.set_defaults(doing="looking what {base_path}/.mmctr holds")


def _check_submission(commands: "Commands") -> None:
    command = commands.add_parser(
        "check-submission",
        help="verify a submission zip",
        description="Verify header, IDs and their order, count, range and zip content.",
    )
    command.add_argument("zip", type=Path, metavar="ZIP", help="the submission")
    command.add_argument(
        "--base-path", type=Path, required=True, metavar="BASE_PATH", help="data folder with the test split"
    )
    command.set_defaults(doing="checking {zip}")


def _ui(commands: "Commands") -> None:
    command = commands.add_parser(
        "ui",
        help="serve the pages of MLflow and Prefect",
        description="Serve the pages of MLflow and Prefect on the loopback address until Ctrl-C.",
    )
    command.add_argument("--mlflow-port", type=_port, default=os.environ.get("MLFLOW_PORT") or "5000", metavar="N")
    command.add_argument("--prefect-port", type=_port, default=os.environ.get("PREFECT_PORT") or "4200", metavar="N")
    command.set_defaults(doing="starting MLflow's pages on port {mlflow_port} and Prefect's on port {prefect_port}")


def _port(text: str) -> int:
    """A port's number; argparse shows what it found instead."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, found {text[:20]!r}")
    return int(text)

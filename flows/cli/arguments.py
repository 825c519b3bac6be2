"""The commands of `mmctr` and their options. Nothing heavy is imported, so that `--help` answers at once."""

import argparse
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.prepare import add_prepare

if TYPE_CHECKING:
    from tasks.settings.sections import PipelineConfig

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="mmctr", description="Click-through-rate models from item titles, item images and click logs."
    )
    top.add_argument("--version", action="version", version=f"mmctr {version('mmctr')}")
    commands = top.add_subparsers(title="commands", required=True, dest="command", metavar="COMMAND")
    of_data, of_models = (_demo, add_prepare, _init, _check), (_run, _tune, _predict, _score, _similar, _promote)
    for add in (*of_data, *of_models, _settings, _gc, _check_submission, _ui):
        add(commands)
    return top


def _demo(commands: "Commands") -> None:
    command = commands.add_parser(
        "demo", help="write a demo data set", description="Write a demo data set with a RAR archive and a tiny CLIP."
    )
    command.add_argument("out", type=Path, metavar="OUT", help="folder to write; must be empty or absent")
    command.add_argument(
        "--items", type=int, default=3000, help="items in the world (default %(default)s, at least 150)"
    )
    command.add_argument(
        "--users", type=int, default=12000, help="users with four train rows each (default %(default)s)"
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
    _add_base_path(command)
    _add_settings(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON, for a program to read")
    command.set_defaults(doing="looking through the inputs in {base_path}")


def _run(commands: "Commands") -> None:
    command = commands.add_parser(
        "run", help="run the pipeline", description="Run the pipeline; what has not changed is taken from the cache."
    )
    _add_base_path(command)
    _add_settings(command)
    _add_device(command)
    command.set_defaults(doing="running the pipeline on {base_path}")


def _tune(commands: "Commands") -> None:
    command = commands.add_parser(
        "tune",
        help="search for better settings",
        description="Train with settings out of the space in FILE.toml again and again, and keep the best: its "
        "settings in BASE_PATH/.mmctr/tune/<study>/best.toml, its model as a version, which is no champion. Nothing is "
        "published. The same command goes on where one was stopped, or with more trials.",
    )
    _add_base_path(command)
    command.add_argument(
        "--space",
        type=Path,
        required=True,
        metavar="FILE.toml",
        help='what to choose from, a line a setting: "train.learning_rate" = {low = 1e-4, high = 1e-2, log = true} or '
        '"model.item.features" = {choices = [true, false]}',
    )
    _add_settings(command)
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
    _add_device(command)
    command.set_defaults(doing="searching for settings for {base_path} in {space}")


def _predict(commands: "Commands") -> None:
    command = commands.add_parser(
        "predict",
        help="make a submission with a model that is there already",
        description="Predict the test split with a trained model and write prediction.csv and prediction.zip, and that "
        "model and its item embeddings; nothing is trained, and of the data only the test split is needed.",
    )
    _add_base_path(command)
    _add_settings(command)
    _add_model(command)
    _add_device(command)
    command.set_defaults(doing="predicting the test split of {base_path} with {model}")


def _score(commands: "Commands") -> None:
    command = commands.add_parser(
        "score",
        help="probabilities for any click file by a model that is there already",
        description="Predict each row of FILE with a trained model and write the probabilities, with the rows' id, to "
        "OUT. Where FILE has labels, AUC and logloss are said too. Nothing that a run wrote is changed.",
    )
    _add_base_path(command)
    command.add_argument("file", metavar="FILE", help="click log: a file, a folder of part files, or a glob in quotes")
    _add_settings(command)
    _add_model(command)
    command.add_argument(
        "--out",
        type=Path,
        metavar="OUT",
        help="file to write, .parquet or .csv (default: BASE_PATH/scores/<name of FILE>.parquet)",
    )
    command.add_argument("--force", action="store_true", help="write over OUT where it is there already")
    _add_device(command)
    command.set_defaults(doing="scoring {file} with {model}")


def _similar(commands: "Commands") -> None:
    command = commands.add_parser(
        "similar",
        help="the items that are nearest to one",
        description="The items whose embeddings, as the last run published them, are nearest to that of ITEM_ID by "
        "cosine, with their titles.",
    )
    _add_base_path(command)
    command.add_argument("item_id", metavar="ITEM_ID", help="id of an item")
    command.add_argument("-k", type=int, default=10, metavar="K", help="items to list (default %(default)s)")
    _add_settings(command)
    command.add_argument("--json", action="store_true", help="print them as JSON, for a program to read")
    command.set_defaults(doing="looking for items like {item_id}")


def _promote(commands: "Commands") -> None:
    command = commands.add_parser(
        "promote",
        help="say which model is the champion, or choose another",
        description="Choose the champion by hand, go back to the one before, or keep it whatever comes; the files "
        "under BASE_PATH become those of the champion. Without VERSION and options, say which versions there are.",
    )
    _add_base_path(command)
    command.add_argument(
        "version", nargs="?", metavar="VERSION", help="number of the version that is to be the champion, or an alias"
    )
    command.add_argument("--rollback", action="store_true", help="go back to the champion before; again goes further")
    command.add_argument("--pin", action="store_true", help="keep the champion, however good later models are")
    command.add_argument("--unpin", action="store_true", help="let better models become the champion again")
    _add_settings(command)
    _add_device(command)
    command.set_defaults(doing="the champion of {base_path}")


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
    _add_base_path(command)
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


def config_of(options: argparse.Namespace) -> "PipelineConfig":
    """The configuration that a command's options ask for, over that of the data folder."""
    from tasks.settings.load import load_config

    device = getattr(options, "device", None)
    return load_config(options.base_path, config_file=options.config, overrides=options.set, device=device)


def _port(text: str) -> int:
    """A port's number; argparse shows what it found instead."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, found {text[:20]!r}")
    return int(text)


def _count(text: str) -> int:
    """A whole number from 1 on; argparse shows what it found instead."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 100_000 and len(text) <= 6):
        raise argparse.ArgumentTypeError(f"a whole number from 1 to 100000 is needed, found {text[:20]!r}")
    return int(text)


def _natural(text: str) -> int:
    """A whole number from 0 on."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 999999999 is needed, found {text[:20]!r}")
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


def _add_base_path(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "base_path",
        type=Path,
        metavar="BASE_PATH",
        help="data folder: by default the challenge's files, else as its mmctr.toml says",
    )


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings (default: BASE_PATH/mmctr.toml where there is one)"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="one setting, such as train.epochs=3; may be repeated",
    )


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        default="champion",
        help="number or alias of a version in MLflow's registry, the id of an MLflow run, or the path of a checkpoint "
        "(default %(default)s)",
    )


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", help="auto, cpu, cuda or cuda:N (default: auto, which is CUDA when there is one)")

"""The options of the commands that make or use a model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.options import add_base_path, add_device, add_model, add_rules, add_settings

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_run(commands: "Commands") -> None:
    """`mmctr run`."""
    command = commands.add_parser(
        "run", help="run the pipeline", description="Run the pipeline; what has not changed is taken from the cache."
    )
    add_base_path(command)
    add_settings(command)
    add_rules(command)
    add_device(command)
    command.set_defaults(doing="running the pipeline on {base_path}")


def add_predict(commands: "Commands") -> None:
    """`mmctr predict`."""
    command = commands.add_parser(
        "predict",
        help="make a submission with a model that is there already",
        description="Predict the test split with a trained model and write prediction.csv and prediction.zip, and that "
        "model and its item embeddings; nothing is trained, and of the data only the test split is needed. Of the "
        "challenge's columns it fills Task1&2; Task1 and Task2 are 0, or of the models that are named for them.",
    )
    add_base_path(command)
    add_settings(command)
    add_model(command, also="--task12")
    command.add_argument("--task1", metavar="MODEL", help="model that fills column Task1, named as in --model")
    command.add_argument("--task2", metavar="MODEL", help="model that fills column Task2, named as in --model")
    add_device(command)
    command.set_defaults(doing="predicting the test split of {base_path} with {model}")


def add_score(commands: "Commands") -> None:
    """`mmctr score`."""
    command = commands.add_parser(
        "score",
        help="probabilities for any click file by a model that is there already",
        description="Predict each row of FILE with a trained model and write the probabilities, with the rows' id, to "
        "OUT. Where FILE has labels, AUC and logloss are said too. Nothing that a run wrote is changed.",
    )
    add_base_path(command)
    command.add_argument("file", metavar="FILE", help="click log: a file, a folder of part files, or a glob in quotes")
    add_settings(command)
    add_model(command)
    command.add_argument(
        "--out",
        type=Path,
        metavar="OUT",
        help="file to write, .parquet or .csv (default: BASE_PATH/scores/<name of FILE>.parquet)",
    )
    command.add_argument("--force", action="store_true", help="write over OUT where it is there already")
    add_device(command)
    command.set_defaults(doing="scoring {file} with {model}")


def add_similar(commands: "Commands") -> None:
    """`mmctr similar`."""
    command = commands.add_parser(
        "similar",
        help="the items that are nearest to one",
        description="The items whose embeddings, as the last run published them, are nearest to that of ITEM_ID by "
        "cosine, with their titles.",
    )
    add_base_path(command)
    command.add_argument("item_id", metavar="ITEM_ID", help="id of an item")
    command.add_argument("-k", type=int, default=10, metavar="K", help="items to list (default %(default)s)")
    add_settings(command)
    command.add_argument("--json", action="store_true", help="print them as JSON, for a program to read")
    command.set_defaults(doing="looking for items like {item_id}")


def add_item_info(commands: "Commands") -> None:
    """`mmctr item-info`."""
    command = commands.add_parser(
        "item-info",
        help="write the organisers' item_info.parquet",
        description="Write the item table that the organisers' model of task 1 reads: item_id from 0, which is "
        "padding, item_tags of the item table, and the item embeddings that the last run published.",
    )
    add_base_path(command)
    command.add_argument(
        "--out",
        type=Path,
        metavar="OUT",
        help="file to write (default: BASE_PATH/MicroLens_1M_x1/item_info.parquet, where their code looks for it)",
    )
    command.add_argument("--force", action="store_true", help="write over OUT although another program wrote it")
    add_settings(command)
    command.set_defaults(doing="making the organisers' item table of {base_path}")


def add_promote(commands: "Commands") -> None:
    """`mmctr promote`."""
    command = commands.add_parser(
        "promote",
        help="say which model is the champion, or choose another",
        description="Choose the champion by hand, go back to the one before, or keep it whatever comes; the files "
        "under BASE_PATH become those of the champion. Without VERSION and options, say which versions there are.",
    )
    add_base_path(command)
    command.add_argument(
        "version", nargs="?", metavar="VERSION", help="number of the version that is to be the champion, or an alias"
    )
    command.add_argument("--rollback", action="store_true", help="go back to the champion before; again goes further")
    command.add_argument("--pin", action="store_true", help="keep the champion, however good later models are")
    command.add_argument("--unpin", action="store_true", help="let better models become the champion again")
    add_settings(command)
    add_device(command)
    command.set_defaults(doing="the champion of {base_path}")

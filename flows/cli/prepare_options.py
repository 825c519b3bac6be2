"""The options of `mmctr prepare`. Nothing heavy is imported."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]
    Group = argparse._ArgumentGroup

DESCRIPTION = """\
Make a data folder of raw logs: train, valid and test with a history in each row, the labels of test apart, mmctr.toml,
and prepare.json, which says what was done. The same logs with the same options make the same bytes.

A log has a row for each event: who, which item, when, and perhaps a label. Without labels each event is a positive, and
negatives are drawn. A history holds what the user did strictly before the row's time."""
EXAMPLES = """\
examples:
  mmctr prepare clicks/ --out data/shop --user visitor --item sku --time ts --negatives 3
  mmctr prepare ratings.csv --out data/films --time rated_at --label stars --positive-from 4 --split users
  mmctr prepare 'logs/2024-*.parquet' --out data/news --label clicked --context device=category --context hour=number \\
      --valid-from 2024-05-25 --test-from 2024-05-28 --items articles.parquet --title headline"""


def add_prepare(commands: "Commands") -> None:
    """The command and its options."""
    command = commands.add_parser(
        "prepare",
        help="make a data folder of raw logs",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "logs",
        nargs="+",
        type=Path,
        metavar="LOGS",
        help="parquet or CSV files of events, folders of part files, or patterns of them; all of one kind",
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="BASE_PATH", help="folder to write; must be empty or absent"
    )
    _add_columns(command.add_argument_group("columns of the log"))
    _add_items(command.add_argument_group("items"))
    _add_splits(command.add_argument_group("splits"))
    _add_rows(command.add_argument_group("rows"))
    command.set_defaults(doing="data folder {out} of raw logs")


def _add_columns(group: "Group") -> None:
    group.add_argument("--user", default="user_id", metavar="COLUMN", help="the user (default %(default)s)")
    group.add_argument("--item", default="item_id", metavar="COLUMN", help="the item (default %(default)s)")
    group.add_argument("--time", default="timestamp", metavar="COLUMN", help="the time (default %(default)s)")
    group.add_argument(
        "--label",
        default="",
        metavar="COLUMN",
        help="1 for a positive, 0 for none; without it each event is a positive",
    )
    group.add_argument(
        "--positive-from", type=float, metavar="X", help="the label is a rating, and X or more is a positive"
    )
    group.add_argument(
        "--context",
        type=_column,
        action="append",
        default=[],
        metavar="COLUMN[=KIND]",
        help="keep this column; with a kind (category, tags, number) the model reads it; may be repeated",
    )
    group.add_argument(
        "--time-unit",
        choices=("s", "ms", "us", "ns"),
        default="s",
        help="of times that are numbers, from 1970 on (default %(default)s)",
    )
    group.add_argument(
        "--time-format",
        default="",
        metavar="F",
        help="of times that are text, such as '%%d.%%m.%%Y %%H:%%M'; default ISO 8601",
    )
    group.add_argument(
        "--separator",
        default="",
        metavar="C",
        help="between columns of CSV (default: a tab where line 1 has one, else a comma)",
    )
    group.add_argument(
        "--null",
        action="append",
        default=[],
        metavar="TEXT",
        help="a text of CSV that means that there is nothing, such as NA; may be repeated",
    )
    group.add_argument(
        "--tag-separator", default=" ", metavar="TEXT", help="between the tags of a CSV column (default: a space)"
    )


def _add_items(group: "Group") -> None:
    group.add_argument("--items", type=Path, metavar="FILE", help="item table, parquet or CSV; it is kept as it is")
    group.add_argument(
        "--items-id", default="item_id", metavar="COLUMN", help="its column of the id (default %(default)s)"
    )
    group.add_argument("--title", default="", metavar="COLUMN", help="its column of the title")
    group.add_argument(
        "--item-feature",
        type=_column,
        action="append",
        default=[],
        metavar="COLUMN=KIND",
        help="a column of it that the model reads: category, tags or number; may be repeated",
    )


def _add_splits(group: "Group") -> None:
    group.add_argument(
        "--split",
        choices=("time", "users"),
        default="time",
        help="time: valid is later than train and test later than valid; users: each user is in one of them (default "
        "%(default)s)",
    )
    group.add_argument(
        "--valid", type=float, default=0.1, metavar="SHARE", help="of events or users (default %(default)s)"
    )
    group.add_argument(
        "--test", type=float, default=0.1, metavar="SHARE", help="of events or users (default %(default)s)"
    )
    group.add_argument("--valid-from", default="", metavar="TIME", help="first time of valid, instead of the shares")
    group.add_argument("--test-from", default="", metavar="TIME", help="first time of test, instead of the shares")
    group.add_argument("--seed", type=int, default=0, help="of users' splits and negatives (default %(default)s)")


def _add_rows(group: "Group") -> None:
    group.add_argument("--max-len", type=int, default=64, metavar="N", help="longest history (default %(default)s)")
    group.add_argument(
        "--history",
        choices=("positives", "all"),
        default="positives",
        help="which events are in histories (default %(default)s)",
    )
    group.add_argument(
        "--min-history",
        type=int,
        default=0,
        metavar="N",
        help="leave out rows with a shorter history (default %(default)s)",
    )
    group.add_argument(
        "--last",
        type=int,
        default=0,
        metavar="N",
        help="make rows of each user's N last events of a split (default: all)",
    )
    group.add_argument(
        "--negatives",
        type=int,
        default=0,
        metavar="K",
        help="for a log without labels: items that the user has no event with, K for each event",
    )
    group.add_argument(
        "--negatives-from",
        choices=("uniform", "popularity", "live"),
        default="uniform",
        help="uniform: each item alike; popularity: by its number of events; live: of those whose first and last event "
        "the row's time is between (default %(default)s)",
    )


def _column(text: str) -> tuple[str, str]:
    """A column and its kind, or nothing."""
    name, equals, kind = text.rpartition("=")
    if not equals:
        return text, ""
    if not name or kind not in ("category", "tags", "number"):
        raise argparse.ArgumentTypeError(
            f"a column is written NAME or NAME=KIND with a kind of category, tags or number; found {text[:60]!r}"
        )
    return name, kind

"""`mmctr prepare`: from raw logs to a data folder. Nothing heavy is imported before the command runs."""

import argparse
from typing import TYPE_CHECKING

from flows.process.terminal import OK, show

if TYPE_CHECKING:
    from mmctr.inputs.from_logs.options import Column, ItemFormat, LogFormat, Rules


def run_prepare(options: argparse.Namespace) -> int:
    """`mmctr prepare`."""
    from mmctr.common.errors import check_text
    from mmctr.inputs.from_logs.options import Request
    from mmctr.inputs.from_logs.prepare import prepare_logs
    from mmctr.inputs.from_logs.record import summary

    for text in (*options.logs, *(name for name, _ in (*options.context, *options.item_feature))):
        check_text(str(text))
    request = Request(log=_log(options), items=_items(options), rules=_rules(options))
    prepared = prepare_logs(options.logs, options.out, request)
    show(summary(prepared, rules=request.rules, out=options.out))
    return OK


def _columns(declared: list[tuple[str, str]]) -> "tuple[Column, ...]":
    from mmctr.inputs.from_logs.options import Column

    return tuple(Column(name, kind) for name, kind in declared)


def _log(options: argparse.Namespace) -> "LogFormat":
    from mmctr.inputs.from_logs.options import LogFormat

    return LogFormat(
        user=options.user,
        item=options.item,
        time=options.time,
        label=options.label,
        positive_from=options.positive_from,
        context=_columns(options.context),
        time_unit=options.time_unit,
        time_format=options.time_format,
        separator=options.separator,
        nulls=tuple(options.null),
        tag_separator=options.tag_separator,
    )


def _items(options: argparse.Namespace) -> "ItemFormat | None":
    from mmctr.common.errors import InputError
    from mmctr.inputs.from_logs.options import ItemFormat

    if options.items is None:
        if options.title or options.item_feature:
            raise InputError("--title and --item-feature name columns of an item table; name its file with --items")
        return None
    return ItemFormat(
        file=options.items,
        item_id=options.items_id,
        title=options.title,
        features=_columns(options.item_feature),
    )


def _rules(options: argparse.Namespace) -> "Rules":
    from mmctr.inputs.from_logs.options import Rules

    return Rules(
        split=options.split,
        valid=options.valid,
        test=options.test,
        valid_from=options.valid_from,
        test_from=options.test_from,
        max_len=options.max_len,
        min_history=options.min_history,
        history=options.history,
        last=options.last,
        negatives=options.negatives,
        negatives_from=options.negatives_from,
        seed=options.seed,
    )

"""The report of `mmctr check`, for a person at a terminal and for a program."""

import json
from collections.abc import Callable
from dataclasses import asdict

from mmctr.inputs.layout import LEVEL_COLUMNS
from mmctr.report.dataset import DatasetReport
from mmctr.report.splits import SplitReport

LABEL, CELL = 28, 14  # widths of the columns
EARLIER = ("train", "valid")  # the splits that another may share rows with
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def as_json(report: DatasetReport) -> str:
    """All figures; paths are text, and what a split cannot have is null."""
    return json.dumps(asdict(report), indent=2, default=str)


def as_text(report: DatasetReport) -> str:
    """All figures as aligned lines."""
    return "\n".join([*_files(report), "", *_coverage(report), "", *_splits(report)])


def _line(label: str, *cells: str) -> str:
    return f"  {label:<{LABEL}}{''.join(f'{cell:>{CELL}}' for cell in cells)}".rstrip()


def _files(report: DatasetReport) -> list[str]:
    lines = ["files" + " " * (LABEL - 3) + f"{'rows':>{CELL}}{'size':>{CELL}}"]
    return lines + [
        _line(file.path.name, f"{file.rows:,}" if role != "archive" else f"{file.rows:,} files", shown_size(file.bytes))
        for role, file in report.files.items()
    ]


def _coverage(report: DatasetReport) -> list[str]:
    found = report.coverage
    lines = [f"items: {found.items:,} in {report.files['items'].path.name}"]
    for label, count in (
        ("with an image", found.with_image),
        ("with a title", found.with_title),
        ("with both", found.with_both),
        ("with neither", found.with_neither),
    ):
        lines.append(_line(label, f"{count:,}", _share(count / found.items)))
    lines.append(_line("images of unknown items", f"{found.images_of_unknown_items:,}"))
    return [*lines, _line("other files in the archive", f"{found.members_that_are_no_image:,}")]


def _splits(report: DatasetReport) -> list[str]:
    splits = report.splits

    def row(label: str, cell: Callable[[SplitReport], str | None]) -> str:
        return _line(label, *(cell(split) or "-" for split in splits.values()))

    return [
        "splits" + " " * (LABEL - 4) + "".join(f"{name:>{CELL}}" for name in splits),
        row("rows", lambda s: f"{s.rows:,}"),
        row("users", lambda s: _count(s.users)),
        row("label is 1", lambda s: None if s.label_rate is None else _share(s.label_rate)),
        row("history length, mean", lambda s: f"{s.history_length.mean:.1f}"),
        row("  smallest and largest", lambda s: f"{s.history_length.min} .. {s.history_length.max}"),
        row("  quartiles", lambda s: f"{s.history_length.q25:g} {s.history_length.median:g} {s.history_length.q75:g}"),
        row("  empty histories", lambda s: _count(s.history_length.empty)),
        row("unknown items in histories", lambda s: _share(s.unknown_history_share)),
        row("unknown target items", lambda s: _share(s.unknown_target_share)),
        row("cold targets (not in train)", lambda s: _count(s.cold_target_items)),
        row("  rows with such a target", lambda s: _count(s.cold_target_rows)),
        *(row(f"users also in {name}", _entry("users_also_in", name)) for name in EARLIER),
        *(row(f"rows also in {name} *", _entry("rows_also_in", name)) for name in EARLIER),
        row("repeated rows", lambda s: _count(s.duplicate_rows)),
        *(row(f"{name} outside 1..10", _entry("unusual_levels", name)) for name in LEVEL_COLUMNS),
        "  * the same history and target item",
    ]


def _entry(table: str, name: str) -> Callable[[SplitReport], str | None]:
    """The cell of one entry of a split's `table`."""
    return lambda split: _count(getattr(split, table).get(name))


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _share(share: float) -> str:
    """Per cent; what is not nothing never reads as 0, and what is not all never as 100."""
    text = f"{share:.1%}"
    if text == "0.0%" and share > 0:
        return "< 0.1%"
    return "> 99.9%" if text == "100.0%" and share < 1 else text


def shown_size(number: int) -> str:
    """Bytes in the unit that leaves at most three digits before the point."""
    amount, unit = float(number), 0
    while amount >= 1000 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{number} bytes" if unit == 0 else f"{amount:.1f} {UNITS[unit]}"

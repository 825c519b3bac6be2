"""The report of `mmctr check`, for a person at a terminal and for a program."""

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_names
from mmctr.inputs.files import find_inputs
from mmctr.inputs.layout import MICROLENS_1M, Layout
from mmctr.report.dataset import DatasetReport, FileReport
from mmctr.report.features import FeatureReport
from mmctr.report.splits import SplitReport

LABEL, CELL = 28, 14  # widths of the columns
EARLIER = ("train", "valid")  # the splits that another may share rows with
UNITS = ("bytes", "kB", "MB", "GB", "TB")


def as_json(report: DatasetReport) -> str:
    """All figures; paths are text, and what a split cannot have is null."""
    return json.dumps(asdict(report), indent=2, default=str)


def as_text(report: DatasetReport) -> str:
    """All figures as aligned lines."""
    parts = [_files(report), _coverage(report), _item_features(report), _splits(report), _features(report)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def next_command(report: DatasetReport, base_path: Path) -> str:
    """What a person does with inputs that are good."""
    run = f"mmctr run {shlex.quote(str(base_path))}"
    ending = "" if "test" in report.splits else " (there is no test split: nothing is predicted)"
    return f"the inputs can be used; next: {run}{ending}"


def with_remedy(error: InputError, base_path: Path, layout: Layout) -> InputError:
    """The error, and what comes next where a folder has no settings and none of the challenge's files."""
    if layout != MICROLENS_1M or not base_path.is_dir() or any(find_inputs(base_path, layout)[0].values()):
        return error
    return InputError(
        f"{error}\nnone of the challenge's files is there; if the data has other names, next: "
        f"mmctr init {shlex.quote(str(base_path))}"
    )


def _line(label: str, *cells: str) -> str:
    return f"  {shown(label, limit=LABEL - 1):<{LABEL}}{''.join(f'{cell:>{CELL}}' for cell in cells)}".rstrip()


def _files(report: DatasetReport) -> list[str]:
    lines = ["files" + " " * (LABEL - 3) + f"{'rows':>{CELL}}{'size':>{CELL}}"]
    lines += [_file(role, file) for role, file in report.files.items()]
    if report.not_read:
        lines.append(f"  tables that are not read: {shown_names(report.not_read)}")
    return lines


def _file(role: str, file: FileReport) -> str:
    name = file.path.name if file.files == 1 else f"{file.path.name} ({file.files:,})"
    rows = f"{file.rows:,} files" if role == "images" else f"{file.rows:,}"
    return _line(name, rows, shown_size(file.bytes))


def _coverage(report: DatasetReport) -> list[str]:
    found = report.coverage
    lines = [f"items: {found.items:,} in {shown(report.files['items'].path.name)}"]
    for label, count in (
        ("with an image", found.with_image),
        ("with a title", found.with_title),
        ("with both", found.with_both),
        ("with neither", found.with_neither),
        *((f"with {name}", count) for name, count in found.with_vector.items()),
    ):
        if count is not None:
            lines.append(_line(label, f"{count:,}", _share(count / found.items)))
    for label, count in (
        ("images of unknown items", found.images_of_unknown_items),
        ("other files of the images", found.members_that_are_no_image),
        ("images named by no one item", found.ambiguous_images or None),
    ):
        if count is not None:
            lines.append(_line(label, f"{count:,}"))
    return lines


def _item_features(report: DatasetReport) -> list[str]:
    if not report.item_features:
        return []
    lines = ["features of items" + " " * (LABEL - 15) + f"{'values':>{CELL}}{'missing':>{CELL}}{'range':>{CELL}}"]
    return lines + [
        _line(name, _count(one.distinct) or "-", _share(one.missing_share), _range(one) or "-")
        for name, one in report.item_features.items()
    ]


def _splits(report: DatasetReport) -> list[str]:
    splits = report.splits
    earlier = [name for name in EARLIER if any(name in split.rows_also_in for split in splits.values())]

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
        *(row(f"users also in {name}", _entry("users_also_in", name)) for name in earlier),
        *(row(f"rows also in {name} *", _entry("rows_also_in", name)) for name in earlier),
        row("repeated rows", lambda s: _count(s.duplicate_rows)),
        "  * the same history and target item",
        *(["  valid is a part of train: the users that are held out"] if report.held_out else []),
    ]


def _features(report: DatasetReport) -> list[str]:
    """What is in the features of rows, four lines each."""
    splits = report.splits
    lines = []
    for name, of_train in splits["train"].features.items():

        def row(label: str, cell: Callable[[FeatureReport], str | None], name: str = name) -> str:
            return _line(label, *(cell(split.features[name]) or "-" for split in splits.values()))

        lines += [_line(f"{name} ({of_train.kind})")[2:]]
        lines += [row("range", _range)] if of_train.smallest is not None else []
        lines += [row("different values", lambda one: _count(one.distinct))] if of_train.distinct is not None else []
        lines += [row("missing", lambda one: _share(one.missing_share))]
        if of_train.kind != "number":
            lines += [row("not in train", lambda one: None if one.unknown_share is None else _share(one.unknown_share))]
    header = "features of rows" + " " * (LABEL - 14) + "".join(f"{name:>{CELL}}" for name in splits)
    return [header, *lines] if lines else []


def _range(feature: FeatureReport) -> str | None:
    if feature.smallest is None or feature.largest is None:
        return None
    return f"{feature.smallest:.4g} .. {feature.largest:.4g}"


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

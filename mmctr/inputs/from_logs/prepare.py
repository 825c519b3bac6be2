"""From raw logs to the click logs that a model learns from: train, valid, test, and the labels of test apart."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mmctr.common.errors import InputError
from mmctr.common.files import replacing_folder
from mmctr.common.progress import progress_bar
from mmctr.inputs.from_logs.events import Reading, read_events
from mmctr.inputs.from_logs.item_table import ItemTable, check_overlap, read_item_table, write_item_table
from mmctr.inputs.from_logs.log_files import find_logs
from mmctr.inputs.from_logs.options import Request, check_request
from mmctr.inputs.from_logs.partitions import PARTS, Spread, sort_parts, times_of
from mmctr.inputs.from_logs.record import Prepared, write_record, write_settings
from mmctr.inputs.from_logs.splits import split_of
from mmctr.inputs.from_logs.splitting import tally_splits, write_splits
from mmctr.inputs.model_name import model_name
from mmctr.inputs.vocabulary import Vocabulary


def prepare_logs(logs: Sequence[Path], out: Path, request: Request, *, progress: bool | None = None) -> Prepared:
    """Write the data set of a log to the folder `out`, whole or not at all.

    Args:
        logs: files, folders of part files, or patterns; all parquet or all CSV.
        out: a new or an empty folder.
        request: columns, and rules of splits, histories and negatives.
        progress: show bars; None shows them on a terminal only.

    Raises:
        InputError: something of it cannot be used; one message with the rule, the value and the remedy.
    """
    check_request(request)
    _check_out(out)
    files = find_logs(logs)
    table = None if request.items is None else read_item_table(request.items, request.log)
    with replacing_folder(out.resolve()) as folder:
        with TemporaryDirectory(dir=folder) as work:
            items, prepared = _prepare(files, folder, work=Path(work), request=request, table=table, progress=progress)
        write_item_table(folder, items=request.items, table=table, seen=items)
        rows = prepared.splits["train"].rows
        write_settings(folder, request=request, train_rows=rows, model=model_name(out))
        inputs = [*files, *([request.items.file] if request.items else [])]
        write_record(folder, request=request, inputs=inputs, prepared=prepared)
    return prepared


def _check_out(out: Path) -> None:
    nearest = next(folder for folder in out.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"--out must be below folders; {nearest} is a file; name another place")
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise InputError(f"--out must be a new or an empty folder; {out} is neither; name another, or empty it")


def _prepare(
    files: Sequence[Path], folder: Path, *, work: Path, request: Request, table: ItemTable | None, progress: bool | None
) -> tuple[Vocabulary, Prepared]:
    """The items of the log, and what came of it; `work` holds the events by user meanwhile."""
    seen, spread = Reading(), Spread(work)
    with progress_bar("events", unit="row", show=progress) as bar:
        for events in read_events(files, request.log, seen, item_kind=None if table is None else table.ids.dtype):
            spread.add(events)
            bar.update(len(events))
    items = spread.close()
    if not len(items) or seen.clock is None:
        raise InputError(f"a log must have events with user, item and time; none of its {seen.rows} rows has all three")
    unknown = 0 if table is None else check_overlap(items, table)
    with progress_bar("sorting", unit="part", show=progress, total=PARTS) as bar:
        whole = sort_parts(work, items, advance=bar.update)
    split = split_of(request.rules, clock=seen.clock, whole=whole, times=lambda: times_of(work))
    tallies = tally_splits(work, split=split, items=items, request=request)
    with progress_bar("rows", unit="part", show=progress, total=PARTS) as bar:
        counts = write_splits(
            folder, work, split=split, items=items, clock=seen.clock, tallies=tallies, advance=bar.update
        )
    prepared = Prepared(
        rows_read=seen.rows,
        dropped={**seen.dropped, "double": whole.doubles},
        events=whole.events,
        users=whole.users,
        items=len(items),
        unknown_items=unknown,
        first_time=seen.clock.shown(whole.first),
        last_time=seen.clock.shown(whole.last),
        cuts=None if split.cuts is None else (seen.clock.shown(split.cuts[0]), seen.clock.shown(split.cuts[1])),
        splits=counts,
    )
    return items, prepared

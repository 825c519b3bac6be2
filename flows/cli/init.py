"""`mmctr init`: a file of settings for the data in a folder, drafted from what is in it."""

from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from mmctr.common.errors import InputError
from mmctr.common.files import replacing
from mmctr.common.text import printable, shown, shown_names
from mmctr.inputs.discover.draft import draft, to_check
from mmctr.inputs.discover.events import Events
from mmctr.inputs.discover.findings import Findings, look_at
from mmctr.inputs.model_name import model_name
from tasks.settings.folder import CONFIG_NAME


def init(folder: Path, *, to_screen: bool) -> str:
    """Look at `folder`, write its file of settings, and say what is in it; or the text of that file, `to_screen`.

    Raises:
        InputError: there is such a file already, or the folder has neither click logs nor raw logs.
    """
    path = folder / CONFIG_NAME
    if not to_screen and (path.exists() or path.is_symlink()):
        raise _there_is_one(path)
    findings = look_at(folder)
    if not findings.has_clicks:
        if findings.events:
            return "\n".join(_raw(findings.events[0], findings, folder))
        raise InputError(_nothing(findings, folder))
    text = draft(findings, model=model_name(folder))
    if to_screen:
        return text.rstrip("\n")
    try:
        with replacing(path, only_new=True) as partial:
            partial.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise _there_is_one(path) from None
    return "\n".join(_summary(findings, path))


def _there_is_one(path: Path) -> InputError:
    return InputError(
        f"init writes a new file and never over one; {path} is there already; move it away, or print what init would "
        f"write: mmctr init {quote(str(path.parent))} --stdout"
    )


def _summary(findings: Findings, path: Path) -> Iterator[str]:
    likely, undecided = to_check(findings)
    yield f"settings      {path}"
    if findings.is_challenge:
        yield "              all defaults fit: this is the challenge's own layout"
    else:
        yield f"to check      {', '.join(likely) or 'nothing, all others are certain'}"
        yield f"undecided     {', '.join(undecided) or 'nothing'}"
        features = [one for one in (*findings.row_features, *findings.item_features) if one.kind is not None]
        yield f"features      {len(features)} columns could be features; they are commented out"
    for note in findings.notes:
        yield f"note          {shown(note)}"
    yield f"next          mmctr check {quote(str(path.parent))}"


def _raw(events: Events, findings: Findings, folder: Path) -> Iterator[str]:
    """A raw log, and the command that makes click logs of it."""
    yield "settings      none written: there is no click log yet, with histories and a label in each row"
    yield (
        f"raw log       {shown(events.sample.name)}: one event a row; user is {shown(events.user)}, item is "
        f"{shown(events.item)}, time is {shown(events.time)}"
        + (f", label is {shown(events.label)}" if events.label else ", and each event is a positive")
    )
    for other in findings.events[1:]:
        yield f"note          {shown(other.sample.name)} is a raw log too"
    for note in findings.notes:
        yield f"note          {shown(note)}"
    yield f"next          {printable(' '.join(prepare_command(events, findings, folder)))}"


def prepare_command(events: Events, findings: Findings, folder: Path) -> list[str]:
    """`mmctr prepare` for a raw log, each word as a shell reads it."""
    words = ["mmctr", "prepare", str(folder / events.sample.name), "--out", f"{folder.absolute()}-prepared"]
    words += ["--user", events.user, "--item", events.item, "--time", events.time]
    if events.label:
        words += ["--label", events.label, *(["--positive-from", "4"] if events.is_rating else [])]
    else:
        words += ["--negatives", "3"]
    if events.time_unit not in ("", "s"):
        words += ["--time-unit", events.time_unit]
    if findings.items is not None and (title := findings.choice("title")) is not None:
        words += ["--items", str(folder / findings.items.sample.name), "--items-id", findings.items.item_id.name]
        words += ["--title", str(title.value)] if title.value else []
    return [quote(word) for word in words]


def _nothing(findings: Findings, folder: Path) -> str:
    found = f"the item table {findings.items.sample.name}" if findings.items else "no item table either"
    notes = f" ({shown_names(findings.notes)})" if findings.notes else ""
    return (
        f"init needs a click log (a column of histories, one of the item that is shown, one of 0 and 1) or a raw log "
        f"(columns of user, item and time) in parquet or CSV; {folder} has none, and {found}{notes}; put one there, or "
        "write mmctr.toml by hand: mmctr settings"
    )

"""Findings as a file of settings: each line with its reason, what is uncertain marked, other choices commented out."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from mmctr.common.text import shown
from mmctr.inputs.discover.candidates import Candidate
from mmctr.inputs.discover.choice import Choice, Value
from mmctr.inputs.discover.findings import OUTPUTS, RESULTS, RESULTS_FOLDER, Findings, is_default
from mmctr.inputs.discover.sample import Column
from mmctr.inputs.features import Feature
from mmctr.inputs.layout import MICROLENS_1M

CHECK, UNDECIDED = "CHECK", "UNDECIDED"
LONGEST_REASON = 240
UNSAID = ("image", "time")
COMPONENTS = 128  # dimensions that PCA keeps by default
_BARE = re.compile(r"[A-Za-z0-9_-]{1,60}")
HEAD = f"""\
# Drafted by `mmctr init` from some thousand rows of each table; each line has its reason above it.
# {CHECK}: likely and not certain. {UNDECIDED}: left to you. Other choices are commented out.
"""
OF_CHALLENGE = """\
# All is where the challenge MicroLens_1M_MMCTR has it: every default of [data] fits, nothing of it needs to be set.
# `mmctr settings` lists what can be.
"""


def draft(findings: Findings, *, model: str = "") -> str:
    """The text of a file of settings for the data that were found; there must be a click log.

    `model` is the name that models of this data are registered under; without one, none is written.
    """
    if findings.is_challenge:
        return "\n".join([OF_CHALLENGE, *_vectors(findings), *_components(findings)]).rstrip() + "\n"
    lines = [HEAD, "[data]"]
    for choice in findings.choices:
        if not _is_idle(choice):
            lines += [*_choice(choice), ""]
    if not findings.is_for_challenge:
        lines += [*_written(), ""]
    lines += [*_row_features(findings), "", *_item_features(findings), ""]
    lines += [*_vectors(findings), *_components(findings), *_registered(model)]
    lines += [f"# {shown(note, limit=LONGEST_REASON)}" for note in findings.notes]
    return "\n".join(lines).rstrip() + "\n"


def to_check(findings: Findings) -> tuple[list[str], list[str]]:
    """Settings that are likely and not certain, and those that could not be chosen."""
    if findings.is_challenge:
        return [], []
    likely = [choice.key for choice in findings.choices if choice.value is not None and not choice.is_certain]
    if _source(findings) == "none":
        likely.append("embed.source")
    return likely, [choice.key for choice in findings.choices if choice.value is None]


def _source(findings: Findings) -> Literal["clip", "columns", "none"]:
    """Where the items' vectors come from."""
    chosen = [findings.choice(key) for key in ("title", "images")]
    if any(choice is not None and choice.value for choice in chosen):
        return "clip"
    return "columns" if findings.vectors else "none"


def toml(value: Value) -> str:
    """A value as TOML has it, be it a text with anything in it."""
    if isinstance(value, tuple):
        return f"[{', '.join(toml(one) for one in value)}]"
    return '"' + "".join(_letter(letter) for letter in value) + '"'


def _letter(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else toml(name)


def _is_idle(choice: Choice) -> bool:
    """Whether a line would only say that there is nothing of which a layout has nothing by default."""
    return choice.key in UNSAID and choice.is_certain and not choice.others and is_default(choice) and not choice.value


def _choice(choice: Choice) -> Iterator[str]:
    mark = f"{UNDECIDED} {choice.key}: " if choice.value is None else "" if choice.is_certain else f"{CHECK} "
    yield f"# {mark}{shown(choice.why, limit=LONGEST_REASON)}"
    if choice.value is not None:
        yield f"{choice.key} = {toml(choice.value)}"
    for value, why in choice.others:
        yield f"# {choice.key} = {toml(value)}  # {shown(why, limit=LONGEST_REASON)}"


def _written() -> Iterator[str]:
    yield "# The challenge's own form and names of files are for its scorer; these are plain."
    yield 'submission = "plain"'
    for name in OUTPUTS:
        yield f"{name} = {toml(f'{RESULTS_FOLDER}/{RESULTS[name]}')}"


def _row_features(findings: Findings) -> Iterator[str]:
    if not findings.row_features:
        yield "# No column of the click logs is left that the model could read; the default is the challenge's two."
    else:
        yield "# Columns of the click logs that the model reads beside ids; choose any, each of these lines is one."
    yield "[data.row_features]"
    levels = [feature.column for feature in MICROLENS_1M.row_features if findings.levels]
    for feature in MICROLENS_1M.row_features if findings.levels else ():
        yield f"# whole numbers from 0 to {(feature.size or 0) - 1} in every log, as in the challenge"
        yield f'{feature.column} = {{ kind = "{feature.kind}", size = {feature.size} }}'
    yield from _candidates([one for one in findings.row_features if one.column not in levels])


def _item_features(findings: Findings) -> Iterator[str]:
    if not findings.item_features:
        return
    yield "# Columns of the item table that the model reads, of the item that is shown and of each in the history."
    yield "[data.item_features]"
    yield from _candidates(findings.item_features)


def _candidates(found: Sequence[Candidate]) -> Iterator[str]:
    for one in found:
        if one.kind is None:
            yield f"# {shown(one.column, limit=60)} is none: {shown(one.why, limit=LONGEST_REASON)}"
        else:
            separator = f", separator = {toml(one.separator)}" if one.separator != Feature.separator else ""
            feature = f'{_key(one.column)} = {{ kind = "{one.kind}"{separator} }}'
            yield f"# {feature}  # {shown(one.why, limit=LONGEST_REASON)}"


def _vectors(findings: Findings) -> Iterator[str]:
    """Vectors that are there already: chosen where there is nothing else that a model could know of an item."""
    if _source(findings) == "none":
        yield f"# {CHECK} The items have neither titles nor images nor vectors, so they are known by their ids alone;"
        yield "# item features above would say more of them."
        yield "[embed]"
        yield 'source = "none"'
        yield ""
    if not findings.vectors:
        return
    chosen = _source(findings) == "columns"
    columns = ", ".join(f"{shown(one.name, limit=60)} ({one.width} numbers)" for one in findings.vectors)
    if chosen:
        yield f"# There are neither titles nor images, but vectors of the items: {columns}."
    else:
        yield f"# The item table has vectors already: {columns}."
        yield "# With these three lines they take the place of titles and images, and no encoder runs:"
    mark = "" if chosen else "# "
    yield f"{mark}[embed]"
    yield f'{mark}source = "columns"'
    yield f"{mark}columns = {toml(tuple(one.name for one in findings.vectors))}"
    if len({one.width for one in findings.vectors}) > 1:
        yield f'{mark}fuse = "concat"  # a mean needs vectors of one length'
    yield ""


def _components(findings: Findings) -> Iterator[str]:
    most, why = COMPONENTS, ""
    if findings.item_rows is not None and findings.item_rows < most:
        most, why = findings.item_rows, f"the item table has {findings.item_rows} rows"
    width = _width(findings.vectors)
    if _source(findings) == "columns" and width < most:
        most, why = width, f"the vectors have {width} numbers"
    if why and _source(findings) != "none":
        yield f"# The default is {COMPONENTS}, and PCA cannot keep more dimensions than there are: {why}."
        yield "[reduce]"
        yield f"n_components = {most}"
        yield ""


def _registered(model: str) -> Iterator[str]:
    if model:
        yield "# The champion has this name in MLflow; models of other data need another one there."
        yield "[promote]"
        yield f"registered_model = {toml(model)}"
        yield ""


def _width(vectors: Sequence[Column]) -> int:
    """Of the fused vectors: their mean's, or all of them one after another."""
    widths = {one.width for one in vectors}
    return widths.pop() if len(widths) == 1 else sum(one.width for one in vectors)

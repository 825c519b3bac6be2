"""The rules that each column of the input tables must keep; every broken one names its first row and the value there.

Legend: R rows of a chunk.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.common.text import shown
from mmctr.inputs.numbers import (
    Mask,
    is_list,
    is_number,
    is_text,
    not_whole,
    read_floats,
    read_integers,
    stored_numbers,
    texts_of,
    value_type,
)
from mmctr.inputs.tally import Findings, Rows
from mmctr.inputs.wanted import Wanted

LONGEST_TITLE = 100_000  # bytes; CLIP reads the first 77 tokens
LONGEST_TEXT = 256  # bytes of an id or of a value of a feature
LONGEST_IMAGE = 4_096  # bytes of a name of an image's file
LINES = r"[\x00\n\r]"  # what an id must not hold: it is written to CSV, and shown
MAY_BE_NULL = ("title", "image", "history", "category", "tags", "number")
ENTRIES = ("must hold", "entries")
ROWS = ("must be", "rows")


def type_problem(wanted: Wanted, kind: pa.DataType) -> str | None:
    """A sentence on why a column of this type cannot be read as it is wanted."""
    name, found = shown(wanted.name), f", found {shown(str(kind), limit=80)}"
    plain, text = value_type(kind), is_text(value_type(kind))
    if wanted.use in ("title", "image"):
        usable = text or pa.types.is_null(kind) or (wanted.use == "image" and is_number(plain))
        return None if usable else f"{name} must be a string{found}"
    if wanted.use in ("history", "tags"):
        entry = value_type(plain.value_type) if is_list(plain) else plain if text else None
        if entry is None or not (is_number(entry) or is_text(entry)):
            return f"{name} must be a list or an array of integers or strings{found}"
        return _kind_problem(wanted, entry, found=found)
    if wanted.use in ("label", "level", "number"):
        usable = (
            text
            or is_number(plain)
            or pa.types.is_boolean(plain)
            or (wanted.use == "number" and pa.types.is_null(plain))
        )
        return None if usable else f"{name} must be {'a number' if wanted.use == 'number' else 'an integer'}{found}"
    may_be_bool = wanted.use == "category" and (pa.types.is_boolean(plain) or pa.types.is_null(plain))
    if not (text or is_number(plain) or may_be_bool):
        return f"{name} must be an integer or a string{found}"
    return _kind_problem(wanted, plain, found=found)


def _kind_problem(wanted: Wanted, kind: pa.DataType, *, found: str) -> str | None:
    """Integers where texts are wanted; texts where integers are wanted are read as such."""
    if not wanted.text or is_text(kind) or pa.types.is_null(kind):
        return None
    return f"{shown(wanted.name)} must be text as {wanted.like} are{found}; write both as text, or both as integers"


def look(wanted: Wanted, findings: Findings, column: pa.Array, rows: Rows) -> None:
    """Hold the next rows of a column against its rules."""
    if column.null_count or pa.types.is_null(column.type):
        missing = column.is_null().to_numpy(zero_copy_only=False)
        if wanted.use not in MAY_BE_NULL:
            findings.note("must not be null, {count} rows are", missing, rows)
        column, rows = column.drop_null(), rows[~missing]
    if not len(column):
        return
    if wanted.use in ("history", "tags"):
        column, rows = _entries(wanted, column, rows)
        _look_at_ids(wanted, findings, column, rows, words=ENTRIES)
    elif wanted.use in ("label", "level", "number"):
        _look_at_numbers(wanted, findings, column, rows)
    elif wanted.use == "title":
        _look_at_texts(findings, column, rows, longest=LONGEST_TITLE)
    elif wanted.use == "image":
        if is_text(value_type(column.type)):
            _look_at_texts(findings, column, rows, longest=LONGEST_IMAGE)
    else:
        _look_at_ids(wanted, findings, column, rows, words=ROWS)


def _entries(wanted: Wanted, column: pa.Array, rows: Rows) -> tuple[pa.Array, Rows]:
    """The entries of lists, and the row of each; a text is a list."""
    if is_text(value_type(column.type)):
        column = pc.split_pattern(column.cast(pa.large_binary()), wanted.separator)
    entries = column.flatten()
    owners = rows.repeat(column.value_lengths().to_numpy(zero_copy_only=False))
    if entries.null_count:
        present = entries.is_valid().to_numpy(zero_copy_only=False)
        entries, owners = entries.drop_null(), owners[present]
    return entries, owners


def _look_at_ids(wanted: Wanted, findings: Findings, column: pa.Array, rows: Rows, *, words: tuple[str, str]) -> None:
    """Ids of items, rows or users, and values of features: integers or texts."""
    must, units = words
    whole = f"{must} {'whole numbers' if words is ENTRIES else 'a whole number'}, {{count}} {units} are not"
    if pa.types.is_null(column.type):
        return None
    if not is_text(value_type(column.type)):
        numbers = stored_numbers(column)
        if (wrong := not_whole(numbers)) is not None:
            findings.note(whole, wrong, rows, lambda at: numbers[at].item())
            kept, left = numbers[~wrong].astype(np.int64), rows[~wrong]
            return _look_at_integers(wanted, findings, kept, left)
        return _look_at_integers(wanted, findings, numbers, rows)
    may_be_empty = wanted.use in ("history", "tags", "category")
    if not _look_at_texts(findings, column, rows, longest=LONGEST_TEXT, units=units, empty=may_be_empty, lines=False):
        return None
    texts = texts_of(column)
    if wanted.text is not False:
        if wanted.unique:
            findings.distinct.append((texts, rows))
        return None
    if may_be_empty:
        real = pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
        texts, rows = (texts, rows) if real.all() else (texts.filter(pa.array(real)), rows[real])
    read, unread = read_integers(texts)
    like = f" as {wanted.like} are"
    findings.note(whole.replace(", {count}", f"{like}, {{count}}"), unread, rows, lambda at: texts[at].as_py())
    return _look_at_integers(wanted, findings, read[~unread], rows[~unread])


def _look_at_integers(wanted: Wanted, findings: Findings, numbers: npt.NDArray[np.integer], rows: Rows) -> None:
    def note(rule: str, broken: Mask) -> None:
        findings.note(rule, broken, rows, lambda at: numbers[at].item())

    if wanted.use == "item id":
        if wanted.padding == "zero":
            note("must be 1 or more (0 is padding), {count} rows are not", numbers < 1)
        if numbers.dtype == np.uint64:
            note("must be below 2^63, {count} rows are not", numbers > 2**63 - 1)
    elif wanted.use == "history" and wanted.padding == "zero" and numbers.dtype.kind != "u":
        note("must not hold negative ids, {count} entries are", numbers < 0)
    if wanted.unique:
        findings.distinct.append((numbers.astype(np.int64, copy=False), rows))


def _look_at_numbers(wanted: Wanted, findings: Findings, column: pa.Array, rows: Rows) -> None:
    """Labels, levels and numbers, which may be written as text."""
    numbers: npt.NDArray[Any]
    if is_text(value_type(column.type)):
        if not _look_at_texts(findings, column, rows, longest=LONGEST_TEXT, empty=True):
            return
        texts = texts_of(column)
        numbers, unread = read_floats(texts)
        unread &= pc.not_equal(texts, "").to_numpy(zero_copy_only=False)
        what = "a number" if wanted.use == "number" else "a whole number"
        findings.note(f"must be {what}, {{count}} rows are not", unread, rows, lambda at: texts[at].as_py())
        numbers, rows = numbers[~unread], rows[~unread]
    else:
        numbers = stored_numbers(column)

    def note(rule: str, broken: Mask) -> None:
        findings.note(rule, broken, rows, lambda at: numbers[at].item())

    if wanted.use == "number":
        if numbers.dtype.kind == "f":
            note("must be finite, {count} rows are not", np.isinf(numbers))
        return
    if (wrong := not_whole(numbers)) is not None:
        note("must be a whole number, {count} rows are not", wrong)
        numbers, rows = numbers[~wrong].astype(np.int64), rows[~wrong]
    if wanted.use == "label":
        note("must be 0 or 1, {count} rows are not", (numbers != 0) & (numbers != 1))
        findings.classes.update(np.unique(numbers)[:3].tolist())
    else:
        last = (wanted.size or 1) - 1
        note(f"must be in 0..{last}, {{count}} rows are not", (numbers < 0) | (numbers > last))


def _look_at_texts(
    findings: Findings,
    column: pa.Array,
    rows: Rows,
    *,
    longest: int,
    units: str = "rows",
    empty: bool = True,
    lines: bool = True,
) -> bool:
    """Whether all texts can be read; each content is looked at once, however many rows have it.

    Args:
        findings: of the column.
        column: texts or bytes, plain or as a dictionary, none null.
        rows: of the texts.
        longest: bytes of a text.
        units: what has a text.
        empty: whether a text may be empty.
        lines: whether one may hold line ends and zeros.
    """
    is_dictionary = pa.types.is_dictionary(column.type)
    texts = (column.dictionary if is_dictionary else column).cast(pa.large_binary())
    index = column.indices.to_numpy(zero_copy_only=False) if is_dictionary else None
    lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
    faults: list[tuple[str, Mask | None, Callable[[bytes], Any]]] = [
        (f"must have at most {longest:,} bytes, {{count}} {units} do not", lengths > longest, bytes),
        (f"must be text in UTF-8, {{count}} {units} are not", _no_utf8(texts), bytes),
        (f"must not be empty, {{count}} {units} are", None if empty else lengths == 0, _decoded),
    ]
    if not lines and faults[1][1] is None:
        broken = pc.match_substring_regex(texts.cast(pa.large_string()), LINES).fill_null(False)
        rule = f"must not hold line ends or zeros, {{count}} {units} do"
        faults.append((rule, broken.to_numpy(zero_copy_only=False), _decoded))
    readable = True
    for rule, wrong, as_shown in faults:
        if wrong is not None and wrong.any():
            readable = False
            broken_rows = wrong if index is None else wrong[index]

            def value(at: int, as_shown: Callable[[bytes], Any] = as_shown) -> Any:
                return as_shown(texts[at if index is None else int(index[at])].as_py()[:80])

            findings.note(rule, broken_rows, rows, value)
    return readable


def _decoded(text: bytes) -> str:
    return text.decode(errors="replace")  # it may be cut within a character


def _no_utf8(texts: pa.Array) -> Mask | None:
    """Which of `texts` are no UTF-8; None where all are."""
    try:
        texts.cast(pa.large_string())
    except pa.ArrowInvalid:
        return np.array([not _is_utf8(text.as_py()) for text in texts])
    return None


def _is_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True

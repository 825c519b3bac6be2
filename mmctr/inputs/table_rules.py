"""The rules that each column of the input tables must keep; every broken one names its first row and the value there.

A table is read once, a few rows at a time, and of the columns only those that are needed. Legend: R rows of a chunk.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_names, shown_value
from mmctr.inputs.columns import (
    chunks_of,
    column_names,
    is_number,
    is_text,
    not_whole,
    open_columns,
    stored_numbers,
)
from mmctr.inputs.features import LEVELS
from mmctr.inputs.layout import HISTORY, ITEM_ID, KNOWN_COLUMNS, LABEL, ROW_ID, TITLE

LONGEST_TITLE = 100_000  # bytes; CLIP reads the first 77 tokens
Broken = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]  # of each value, counted from 1


def check_table(path: Path, *, role: str) -> tuple[int, list[str]]:
    """Number of rows of one input table, and a sentence for each broken rule; `role` is items, train, valid or test."""
    try:
        names = column_names(path)
        wanted = KNOWN_COLUMNS[role]
        problems = [f"column {name} is missing; it has {shown_names(names)}" for name in wanted if name not in names]
        problems += [
            f"column names must be unique, {name} is there more than once; rename one"
            for name in wanted
            if names.count(name) > 1
        ]
        with open_columns(path, columns=[name for name in wanted if names.count(name) == 1]) as file:
            wrong = {column.name: _type_problem(column.name, column.type) for column in file.schema_arrow}
            problems += [problem for problem in wrong.values() if problem]
        usable = [name for name, problem in wrong.items() if problem is None]
        rows, broken = _read(path, columns=usable, role=role)
    except InputError as error:
        return 0, [str(error).removeprefix(f"{path}").lstrip(": ").removeprefix("is ")]
    return rows, [*problems, *broken] if rows else [*problems, "it has no rows"]


def _read(path: Path, *, columns: Sequence[str], role: str) -> tuple[int, list[str]]:
    checks = {name: _Check(name, role=role) for name in columns}
    rows = 0
    with open_columns(path, columns=columns) as file:
        if not columns:
            return file.metadata.num_rows, []
        for chunk in chunks_of(file):
            for name, check in checks.items():
                check.look(chunk.column(name), first_row=rows + 1)
            rows += len(chunk)
    return rows, [problem for check in checks.values() for problem in check.problems()]


def _type_problem(name: str, kind: pa.DataType) -> str | None:
    found = f", found {shown(str(kind), limit=80)}"
    if name == TITLE:
        usable = pa.types.is_dictionary(kind) or pa.types.is_null(kind) or is_text(kind)
        return None if usable else f"{name} must be a string{found}"
    if name == HISTORY:
        is_list = pa.types.is_list(kind) and is_number(kind.value_type)
        return None if is_list else f"{name} must be a list or an array of integers{found}"
    if is_number(kind) or (name == LABEL and pa.types.is_boolean(kind)):
        return None
    return f"{name} must be an integer{found}"


@dataclass
class _Tally:
    """How often a rule is broken, and where first."""

    rule: str
    count: int = 0
    first: str = ""

    def note(self, broken: Broken, rows: Rows, value: Callable[[int], Any] | None = None) -> None:
        count = int(np.count_nonzero(broken))
        if count and not self.count:
            at = int(broken.argmax())
            self.first = f"row {rows[at]}" + ("" if value is None else f" with {shown_value(value(at), limit=60)}")
        self.count += count

    def problems(self) -> list[str]:
        return [f"{self.rule.format(count=self.count)}; the first is {self.first}"] if self.count else []


@dataclass
class _Check:
    """What was seen of one column."""

    name: str
    role: str
    tallies: dict[str, _Tally] = field(default_factory=dict)
    distinct: list[tuple[npt.NDArray[Any], Rows]] = field(default_factory=list)  # values that must not repeat
    classes: set[int] = field(default_factory=set)

    def look(self, column: pa.Array, *, first_row: int) -> None:
        """Hold the next rows against the rules."""
        rows = np.arange(first_row, first_row + len(column))
        if self.name == TITLE:
            return self._look_at_titles(column, rows)
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            self._note(f"{self.name} must not be null, {{count}} rows are", missing, rows)
            column, rows = column.drop_null(), rows[~missing]
        if self.name == HISTORY:
            return self._look_at_histories(column, rows)
        numbers = stored_numbers(column)
        wrong = not_whole(numbers)
        if wrong is not None:
            rule = f"{self.name} must be a whole number, {{count}} rows are not"
            self._note(rule, wrong, rows, lambda at: numbers[at].item())
            return self._look_at_numbers(numbers[~wrong].astype(np.int64), rows[~wrong])
        return self._look_at_numbers(numbers, rows)

    def _note(self, rule: str, broken: Broken, rows: Rows, value: Callable[[int], Any] | None = None) -> None:
        self.tallies.setdefault(rule, _Tally(rule)).note(broken, rows, value)

    def _look_at_numbers(self, numbers: npt.NDArray[Any], rows: Rows) -> None:
        def note(rule: str, broken: Broken) -> None:
            self._note(f"{self.name} {rule}", broken, rows, lambda at: numbers[at].item())

        if self.name == ITEM_ID:
            note("must be 1 or more (0 is padding), {count} rows are not", numbers < 1)
            if numbers.dtype == np.uint64:
                note("must be below 2^63, {count} rows are not", numbers > 2**63 - 1)
        elif self.name == LABEL:
            note("must be 0 or 1, {count} rows are not", (numbers != 0) & (numbers != 1))
            self.classes.update(np.unique(numbers)[:3].tolist())
        elif self.name != ROW_ID:
            note(f"must be in 0..{LEVELS - 1}, {{count}} rows are not", (numbers < 0) | (numbers >= LEVELS))
        if self.name == ROW_ID or (self.name == ITEM_ID and self.role == "items"):
            self.distinct.append((numbers, rows))

    def _look_at_histories(self, column: pa.Array, rows: Rows) -> None:
        entries = column.flatten()
        owners = None
        if entries.null_count:
            owners = _owners(column, rows)
            missing = entries.is_null().to_numpy(zero_copy_only=False)
            self._note(f"{HISTORY} must not hold nulls, {{count}} entries are", missing, owners)
            entries, owners = entries.drop_null(), owners[~missing]
        numbers = stored_numbers(entries)
        wrong = not_whole(numbers)
        for rule, broken in (
            ("must hold whole numbers, {count} entries are not", wrong),
            ("must not hold negative ids, {count} entries are", None if numbers.dtype.kind == "u" else numbers < 0),
        ):
            if broken is not None and broken.any():
                owners = _owners(column, rows) if owners is None else owners
                self._note(f"{HISTORY} {rule}", broken, owners, lambda at: numbers[at].item())

    def _look_at_titles(self, column: pa.Array, rows: Rows) -> None:
        if not pa.types.is_dictionary(column.type):  # nothing but nulls
            return
        texts = column.dictionary.cast(pa.large_binary())
        index = column.indices.fill_null(len(texts)).to_numpy(zero_copy_only=False)  # what is null is at the end
        lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
        bad = np.array([not _is_text(text.as_py()) for text in texts]) if not _are_text(texts) else None
        for rule, wrong in (
            (f"{TITLE} must have at most {LONGEST_TITLE:,} bytes, {{count}} rows do not", lengths > LONGEST_TITLE),
            (f"{TITLE} must be text in UTF-8, {{count}} rows are not", bad),
        ):
            if wrong is not None and wrong.any():
                self._note(rule, np.append(wrong, False)[index], rows, lambda at: texts[int(index[at])].as_py()[:80])

    def problems(self) -> list[str]:
        """A sentence for each broken rule."""
        found = [problem for tally in self.tallies.values() for problem in tally.problems()]
        if self.name == LABEL and len(self.classes) == 1 and self.classes <= {0, 1}:
            found.append(f"{LABEL} must have both classes, 1 class is there: all rows have {self.classes.pop():d}")
        return [*found, *self._repetitions()]

    def _repetitions(self) -> list[str]:
        if not self.distinct:
            return []
        numbers, rows = (np.concatenate(parts) for parts in zip(*self.distinct, strict=True))
        order = np.argsort(numbers, kind="stable")
        repeats = np.zeros(len(numbers), dtype=bool)
        repeats[order[1:]] = numbers[order][1:] == numbers[order][:-1]
        tally = _Tally(f"{self.name} must be unique, {{count}} rows repeat an earlier one")
        tally.note(repeats, rows, lambda at: numbers[at].item())
        return tally.problems()


def _owners(column: pa.Array, rows: Rows) -> Rows:
    """The row that each entry of a column of lists belongs to."""
    return np.repeat(rows, column.value_lengths().to_numpy(zero_copy_only=False))


def _are_text(texts: pa.Array) -> bool:
    try:
        texts.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_text(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True

"""A table against the rules of its columns.

It is read once, a few rows at a time, and of the columns only those that are wanted.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_names
from mmctr.inputs.column_rules import look, type_problem
from mmctr.inputs.files import Files, listed
from mmctr.inputs.tables import column_names, column_types, located_chunks
from mmctr.inputs.tally import Findings, Rows
from mmctr.inputs.wanted import Wanted


def check_table(
    files: Files, *, wanted: Sequence[Wanted], name: str, base_path: Path = Path()
) -> tuple[int, list[str]]:
    """Number of rows of a table, and a sentence for each broken rule, which begins with what it is about.

    Args:
        files: of the table.
        wanted: what is read of it.
        name: of the table, where a sentence is about all of it.
        base_path: which the names of files do not repeat.
    """
    try:
        names = column_names(files)
        problems = [_absence(names, one.name) for one in _once(wanted) if names.count(one.name) != 1]
        present = [one for one in wanted if names.count(one.name) == 1]
        types = column_types(files, columns=list(dict.fromkeys(one.name for one in present)))
        wrong = [(one, type_problem(one, types[one.name])) for one in present]
        problems += [problem for _, problem in wrong if problem]
        rows, broken = _read(files, wanted=[one for one, problem in wrong if problem is None], base_path=base_path)
    except InputError as error:
        return 0, [_of_file(str(error), files=files, base_path=base_path)]
    nothing = [] if rows is None or rows else ["it has no rows"]
    return rows or 0, [f"{name}: {problem}" for problem in [*problems, *broken, *nothing]]


def _once(wanted: Sequence[Wanted]) -> list[Wanted]:
    """The first of each name."""
    return list({one.name: one for one in reversed(wanted)}.values())[::-1]


def _absence(names: Sequence[str], name: str) -> str:
    if name in names:
        return f"column names must be unique, {shown(name)} is there more than once; rename one"
    return f"column {shown(name)} is missing; it has {shown_names(names)}"


def _read(files: Files, *, wanted: Sequence[Wanted], base_path: Path) -> tuple[int | None, list[str]]:
    """Number of rows, None where nothing is read, and the broken rules of the columns."""
    if not wanted:
        return None, []
    findings = [Findings(shown(one.name)) for one in wanted]
    many, rows = len(listed(files)) > 1, 0
    file, of_file = Path(), 0
    for path, chunk in located_chunks(files, columns=list(dict.fromkeys(one.name for one in wanted))):
        if path != file:
            file, of_file = path, 0
        numbers = np.arange(of_file + 1, of_file + 1 + len(chunk))
        place = Rows(numbers, _relative(path, base_path) if many else "")
        for one, found in zip(wanted, findings, strict=True):
            look(one, found, chunk.column(one.name), place)
        rows, of_file = rows + len(chunk), of_file + len(chunk)
    return rows, [problem for found in findings for problem in found.problems()]


def _of_file(message: str, *, files: Files, base_path: Path) -> str:
    """A sentence about a file that begins with its path, with its path below `base_path`."""
    for path in listed(files):
        if message.startswith(str(path)):
            rest = message.removeprefix(str(path)).lstrip(": ").removeprefix("is ")
            return f"{_relative(path, base_path)}: {rest}"
    return message


def _relative(path: Path, base_path: Path) -> str:
    return str(path.relative_to(base_path) if path.is_relative_to(base_path) else path)

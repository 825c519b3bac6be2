"""The tables of docs/cache-contract.md, and a runner that says what would run without running it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from project import PROJECT

from flows.pipeline import run_stages
from flows.run.context import run_context
from tasks.cache.results import Result
from tasks.cache.stage import StageReport, StageRunner, stage_key
from tasks.cache.workspace import FileRef, FolderRef
from tasks.settings.sections import PipelineConfig

PAGE = PROJECT / "docs" / "cache-contract.md"
STAGES = ["extract", "embed", "reduce", "build_weights", "train", "predict"]
RUNS, CACHED, FOLLOWS, RAN = "runs", "cached", "follows", "ran"


def section(heading: str) -> str:
    """What stands under `heading`."""
    return PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(heading: str) -> dict[str, list[str]]:
    """Rows of the table under `heading`: what is changed, and a word for each stage."""
    lines = [line for line in section(heading).splitlines() if line[:1] == "|"]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0][1:] == STAGES
    words = {name: cells for name, *cells in rows[2:]}
    assert len(words) == len(rows) - 2, f"{heading}: a row stands there twice"
    assert {word for cells in words.values() for word in cells} <= {RUNS, CACHED, FOLLOWS, RAN}
    return words


def stages_that_run(words: list[str], *, handed_on: bool) -> list[str]:
    """Stages that a row says run, where those before them make other bytes (`handed_on`) or the same."""
    running = {RUNS, RAN, FOLLOWS} if handed_on else {RUNS, RAN}
    return [stage for stage, word in zip(STAGES, words, strict=True) if word in running]


@dataclass(frozen=True)
class Plan:
    """Stages that would run if what runs made the same bytes as before, and if it made others."""

    same_bytes: list[str]
    other_bytes: list[str]


class PlannedError(Exception):
    """All stages were asked for; nothing is published."""


def plan(config: PipelineConfig, *, known: dict[str, Result], patch: Callable[..., None]) -> Plan:
    """What a run of the pipeline would run; `known` are the results of the finished run before it.

    The pipeline's own wiring, keys and verification of records are used; only the call of a stage is not made.
    """
    plans = []
    for make in (lambda result: result, _with_other_bytes):
        reports: list[StageReport] = []

        class Planner(StageRunner):
            def __call__(self, stage, *args, **inputs):
                key = stage_key(stage, inputs)
                trusted = self._trusted(key)
                reports.append(StageReport(stage.name, trusted, 0.0))  # noqa: B023 used within the turn
                if stage.name == STAGES[-1]:
                    raise PlannedError
                return self._record(key) if trusted else make(known[stage.name])  # noqa: B023

        patch("flows.pipeline.StageRunner", Planner)
        try:
            run_stages(config, run_context(config))
        except PlannedError:
            asked = [report.name for report in reports]
            assert asked == [stage for stage in STAGES if stage in asked]  # some data does without the first ones
        plans.append([report.name for report in reports if not report.cached])
    return Plan(*plans)


def _with_other_bytes(result: Result) -> Result:
    def other(digest: str) -> str:
        return hashlib.sha256(digest.encode()).hexdigest()

    changed = {}
    for name, value in result:
        if isinstance(value, FileRef):
            changed[name] = FileRef(path=value.path, sha256=other(value.sha256))
        elif isinstance(value, FolderRef):
            changed[name] = value.model_copy(update={"digest": other(value.digest)})
    return result.model_copy(update=changed)


def assert_planned(found, words: list[str]) -> None:
    """What runs first is as the row says; what follows runs if it is handed other bytes, and only then."""
    assert found.same_bytes == stages_that_run(words, handed_on=False)
    assert found.other_bytes == stages_that_run(words, handed_on=True)


def rows(heading: str) -> Any:
    return pytest.mark.parametrize(("name", "words"), [(name.strip("`"), row) for name, row in table(heading).items()])


@contextmanager
def replaced(path: Path, content: bytes | None) -> Iterator[None]:
    """Another content for a file, or none; afterwards the old one with the old times."""
    before, status = path.read_bytes(), path.stat()
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

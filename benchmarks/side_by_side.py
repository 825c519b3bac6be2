"""Measure two ways of doing one thing in turn, so that a machine whose speed drifts is fair to both."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


class MissingPeer(Exception):  # noqa: N818
    """A peer that is not installed, and what installs it."""


@dataclass(frozen=True)
class Row:
    """One line of the table: medians of both sides in `unit`, and how much better ours is."""

    part: str
    ours: float
    peer: float
    unit: str
    beside: str
    target: str
    repeats: int
    higher_is_better: bool = True

    @property
    def ratio(self) -> float:
        """How many times better ours is."""
        return self.ours / self.peer if self.higher_is_better else self.peer / self.ours

    def as_dict(self) -> dict[str, object]:
        """For results.json."""
        return {**asdict(self), "ratio": self.ratio}


def seconds(work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time of one call, on the wall unless `clock` is another."""
    started = clock()
    work()
    return clock() - started


def in_turn(
    *works: Callable[[], object],
    repeats: int = 5,
    before: Callable[[], object] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, ...]:
    """Median seconds of each, called A B A B ..., after one call of each that does not count.

    `before` is called before each of them, and not timed.
    """
    rounds = []
    for _ in range(repeats + 1):
        times = []
        for work in works:
            if before is not None:
                before()
            times.append(seconds(work, clock=clock))
        rounds.append(times)
    return tuple(statistics.median(times) for times in zip(*rounds[1:], strict=True))


def in_child(code: str, arguments: Sequence[str]) -> dict[str, float]:
    """Run `code` in a fresh interpreter that prints one JSON object; its peak memory in MB is added."""
    # Not ru_maxrss, which a child takes over from its parent and keeps through exec.
    ending = """
import json, re
from pathlib import Path
result["peak_mb"] = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6
print(json.dumps(result))
"""
    done = subprocess.run(
        [sys.executable, "-c", code + ending, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GOMP_SPINCOUNT": "1000"},
    )
    return json.loads(done.stdout.splitlines()[-1])

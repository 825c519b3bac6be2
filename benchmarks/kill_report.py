"""The table of `kill_test.py`."""

import argparse
import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median

PACKAGES = ("mlflow", "polars", "prefect", "torch")


@dataclass(frozen=True)
class Kill:
    """What one kill led to.

    `shards` and `epochs` are those that the killed run had finished and the next one did not do again; `lost` seconds
    are the work of both runs less that of the uninterrupted one.
    """

    moment: str
    identical: bool
    shards: int
    epochs: int
    lost: float
    reads: int
    ephemeral: bool
    problems: list[str]

    def line(self) -> str:
        """One line for the terminal."""
        told = f"{self.moment:<26}identical={self.identical} shards={self.shards} epochs={self.epochs} "
        return told + f"lost={self.lost:.1f} s ephemeral={self.ephemeral} {self.problems[:3] or 'ok'}"


def report(kills: list[Kill], *, order: list[str], options: argparse.Namespace, reference_seconds: float) -> str:
    """The results as Markdown, moments in the given order."""
    lines = [
        "# Killed runs",
        "",
        f"`python benchmarks/kill_test.py --kills {options.kills} --seed {options.seed} --jobs {options.jobs}`, "
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores shared with "
        f"other work, no GPU, Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + ".",
        "",
        f"Demo of {options.items} items and {options.users} users; the uninterrupted run worked "
        f"{reference_seconds:.1f} s. Seconds lost are the work of both runs less that, without the start of the second "
        "process; they vary with the load of the machine.",
        "",
        "| killed in | kills | CSV identical | shards kept (median) | epochs kept (median) | s lost, median | most |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in order:
        rows = [kill for kill in kills if kill.moment == name]
        lines += [_row(name, rows)] if rows else []
    lines += [_row("all", kills), ""]
    reads = sum(kill.reads for kill in kills)
    failed = [kill for kill in kills if kill.problems]
    if failed:
        lines.append(f"{len(failed)} kills showed a problem, the first ones of each are:")
        lines += ["", *(f"- {kill.moment}: {problem}" for kill in failed for problem in kill.problems[:3])]
    else:
        lines += [
            "Checked after each kill and the run that followed, without an exception:",
            "",
            f"- {reads:,} reads of published and kept files while the runs went on: each found a whole file.",
            "- Kept shards have the inode and the time that they had before the kill, kept epochs the very speed.",
            "- The MLflow store holds one run, FINISHED, each epoch once, two whole models, and the submission.",
            "- No `*.partial` file and no unfinished work is left; no process of the killed group either.",
            f"- {sum(kill.ephemeral for kill in kills)} of the kills hit a run with a Prefect server of its own.",
        ]
    return "\n".join(lines) + "\n"


def _row(name: str, kills: list[Kill]) -> str:
    lost = [kill.lost for kill in kills]
    cells = [
        *(name, len(kills), sum(kill.identical for kill in kills)),
        *(f"{median(kill.shards for kill in kills):.0f}", f"{median(kill.epochs for kill in kills):.0f}"),
        *(f"{median(lost):.1f}", f"{max(lost):.1f}"),
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"

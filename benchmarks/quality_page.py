"""The tables of `benchmarks/quality.md` out of the kept rows, and these rows in `benchmarks/quality.json`."""

import json
import platform
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

from quality_plan import DATA, PEERS, PRESETS, SWITCHES, planned

NAMES = {"fuxictr": "FuxiCTR's DIN", "lightgbm": "LightGBM", "popularity": "popularity rule"}
COLUMNS: dict[str, tuple[str, str, int]] = {  # heading: where it is in a row, and its decimals
    "valid AUC": ("valid", "auc", 4),
    "valid gAUC": ("valid", "gauc", 4),
    "valid logloss": ("valid", "logloss", 4),
    "test AUC": ("test", "auc", 4),
    "test gAUC": ("test", "gauc", 4),
    "cold AUC": ("test", "cold_auc", 4),
    "test logloss": ("test", "logloss", 4),
    "test entropy": ("test", "entropy", 3),
    "CPU s": ("took", "cpu_seconds", 0),
    "rows/CPU s": ("took", "rows_per_second", 0),
    "MB": ("took", "peak_mb", 0),
    "parameters": ("took", "parameters", 0),
}
HEAD = """# Quality: presets beside each other and beside peers

`make bench ONLY=quality` writes this page, `benchmarks/quality.py` makes each row by the command that stands below. A
figure is the mean of the seeds with its standard error over them, which says nothing of the rows: another test set of
as many users would move all models of a data set together. Choices were made on validation alone; the labels of test
are read once, at the end. **No figure here is one of Codabench.**

Presets and peers read the same columns, vectors and features, and have the same batch size where the data set's own
mmctr.toml sets one (512 on all three, as they are small). `cold` is the AUC of the test rows whose target is never one
in train; `entropy` is the logloss over that of the base rate: 1 is as good as a constant. Time is that of one core of
the processor, validation included, as other processes ran beside; `MB` is the peak memory of a process with the data.

On both worlds the levels of likes and views and the tags of every item are declared, so that all presets and peers read
them of history items too: more than the organisers' own inputs, and more for an unregularised model to learn by heart.
"""
COMMANDS = "`python benchmarks/quality.py all` makes what is missing of these, and then their test figures."
Rows = list[dict]


def write(rows: Rows, folder: Path) -> None:
    """Write `quality.json` and `quality.md`."""
    known = rows or json.loads((folder / "quality.json").read_text())["rows"]
    kept = {"date": date.today().isoformat(), "machine": _machine(), "rows": known}
    (folder / "quality.json").write_text(json.dumps(kept, indent=1) + "\n")
    (folder / "quality.md").write_text(page(known, made=f"{kept['date']}, {kept['machine']}"))


def page(rows: Rows, *, made: str) -> str:
    """The page."""
    parts = [HEAD, *_state(rows), *(_of_data(name, rows) for name in DATA), _ablation(rows), _commands(rows)]
    return "\n".join([*parts, f"Made {made}.", ""])


def _state(rows: Rows) -> list[str]:
    """What is missing yet."""
    known, names = {(row["data"], row["of"], row["seed"], row["off"]) for row in rows}, planned()
    there = sum((name.data, name.of, name.seed, name.off) in known for name in names)
    lines = (
        []
        if there == len(names)
        else [f"**{there} of {len(names)} rows are there**; `quality.py all` makes the rest.\n"]
    )
    if not any("test" in row for row in rows):
        lines.append("**The labels of test have not been read yet**: the columns of test and `cold` are open.\n")
    return lines


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}, no GPU, Python {platform.python_version()}"


def _of_data(data: str, rows: Rows) -> str:
    own = {of: _chosen(rows, data, of) for of in (*PRESETS, *PEERS)}
    own = {of: found for of, found in own.items() if found}
    lines = [f"## {data}", "", _line(["", *COLUMNS, "seeds"]), "|---|" + "---:|" * (len(COLUMNS) + 1)]
    for of, found in own.items():
        name = NAMES.get(of, f"`{of}`")
        lines.append(_line([name, *(_cell(found, *where) for where in COLUMNS.values()), str(len(found))]))
    return "\n".join([*lines, "", *_verdict(own), ""])


def _verdict(own: dict[str, Rows]) -> list[str]:
    """What `strong` leads each other row by, in standard errors of the difference."""
    if "strong" not in own or not _values(own["strong"], "test", "auc"):
        return []
    sentences = []
    for of, found in own.items():
        if of == "strong" or not _values(found, "test", "auc"):
            continue
        ours, theirs = _values(own["strong"], "test", "auc"), _values(found, "test", "auc")
        lead = statistics.mean(ours) - statistics.mean(theirs)
        error = (_error(ours) ** 2 + _error(theirs) ** 2) ** 0.5
        clear = "beyond" if lead > 2 * error else "**not beyond**"
        once = ", of one seed" if min(len(ours), len(theirs)) < 2 else ""
        sentences.append(
            f"{NAMES.get(of, f'`{of}`')} by {lead:+.4f} ({clear} two standard errors, {2 * error:.4f}{once})"
        )
    return [f"On test `strong` leads {'; '.join(sentences)}."] if sentences else []


def _ablation(rows: Rows) -> str:
    """Each switch of `strong` off: what valid and test AUC lose."""
    heads = [f"{data}, {split}" for data in DATA for split in ("valid", "test")]
    lines = [
        "## Each switch of `strong` turned off",
        "",
        _line(["off", "how", *heads]),
        "|---|---|" + "---:|" * len(heads),
    ]
    whole = {data: _chosen(rows, data, "strong") for data in DATA}
    lines.append(_line(["nothing", "", *_auc_cells(whole, lambda found, split: _cell(found, split, "auc", 4))]))
    for switch, how in SWITCHES.items():
        without = {data: _chosen(rows, data, "strong", switch) for data in DATA}

        if any(without.values()):
            lines.append(
                _line(
                    [
                        switch,
                        "<br>".join(f"`{one}`" for one in how),
                        *_auc_cells(without, lambda found, split: _lost(found, whole, split)),
                    ]
                )
            )
    note = [
        "The difference to `strong` with its standard error: that of `strong` alone where a switch was turned off",
        "with one seed; below zero the switch helps.",
    ]
    return "\n".join([*lines, "", *note, ""])


def _lost(found: Rows, whole: dict[str, Rows], split: str) -> str:
    base = _values(whole[found[0]["data"]], split, "auc")
    return _difference(_values(found, split, "auc"), base)


def _auc_cells(found: dict[str, Rows], cell: Callable[[Rows, str], str]) -> list[str]:
    return [cell(found[data], split) if found[data] else "" for data in DATA for split in ("valid", "test")]


def _difference(values: list[float], base: list[float]) -> str:
    if not values or not base:
        return ""
    error = (_error(values) ** 2 + _error(base) ** 2) ** 0.5
    return f"{statistics.mean(values) - statistics.mean(base):+.4f} ± {error:.4f}"


def _commands(rows: Rows) -> str:
    """A line for each row but for its seed."""
    seeds: dict[str, list[int]] = {}
    for row in rows:
        command = row["command"].replace(f"--seed {row['seed']}", "--seed {}")
        seeds.setdefault(command, []).append(row["seed"])
    lines = [
        f"{command.format(numbers[0])}  # seeds {', '.join(map(str, numbers))}" for command, numbers in seeds.items()
    ]
    return "\n".join(["## Commands", "", COMMANDS, "", "```", *lines, "```", ""])


def _chosen(rows: Rows, data: str, of: str, off: str = "") -> Rows:
    return [row for row in rows if (row["data"], row["of"], row["off"]) == (data, of, off)]


def _values(rows: Rows, part: str, name: str) -> list[float]:
    return [row[part][name] for row in rows if row.get(part, {}).get(name) is not None]


def _cell(rows: Rows, part: str, name: str, decimals: int) -> str:
    values = _values(rows, part, name)
    if not values:
        return ""
    error = f" ± {_error(values):.{decimals}f}" if len(values) > 1 and decimals else ""
    return f"{statistics.mean(values):,.{decimals}f}{error}"


def _error(values: list[float]) -> float:
    """Standard error of the mean; 0 of a single value."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"

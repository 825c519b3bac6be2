"""Measure each stage beside its peer, in one run on one machine: `make bench`, or `make bench ONLY=train`.

Both sides of a part are called in turn, and medians are compared. The table goes to the terminal, to
`benchmarks/results.json` and to `benchmarks/RESULTS.md`. A peer that is not installed is named as missing. The part
`quality`, which takes half an hour and has a page of its own, runs only where it is named.
"""

import flows.process.environment  # noqa: F401  the settings that a run has

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import parts_data
import parts_embed
import parts_flow
import parts_model
import parts_prepare
import parts_presets
import parts_sequence
import parts_vectors
import quality
from side_by_side import MissingPeer, Row

HERE = Path(__file__).resolve().parent
PARTS: dict[str, Callable[[Path], list[Row]]] = {
    "load": parts_data.load,
    "train": parts_model.train,
    "organisers": parts_model.organisers,
    "presets": parts_presets.presets,
    "share": parts_model.share,
    "sequence": parts_sequence.sequence,
    "predict": parts_model.predict,
    "auc": parts_model.evaluate,
    "extract": parts_data.extract,
    "titles": parts_embed.titles,
    "encoder": parts_embed.encoder,
    "images": parts_embed.images,
    "embed": parts_embed.embed,
    "reduce": parts_data.reduce,
    "vectors": parts_vectors.vectors,
    "prepare": parts_prepare.prepare,
    "start": parts_data.start,
    "rerun": parts_flow.rerun,
}
QUALITY = "quality"  # how good models are, not how fast
PACKAGES = ("torch", "numpy", "polars", "pyarrow", "scikit-learn", "pillow", "rarfile", "clip-anytorch")


def main() -> None:
    """Run the chosen parts and write the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument(
        "--only", nargs="*", choices=sorted([*PARTS, QUALITY]), default=list(PARTS), help="parts to run"
    )
    options.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "mmctr-bench", help="for the data"
    )
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    kept = _kept(HERE / "results.json")
    for name in chosen.only or PARTS:
        if name == QUALITY:
            quality.make_all(chosen.folder / QUALITY)
            continue
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            rows = [row.as_dict() for row in PARTS[name](chosen.folder)]
        except MissingPeer as missing:
            print(f"not measured: {missing}", file=sys.stderr, flush=True)
            kept["missing"][name] = str(missing)
            kept["parts"].pop(name, None)
            _write(kept)
            continue
        kept["missing"].pop(name, None)
        kept["parts"][name] = {"date": date.today().isoformat(), "machine": _machine(), "rows": rows}
        _write(kept)
        print(_table(rows), flush=True)


def _kept(path: Path) -> dict:
    kept = json.loads(path.read_text()) if path.is_file() else {"parts": {}}
    return {"missing": {}, **kept}


def _write(kept: dict) -> None:
    (HERE / "results.json").write_text(json.dumps(kept, indent=1) + "\n")
    (HERE / "RESULTS.md").write_text(_page(kept))


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{len(names)} cores of {names[0]}, no GPU, Python {platform.python_version()}, {packages}"


def _table(rows: list[dict]) -> str:
    lines = ["| part | ours | peer | unit | ratio | to reach | beside |", "|---|---:|---:|---|---:|---|---|"]
    for row in rows:
        ours, peer = (f"{row[side]:,.4g}" for side in ("ours", "peer"))
        if max(row["ours"], row["peer"]) >= 1000:
            ours, peer = (f"{row[side]:,.0f}" for side in ("ours", "peer"))
        cells = (row["part"], ours, peer, row["unit"], f"{row['ratio']:.2f} x", row["target"], row["beside"])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _page(kept: dict) -> str:
    parts = [name for name in PARTS if name in kept["parts"]]
    sections = []
    for name in parts:
        part = kept["parts"][name]
        sections.append(f"## {name}\n\n{_table(part['rows'])}\n\n{part['date']}, {part['machine']}")
    head = "# Side by side\n\nMedians of both sides, called in turn. `make bench` writes this page."
    without = [f"{name}, needs {peer}" for name, peer in kept["missing"].items()]
    without += [name for name in PARTS if name not in kept["parts"] and name not in kept["missing"]]
    return "\n\n".join([head, *sections, *([f"Not measured: {'; '.join(without)}."] if without else [])]) + "\n"


if __name__ == "__main__":
    main()

"""The report of `mmctr gc`, for a person at a terminal and for a program."""

import json
from collections import Counter
from pathlib import Path

from flows.cli.check_report import shown_size
from tasks.cache.collect import UNKNOWN, WORK, Collection, Piece
from tasks.cache.run_manifest import RunManifest

LABEL, CELL = 48, 12  # widths of the columns


def as_json(collection: Collection, *, base_path: Path, deleted: bool) -> str:
    """Everything; sizes are in bytes, paths are relative to `.mmctr`."""
    stays, goes = _sizes(collection.stays), _sizes(collection.goes)
    unknown = [piece for piece in collection.stays if piece.kind == UNKNOWN]
    report = {
        "base_path": str(base_path),
        "deleted": deleted,
        "runs": [{"why": run.why, **run.manifest.model_dump(mode="json")} for run in collection.runs],
        "unfinished": [
            {"work": [_entry(piece) for piece in _work_of(run, collection)], **run.model_dump(mode="json")}
            for run in collection.unfinished
        ],
        "kinds": {kind: {"stays": stays[kind], "goes": goes[kind]} for kind in sorted({*stays, *goes})},
        "in_all": {"stays": stays.total(), "goes": goes.total()},
        "goes": [_entry(piece) for piece in collection.goes],
        "left_alone": [_entry(piece) for piece in unknown],
        "forgotten_digests": list(collection.forgotten),
    }
    return json.dumps(report, indent=2)


def as_text(collection: Collection, *, deleted: bool) -> str:
    """Aligned lines; unknown files that are left alone are named."""
    stays, goes = _sizes(collection.stays), _sizes(collection.goes)
    went = "gone" if deleted else "goes"
    unknown = [piece for piece in collection.stays if piece.kind == UNKNOWN]
    lines = ["runs that are kept"]
    for run in collection.runs:
        lines.append(f"  {_when(run.manifest)}  {run.why:<11}MLflow run {run.manifest.mlflow_run}")
    if collection.unfinished:
        lines += ["", "runs that have not finished; kept until a run of the same settings finishes"]
        for unfinished in collection.unfinished:
            work = [f"{piece.label} {shown_size(piece.bytes)}" for piece in _work_of(unfinished, collection)]
            lines.append(f"  {_when(unfinished)}  {', '.join(work) or 'no unfinished work'}")
        lines.append("  --drop-unfinished lets them go")
    lines += ["", "sizes" + _line("", "stays", went)[5:]]
    lines += [_line(kind, shown_size(stays[kind]), shown_size(goes[kind])) for kind in sorted({*stays, *goes})]
    lines.append(_line("in all", shown_size(stays.total()), shown_size(goes.total())))
    if collection.goes:
        lines += ["", went, *(_line(str(piece.path), shown_size(piece.bytes)) for piece in collection.goes)]
    if collection.forgotten:
        lines.append(f"  {len(collection.forgotten)} remembered digests of files that are gone")
    if unknown:
        lines += ["", "left alone, as it is not this cache's own"]
        lines += [_line(str(piece.path), shown_size(piece.bytes)) for piece in unknown]
    if not deleted and (collection.goes or collection.forgotten):
        lines += ["", "nothing was removed; --delete does it"]
    return "\n".join(lines)


def _work_of(run: RunManifest, collection: Collection) -> list[Piece]:
    """Unfinished work of a run that stays."""
    keys = set(run.stages.values())
    return [piece for piece in collection.stays if piece.kind == WORK and piece.owner in keys]


def _when(run: RunManifest) -> str:
    return f"{run.time:%Y-%m-%d %H:%M} UTC"


def _sizes(pieces: tuple[Piece, ...]) -> Counter[str]:
    """Bytes by kind, and in `store` and `work` by stage; without what is unknown."""
    sizes: Counter[str] = Counter()
    for piece in pieces:
        if piece.kind != UNKNOWN:
            sizes[piece.label] += piece.bytes
    return sizes


def _entry(piece: Piece) -> dict[str, object]:
    return {"path": str(piece.path), "bytes": piece.bytes}


def _line(label: str, *cells: str) -> str:
    return f"  {label:<{LABEL}}{''.join(f'{cell:>{CELL}}' for cell in cells)}"

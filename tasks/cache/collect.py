"""What of `.mmctr` no kept run refers to, and its removal.

Kept are the runs of the newest manifests, runs whose model has an alias in the MLflow registry, runs that have not
finished, and whatever is younger than an hour. A kept run keeps the records, results and unfinished work of its stages,
its model and the one that it started from, and the vectors that its code uses; those of today's code are kept too. The
vectors that one version of the code made, with whichever CLIP model, stay or go together. What is not known to be this
cache's own is never touched, nor is MLflow, whose runs hold copies.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from string import hexdigits

from mmctr.common.errors import InputError
from tasks.cache.code_digest import FOLDER_DIGITS, VECTOR_MODULES, vectors_folder
from tasks.cache.results import STAGES
from tasks.cache.run_manifest import RunManifest, read_manifests, read_unfinished
from tasks.cache.stage import KEY_DIGITS
from tasks.cache.workspace import Workspace

GRACE_SECONDS = 3600
MEMORIES = ("lock", "locks", "digests.json", "images.parquet", "checked.json", "published.json", "tune")
RUNS, RECORDS, STORE, WORK, VECTORS, MODELS = "runs", "records", "store", "work", "vectors", "models"
UNKNOWN = "unknown"
LEVELS = {
    RUNS: 2,
    RECORDS: 2,
    STORE: 3,
    WORK: 3,
    VECTORS: 2,
    MODELS: 2,
}  # below `.mmctr` of the pieces of each kind
ORDER = (RUNS, RECORDS, STORE, WORK, VECTORS, MODELS)  # a manifest goes before what it names, a record before its files


@dataclass(frozen=True)
class Piece:
    """Something below `.mmctr` that stays or goes as a whole."""

    kind: str  # a folder of `.mmctr`, or unknown
    owner: str  # what keeps it: a manifest's name, a cache key, the version of vectors, or an MLflow run
    path: Path  # relative to `.mmctr`
    bytes: int
    modified: float  # seconds since 1970, of the youngest file in it

    @property
    def label(self) -> str:
        """Its kind, and in `store` and `work` the stage."""
        return str(self.path.parent) if self.kind in (STORE, WORK) else self.kind


@dataclass(frozen=True)
class KeptRun:
    """A run whose artifacts stay, and why."""

    manifest: RunManifest
    why: str


@dataclass(frozen=True)
class Collection:
    """What is to stay and what is to go."""

    runs: tuple[KeptRun, ...]  # the newest first
    unfinished: tuple[RunManifest, ...]  # runs that a later one can resume, the newest first
    stays: tuple[Piece, ...]
    goes: tuple[Piece, ...]  # in the order of removal
    forgotten: tuple[str, ...]  # entries of digests.json whose file is gone, or goes


def known_runs(workspace: Workspace) -> list[RunManifest]:
    """The manifests of all finished runs, the newest first.

    Raises:
        InputError: there are none, and none of an unfinished run either. Everything would go.
    """
    manifests = read_manifests(workspace)
    if not manifests and not read_unfinished(workspace):
        raise InputError(
            f"what runs use is kept, and {workspace.runs} knows of no run; start one with `mmctr run` first, or remove "
            f"{workspace.root} yourself to start from nothing"
        )
    return manifests


def plan_collection(
    workspace: Workspace,
    *,
    keep: int,
    protected_runs: Set[str] = frozenset(),
    drop_unfinished: bool = False,
    now: float | None = None,
) -> Collection:
    """Find out what no kept run refers to; nothing is removed. The caller is alone in the workspace.

    Args:
        workspace: whose `.mmctr` is looked at.
        keep: number of newest manifests whose runs are kept, at least 1.
        protected_runs: ids of MLflow runs that are kept however old they are.
        drop_unfinished: runs that have not finished are not kept.
        now: seconds since 1970; by default the clock's.

    Raises:
        InputError: `keep` is out of range, or no run is known.
    """
    if keep < 1:
        raise InputError(f"at least 1 run must be kept, --keep is {keep}; use 1 or more")
    now = time.time() if now is None else now
    runs = runs_to_keep(known_runs(workspace), keep=keep, protected_runs=protected_runs, now=now)
    unfinished = [] if drop_unfinished else read_unfinished(workspace)
    stays, goes = divide(
        inventory(workspace),
        runs=[*(run.manifest for run in runs), *unfinished],
        vectors={vectors_folder(kind) for kind in VECTOR_MODULES},
        now=now,
    )
    forgotten = workspace.gone_digests(besides=[workspace.root / piece.path for piece in goes])
    return Collection(
        runs=tuple(runs),
        unfinished=tuple(unfinished),
        stays=tuple(stays),
        goes=tuple(goes),
        forgotten=tuple(forgotten),
    )


def runs_to_keep(manifests: Sequence[RunManifest], *, keep: int, protected_runs: Set[str], now: float) -> list[KeptRun]:
    """Of `manifests`, which come newest first, the `keep` newest, those with an alias and those of the last hour."""
    kept = []
    for place, manifest in enumerate(manifests):
        if place < keep:
            kept.append(KeptRun(manifest, "newest"))
        elif manifest.mlflow_run in protected_runs:
            kept.append(KeptRun(manifest, "alias"))
        elif now - manifest.time.timestamp() < GRACE_SECONDS:
            kept.append(KeptRun(manifest, "last hour"))
    return kept


def divide(
    pieces: Sequence[Piece], *, runs: Iterable[RunManifest], vectors: Set[str], now: float
) -> tuple[list[Piece], list[Piece]]:
    """What stays and what goes, the latter in the order of removal.

    Pieces of one owner are as young as the youngest of them: a record, its results and its unfinished work.
    """
    runs = list(runs)
    keys = {key for run in runs for key in run.stages.values()}
    kept_owners = {
        RUNS: {run.file_name for run in runs},
        VECTORS: {*vectors, *(run.vectors for run in runs)},
        MODELS: {owner for run in runs for owner in (run.mlflow_run, run.ancestor)},
        **dict.fromkeys((RECORDS, STORE, WORK), keys),
    }
    youngest: dict[str, float] = {}
    for piece in pieces:
        youngest[piece.owner] = max(piece.modified, youngest.get(piece.owner, piece.modified))
    stays: list[Piece] = []
    goes: list[Piece] = []
    for piece in pieces:
        is_kept = piece.kind == UNKNOWN or piece.owner in kept_owners[piece.kind]
        (stays if is_kept or now - youngest[piece.owner] < GRACE_SECONDS else goes).append(piece)
    return stays, sorted(goes, key=lambda piece: (ORDER.index(piece.kind), piece.path))


def remove(workspace: Workspace, collection: Collection) -> None:
    """Remove what is to go. The caller is alone in the workspace.

    A process that is killed in here leaves results without a record, which nobody uses and the next one removes. A
    record without results, after a power cut, is not trusted.
    """
    for piece in collection.goes:
        path = workspace.root / piece.path
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    workspace.forget_digests(collection.forgotten)


def inventory(workspace: Workspace) -> list[Piece]:
    """All pieces below `.mmctr`; what is none of this cache's own is of the kind `unknown`."""
    root = workspace.root
    manifests = {manifest.file_name for manifest in [*read_manifests(workspace), *read_unfinished(workspace)]}
    pieces = []
    for path in (entry for top in sorted(root.iterdir()) for entry in _entries(top, LEVELS.get(top.name, 1) - 1)):
        parts = path.relative_to(root).parts
        if parts[0] not in MEMORIES:
            is_own = not path.is_symlink() and _is_own(parts, is_folder=path.is_dir(), manifests=manifests)
            size, modified = _measure(path)
            pieces.append(Piece(parts[0] if is_own else UNKNOWN, parts[-1], Path(*parts), size, modified))
    return pieces


def _is_own(parts: Sequence[str], *, is_folder: bool, manifests: Set[str]) -> bool:
    """Whether a path below `.mmctr` is the place of a piece."""
    match parts:
        case ("store" | "work", stage, key):
            return is_folder and stage in STAGES and _is_digest(key, KEY_DIGITS)
        case ("vectors", version):
            return is_folder and _is_digest(version, FOLDER_DIGITS)
        case ("records", key):
            return not is_folder and _is_digest(key, KEY_DIGITS)
        case ("models", run_id):
            return is_folder and run_id.isalnum()
        case ("runs", name):
            return not is_folder and name in manifests
    return False


def _is_digest(name: str, digits: int) -> bool:
    return len(name) == digits and set(name) <= set(hexdigits.lower())


def _entries(path: Path, levels: int) -> Iterator[Path]:
    """What is `levels` levels below `path`, and files at the levels between."""
    if levels == 0 or not path.is_dir():
        yield path
    else:
        for entry in sorted(path.iterdir()):
            yield from _entries(entry, levels - 1)


def _measure(path: Path) -> tuple[int, float]:
    """Bytes of a file or of all files in a folder, and when the youngest was modified; of an empty folder itself."""
    if not path.is_dir() or path.is_symlink():
        files = [path.lstat()]
    else:
        files = [Path(folder, name).lstat() for folder, _, names in os.walk(path) for name in names]
    modified = max((status.st_mtime for status in files), default=path.lstat().st_mtime)
    return sum(status.st_size for status in files), modified

"""Files of earlier trainings: fetched from their MLflow runs into `.mmctr/models`, and anew where a copy is damaged.

That a file is gone or damaged in MLflow itself is another matter than a store that does not answer: the first is
`LostFileError`, the second whatever the store's client raises, since it may answer again in a moment.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException

from mmctr.common.errors import InputError
from mmctr.common.files import PARTIAL, file_sha256, replacing
from mmctr.common.text import first_line
from tasks.cache.run_manifest import read_manifests
from tasks.cache.workspace import STORED, FileRef, Workspace
from tasks.tracking.store import NOT_FOUND, Tracker
from tasks.tracking.training_run import CHECKPOINT, PCA

ITEM_EMBEDDINGS = f"embedding/{STORED['item_embeddings']}"  # artifact
DIGEST_TAG = "mmctr.sha256."  # and an artifact's name


class LostFileError(InputError):
    """A file that a training should have in MLflow is gone, damaged or of another kind; the store itself answers."""


def fetch(tracker: Tracker, run_id: str, artifact: str, *, workspace: Workspace) -> FileRef:
    """An artifact of a training's run, whole and of its kind, as a file below BASE_PATH.

    Raises:
        LostFileError: there is no such run or artifact, or it is damaged in MLflow.
        MlflowException, OSError: the store does not answer, or the disk does not take the file.
    """
    run = _existing(tracker, run_id)
    path = workspace.models / run_id / Path(artifact).name
    known = run.data.tags.get(DIGEST_TAG + path.name)
    with workspace.locks.of_models():  # else another run might replace what this one is reading already
        if not path.is_file() or _damage(path, known, digest=workspace.file_ref(path).sha256):
            _make_room(path)
            with (
                TemporaryDirectory(dir=path.parent, prefix=".", suffix=PARTIAL) as folder,
                replacing(path) as partial,
            ):
                found = _download(tracker, run_id, artifact, folder=folder)
                damage = _damage(found, known, digest=file_sha256(found))
                if damage is not None:
                    raise _lost(run_id, f"its {artifact} is damaged ({damage})")
                found.replace(partial)
        return workspace.file_ref(path)


def usable_checkpoint(tracker: Tracker, run_id: str, *, workspace: Workspace) -> FileRef:
    """The checkpoint of a training, of which a model can be made.

    Raises:
        LostFileError: it is gone or damaged, or is of a format or an architecture that this program does not know.
        MlflowException, OSError: the store does not answer, or the disk does not take the file.
    """
    from mmctr.models.checkpoint import load_checkpoint, restore_model

    ref = fetch(tracker, run_id, CHECKPOINT, workspace=workspace)
    try:
        restore_model(load_checkpoint(workspace.path(ref)))
    except InputError as error:
        raise _lost(run_id, first_line(error)) from error
    return ref


def item_embeddings_of(tracker: Tracker, run_id: str, *, workspace: Workspace) -> FileRef | None:
    """`item_emb_task1_clip.parquet` of a training: from MLflow, or of a run in BASE_PATH; None where nobody has it."""
    try:
        return fetch(tracker, run_id, ITEM_EMBEDDINGS, workspace=workspace)
    except LostFileError:
        stages = [manifest.stages for manifest in read_manifests(workspace) if manifest.mlflow_run == run_id]
        paths = [workspace.store("reduce", keys["reduce"]) / Path(ITEM_EMBEDDINGS).name for keys in stages]
        whole = next((path for path in paths if path.is_file() and _read_embeddings(path) is None), None)
        return None if whole is None else workspace.file_ref(whole)


def keep_files(
    tracker: Tracker, run_id: str, *, checkpoint: FileRef, item_embeddings: FileRef | None, workspace: Workspace
) -> None:
    """Log the item embeddings of a training, once, and the digests by which its files are recognised.

    There are no item embeddings where the training had no vectors.
    """
    tags = tracker.client.get_run(run_id).data.tags
    digests = {Path(CHECKPOINT).name: checkpoint.sha256}
    if item_embeddings is not None:
        digests[Path(ITEM_EMBEDDINGS).name] = item_embeddings.sha256
        folder = str(Path(ITEM_EMBEDDINGS).parent)
        is_there = any(found.path == ITEM_EMBEDDINGS for found in tracker.client.list_artifacts(run_id, folder))
        if not is_there or tags.get(DIGEST_TAG + Path(ITEM_EMBEDDINGS).name) != item_embeddings.sha256:
            tracker.client.log_artifact(run_id, str(workspace.path(item_embeddings)), folder)
    for name, digest in digests.items():
        if tags.get(DIGEST_TAG + name) != digest:
            tracker.client.set_tag(run_id, DIGEST_TAG + name, digest)


def run_of_checkpoint(tracker: Tracker, sha256: str) -> str | None:
    """Id of the training whose checkpoint has this digest; None where the experiment has none."""
    where = f"tags.`{DIGEST_TAG}{Path(CHECKPOINT).name}` = '{sha256}'"
    found = tracker.client.search_runs([tracker.experiment_id()], where, max_results=1)
    return str(found[0].info.run_id) if found else None


def _existing(tracker: Tracker, run_id: str) -> Run:
    try:
        run = tracker.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in NOT_FOUND:
            raise _lost(run_id, "there is no such run") from error
        raise
    if run.info.lifecycle_stage != LifecycleStage.ACTIVE:
        raise _lost(run_id, "the run was deleted")
    return run


def _download(tracker: Tracker, run_id: str, artifact: str, *, folder: str) -> Path:
    try:
        return Path(tracker.client.download_artifacts(run_id, artifact, folder))
    except (MlflowException, OSError) as error:
        beside = tracker.client.list_artifacts(run_id, str(Path(artifact).parent))
        if any(found.path == artifact for found in beside):
            raise
        raise _lost(run_id, f"it has no {artifact}") from error


def _damage(path: Path, known: str | None, *, digest: str) -> str | None:
    """What is wrong with a file whose digest is `known`, or that its own reader refuses; None if nothing."""
    if known is not None:
        return None if digest == known else f"its SHA-256 is {digest[:12]}..., not {known[:12]}..."
    return READERS[path.name](path)


def _read_checkpoint(path: Path) -> str | None:
    from mmctr.models.checkpoint import load_checkpoint

    return _failure(load_checkpoint, path)


def _read_pca(path: Path) -> str | None:
    from mmctr.embedding.pca import load_pca

    return _failure(load_pca, path)


def _read_embeddings(path: Path) -> str | None:
    import polars as pl

    from mmctr.inputs.parquet import read_table

    try:
        read_table(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        return first_line(error)
    return None


def _failure(read: Callable[[Path], object], path: Path) -> str | None:
    try:
        read(path)
    except InputError as error:
        return first_line(error)
    return None


READERS: dict[str, Callable[[Path], str | None]] = {
    Path(CHECKPOINT).name: _read_checkpoint,
    Path(PCA).name: _read_pca,
    Path(ITEM_EMBEDDINGS).name: _read_embeddings,
}


def _make_room(path: Path) -> None:
    """Remove what is no file at `path`, and no folder around it: all of `.mmctr/models` can be fetched again."""
    if path.parent.is_symlink() or (path.parent.exists() and not path.parent.is_dir()):
        path.parent.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)


def _lost(run_id: str, what: str) -> LostFileError:
    return LostFileError(f"MLflow run {run_id}: {what}")

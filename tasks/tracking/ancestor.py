"""What a run starts from where its settings say so: the champion's PCA, and its weights.

The champion changes when a run's own model becomes it. The same data must not train twice for that, so a champion that
was trained on this very data is replaced by what it started from itself.
"""

from dataclasses import dataclass

from mlflow.exceptions import MlflowException

from mmctr.common.errors import InputError
from tasks.cache.workspace import FileRef, Workspace
from tasks.tracking.fetching import LostFileError, fetch
from tasks.tracking.registry import CHAMPION, Registry, Version
from tasks.tracking.store import NOT_FOUND
from tasks.tracking.training_run import ANCESTOR_TAG, CHECKPOINT, PCA

TRAINED_ON = ("items", "archive", "train", "valid", "clip_model")  # inputs that decide a model; test does not


@dataclass(frozen=True)
class Ancestor:
    """An earlier training: its MLflow run, and of its files those that are asked for."""

    run_id: str = ""
    checkpoint: FileRef | None = None
    pca: FileRef | None = None


def find_ancestor(
    registry: Registry, *, reuse_pca: bool, warm_start: bool, digests: dict[str, str], workspace: Workspace
) -> Ancestor:
    """The earlier training whose PCA, and with `warm_start` whose weights, a run starts from; an empty one for none.

    Raises:
        InputError: there should be one, and its files are gone, or its CLIP model is not this run's.
    """
    if not reuse_pca:
        return Ancestor()
    champion = registry.version_at(CHAMPION)
    if champion is None:
        return Ancestor()
    try:
        run_id, tags = champion.run_id, _tags(registry, champion.run_id)
        if all(tags.get(f"digest.{name}") == digests[name] for name in TRAINED_ON):
            run_id = tags.get(ANCESTOR_TAG, "")
            tags = _tags(registry, run_id) if run_id else {}
        if not run_id:
            return Ancestor()
        _check_space(tags.get("digest.clip_model"), digests["clip_model"], run_id=run_id, champion=champion)
        pca = fetch(registry.tracker, run_id, PCA, workspace=workspace)
        weights = fetch(registry.tracker, run_id, CHECKPOINT, workspace=workspace) if warm_start else None
    except LostFileError as error:
        raise InputError(
            f'reduce.pca = "reuse" needs the files of the champion, version {champion.number} of {registry.name}, '
            f'which cannot be read ({error}); set reduce.pca = "refit", or make another version the champion: '
            "mmctr promote BASE_PATH VERSION"
        ) from error
    return Ancestor(run_id=run_id, checkpoint=weights, pca=pca)


def _tags(registry: Registry, run_id: str) -> dict[str, str]:
    try:
        return dict(registry.client.get_run(run_id).data.tags)
    except MlflowException as error:
        if error.error_code in NOT_FOUND:
            raise LostFileError(f"there is no MLflow run {run_id}") from error
        raise


def _check_space(theirs: str | None, ours: str, *, run_id: str, champion: Version) -> None:
    """Refuse a PCA that was fitted on the vectors of another CLIP model, however wide they are.

    Raises:
        InputError: the two models differ, or nobody knows what the earlier one was.
    """
    if theirs is not None and _weights(theirs) == _weights(ours):
        return
    raise InputError(
        'reduce.pca = "reuse" and a warm start need the CLIP model whose vectors the earlier PCA was fitted on, as two '
        f"models' vectors are in different spaces; MLflow run {run_id}, from which this run would start (the champion "
        f"is version {champion.number}), had {_shown(theirs)}, and embed.model is {_shown(ours)}; set reduce.pca = "
        '"refit" and train.warm_start = false, or embed.model to the earlier one'
    )


def _weights(clip_model: str) -> str:
    """SHA-256 of the weights that an official name, or a file's digest, means."""
    if _is_digest(clip_model):
        return clip_model
    from mmctr.encoders.clip_official import official_sha256

    return official_sha256(clip_model) or clip_model


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _shown(clip_model: str | None) -> str:
    if clip_model is None:
        return "a model that is not known"
    return f"a file with SHA-256 {clip_model[:12]}..." if _is_digest(clip_model) else clip_model

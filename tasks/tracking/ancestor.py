"""What a run starts from where its settings say so: the champion's PCA, and its weights.

The champion changes when a run's own model becomes it. The same data must not train twice for that, so a champion that
was trained on this very data is replaced by what it started from itself.
"""

from dataclasses import dataclass, replace

from mlflow.exceptions import MlflowException

from mmctr.common.errors import InputError
from mmctr.embedding.space import Space, space_of_columns, space_of_model
from mmctr.encoders.names import parse_model
from tasks.cache.workspace import FileRef, Workspace
from tasks.settings.items import EmbedConfig, ReduceConfig
from tasks.tracking.fetching import LostFileError, fetch
from tasks.tracking.registry import CHAMPION, Registry, Version
from tasks.tracking.store import NOT_FOUND
from tasks.tracking.training_run import ANCESTOR_TAG, CHECKPOINT, PCA

SHA256_DIGITS = 64
TRAINED_ON = ("items", "images", "train", "valid", "clip_model")  # inputs that decide a model; test does not


@dataclass(frozen=True)
class Ancestor:
    """An earlier training: its MLflow run, and of its files those that are asked for."""

    run_id: str = ""
    checkpoint: FileRef | None = None
    pca: FileRef | None = None


def space_of_run(embed: EmbedConfig, reduce: ReduceConfig, *, clip_model: str | None) -> Space:
    """What the reduced vectors of a run's items mean; `clip_model` is the digest of that input, or an official name."""
    if embed.source == "columns":
        space = space_of_columns(embed.columns, fuse=embed.fuse)
    else:
        space = space_of_model(parse_model(embed.model).reader, clip_model or "", fuse=embed.fuse)
    return replace(space, fit=reduce.fit)


def find_ancestor(
    registry: Registry,
    *,
    reuse_pca: bool,
    warm_start: bool,
    digests: dict[str, str],
    space: Space,
    workspace: Workspace,
) -> Ancestor:
    """The earlier training whose PCA, and with `warm_start` whose weights, a run starts from; an empty one for none.

    Raises:
        InputError: there should be one, and its files are gone, or its vectors mean something else than this run's.
    """
    if not reuse_pca:
        return Ancestor()
    champion = registry.version_at(CHAMPION)
    if champion is None:
        return Ancestor()
    try:
        run_id, tags = champion.run_id, _tags(registry, champion.run_id)
        if all(tags.get(f"digest.{name}") == digests.get(name) for name in TRAINED_ON):
            run_id = tags.get(ANCESTOR_TAG, "")
            tags = _tags(registry, run_id) if run_id else {}
        if not run_id:
            return Ancestor()
        pca = fetch(registry.tracker, run_id, PCA, workspace=workspace)
        _check_space(_space_of(pca, tags, workspace=workspace), space, run_id=run_id, champion=champion)
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


def _space_of(pca: FileRef, tags: dict[str, str], *, workspace: Workspace) -> Space | None:
    """The space that a PCA was fitted in; one of an earlier version is of the means of the CLIP model of its run."""
    from mmctr.embedding.pca import load_space

    space, model = load_space(workspace.path(pca)), tags.get("digest.clip_model")
    return space_of_model("", model, fuse="mean") if space is None and model else space


def _check_space(theirs: Space | None, ours: Space, *, run_id: str, champion: Version) -> None:
    """Refuse a PCA that was fitted on vectors of another encoder, of other columns or fused otherwise, however wide.

    Raises:
        InputError: the two differ, or nobody knows what the earlier vectors were.
    """
    if theirs is not None and _by_digest(theirs) == _by_digest(ours):
        return
    raise InputError(
        'reduce.pca = "reuse" and a warm start need the kind of vectors that the earlier PCA was fitted on, as those '
        "of two models, or of other columns, are in different spaces; "
        f"MLflow run {run_id}, from which this run would start (the champion is version {champion.number}), had "
        f'{theirs or "vectors that are not known"}, and this run has {ours}; set reduce.pca = "refit" and '
        "train.warm_start = false, or the settings embed.* and reduce.fit to the earlier ones"
    )


def _by_digest(space: Space) -> Space:
    """The space with the SHA-256 of a CLIP model's weights in the place of their official name."""
    if space.source != "clip" or " " in space.content or len(space.content) == SHA256_DIGITS:
        return space
    from mmctr.encoders.clip_official import official_sha256

    return replace(space, content=official_sha256(space.content) or space.content)

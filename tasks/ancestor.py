"""What a run starts from where its settings say so: the champion's PCA, and its weights.

The champion changes when a run's own model becomes it. The same data must not train twice for that, so a champion that
was trained on this very data stands for what it started from itself.
"""

from dataclasses import dataclass

from mlflow.exceptions import MlflowException

from mmctr.errors import InputError, first_line
from tasks.config import PipelineConfig
from tasks.references import FileRef, Workspace
from tasks.registry import CHAMPION, Registry, fetch
from tasks.training_run import ANCESTOR_TAG, CHECKPOINT, PCA

TRAINED_ON = ("items", "archive", "train", "valid", "clip_model")  # inputs that decide a model; test does not


@dataclass(frozen=True)
class Ancestor:
    """An earlier training: its MLflow run, and of its files those that are asked for."""

    run_id: str = ""
    checkpoint: FileRef | None = None
    pca: FileRef | None = None


def find_ancestor(
    config: PipelineConfig, registry: Registry, *, digests: dict[str, str], workspace: Workspace
) -> Ancestor:
    """The earlier training that a run starts from; an empty one where it starts from nothing.

    Raises:
        InputError: there should be one, and its files are gone.
    """
    if config.reduce.pca == "refit":
        return Ancestor()
    champion = registry.at(CHAMPION)
    if champion is None:
        return Ancestor()
    try:
        run_id, tags = champion.run_id, registry.client.get_run(champion.run_id).data.tags
        if all(tags.get(f"digest.{name}") == digests[name] for name in TRAINED_ON):
            run_id = tags.get(ANCESTOR_TAG, "")
        if not run_id:
            return Ancestor()
        pca = fetch(registry.tracker, run_id, PCA, workspace=workspace)
        weights = fetch(registry.tracker, run_id, CHECKPOINT, workspace=workspace) if config.train.warm_start else None
    except (MlflowException, OSError) as error:
        raise InputError(
            f'reduce.pca = "reuse" needs the files of the champion, version {champion.number} of {registry.name}, '
            f'which cannot be read ({first_line(error)}); set reduce.pca = "refit", or move the alias'
        ) from error
    return Ancestor(run_id=run_id, checkpoint=weights, pca=pca)

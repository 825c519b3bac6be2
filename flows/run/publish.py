"""Whose files lie under BASE_PATH after a run: the champion's, unless it is said otherwise, and always of one model."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from mmctr.common.errors import InputError, first_line
from tasks.cache.public_files import PUBLIC, publish
from tasks.cache.results import Predicted, Reduced, Trained
from tasks.cache.stage import StageRunner
from tasks.cache.workspace import FileRef, Workspace
from tasks.predict import predict
from tasks.settings.sections import PipelineConfig
from tasks.tracking.fetching import LostFileError, fetch, item_embeddings_of, usable_checkpoint
from tasks.tracking.registry import CHAMPION, Registry, Version
from tasks.tracking.training_run import CHECKPOINT


@dataclass(frozen=True)
class Model:
    """A trained model and its files that are not of a test split."""

    name: str
    run_id: str  # MLflow run; empty where nothing but the checkpoint is known
    checkpoint: FileRef
    item_embeddings: FileRef | None

    def files(self, predicted: Predicted) -> dict[str, FileRef]:
        """All its public files, by role, with a submission that it made."""
        own = {"checkpoint": self.checkpoint, "csv": predicted.csv, "archive": predicted.archive}
        return own if self.item_embeddings is None else {**own, "item_embeddings": self.item_embeddings}


@dataclass(frozen=True)
class Outputs:
    """The public files, and in words whose they are."""

    places: dict[str, Path]
    owner: str


def model_of_run(name: str, run_id: str, *, registry: Registry, workspace: Workspace, usable: bool = False) -> Model:
    """A model with the files that its training left in MLflow; `usable` also tries whether it can be built.

    Raises:
        LostFileError: its checkpoint is gone or damaged.
    """
    tracker = registry.tracker
    if usable:
        checkpoint = usable_checkpoint(tracker, run_id, workspace=workspace)
    else:
        checkpoint = fetch(tracker, run_id, CHECKPOINT, workspace=workspace)
    embeddings = item_embeddings_of(tracker, run_id, workspace=workspace)
    return Model(name=name, run_id=run_id, checkpoint=checkpoint, item_embeddings=embeddings)


def publish_model(model: Model, predicted: Predicted, *, workspace: Workspace) -> Outputs:
    """Publish all files of one model."""
    files = model.files(predicted)
    beside = workspace.base_path / PUBLIC["checkpoint"]
    if model.item_embeddings is None and workspace.holds(
        FileRef(path=PUBLIC["checkpoint"], sha256=model.checkpoint.sha256)
    ):
        embeddings = workspace.base_path / PUBLIC["item_embeddings"]
        if embeddings.is_file():  # they lie beside this very checkpoint
            files["item_embeddings"] = workspace.file_ref(embeddings)
    places = publish(workspace, files, model=model.name, run_id=model.run_id)
    owner = model.name
    if "item_embeddings" not in files:
        owner += f"; its {PUBLIC['item_embeddings']} is not known, so that there is none beside {beside.name}"
    return Outputs(places, owner)


def publish_run(
    config: PipelineConfig,
    registry: Registry,
    runner: StageRunner,
    *,
    version: str,
    reduced: Reduced,
    trained: Trained,
    predicted: Predicted,
    test: FileRef,
) -> Outputs:
    """Publish after a run whose own model is `version`: the champion's files, with its submission for this test split.

    Where the champion's files cannot be made the run's own are published, and that is said.

    Args:
        config: all settings.
        registry: of the model.
        runner: calls `predict` where the champion is another model.
        version: of the run's own model.
        reduced: of the run.
        trained: of the run.
        predicted: of the run.
        test: the test split.
    """
    workspace = runner.workspace
    own = Model(f"{registry.name} version {version}", trained.run_id, trained.checkpoint, reduced.item_embeddings)
    champion = registry.version_at(CHAMPION)
    if champion is None or champion.run_id == trained.run_id:
        outputs = publish_model(own, predicted, workspace=workspace)
        return Outputs(outputs.places, f"{outputs.owner}, {'the champion' if champion else 'there is no champion'}")
    if config.promote.publish == "latest":
        outputs = publish_model(own, predicted, workspace=workspace)
        return Outputs(
            outputs.places,
            f"{outputs.owner}, this run's; the champion is version {champion.number} (promote.publish = latest)",
        )
    try:
        model = model_of_run(
            f"{registry.name} version {champion.number}", champion.run_id, registry=registry, workspace=workspace
        )
        its = _predicted(runner, config, test=test, checkpoint=model.checkpoint)
    except LostFileError as error:
        outputs = publish_model(own, predicted, workspace=workspace)
        return Outputs(outputs.places, f"{outputs.owner}, this run's, NOT {_missing(champion, error)}")
    outputs = publish_model(model, its, workspace=workspace)
    return Outputs(
        outputs.places,
        f"{outputs.owner}, the champion, not of this run's version {version}; "
        f"those: mmctr predict {quote(str(config.base_path))} --model {version}",
    )


def _predicted(runner: StageRunner, config: PipelineConfig, *, test: FileRef, checkpoint: FileRef) -> Predicted:
    """The champion's submission; that it cannot make one for this test split is told as a loss of it."""
    try:
        return runner(predict, config=config.predict, test=test, checkpoint=checkpoint)
    except InputError as error:
        raise LostFileError(str(error)) from error


def _missing(champion: Version, error: LostFileError) -> str:
    return f"OF THE CHAMPION, version {champion.number}, whose files cannot be made: {first_line(error)}"

"""Whose files are under BASE_PATH after a run: the champion's, unless it is said otherwise, and always of one model."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from tasks.cache.public_files import publish
from tasks.cache.results import Predicted
from tasks.cache.workspace import FileRef, Workspace
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
    has_vectors: bool = True  # False where it is known that there are no item embeddings, as its ids began at random

    def files(self, predicted: Predicted | None) -> dict[str, FileRef]:
        """All its public files, by role, with what it predicted where there is a test split."""
        own = {"checkpoint": self.checkpoint}
        if predicted is not None:
            own |= {"csv": predicted.csv, "archive": predicted.archive}
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


def model_of_version(version: Version, *, registry: Registry, workspace: Workspace, usable: bool = False) -> Model:
    """The same for a version of the registered model."""
    name = f"{registry.name} version {version.number}"
    return model_of_run(name, version.run_id, registry=registry, workspace=workspace, usable=usable)


@dataclass(frozen=True)
class Choice:
    """A model whose files are to be published, with its submission, and what is said of it besides its name.

    There is no submission where there is no test split.
    """

    model: Model
    predicted: Predicted | None
    words: str = ""


def publish_model(choice: Choice, *, workspace: Workspace) -> Outputs:
    """Publish all files of one model."""
    with workspace.locks.publishing():
        return _publish(choice, workspace=workspace)


def publish_run(
    own: Model,
    predicted: Predicted | None,
    *,
    version: str,
    which: Literal["champion", "latest"],
    registry: Registry,
    workspace: Workspace,
    submission_by: Callable[[FileRef], Predicted | None],
) -> Outputs:
    """Publish after a run whose own model is `version`: the champion's files, with its submission for this test split.

    Where the champion's files cannot be made the run's own are published, and that is said. Where another run makes
    another model the champion meanwhile, that one's are published.

    Args:
        own: the run's model.
        predicted: its submission; None where there is no test split.
        version: its version.
        which: the model whose files are published, the setting `promote.publish`.
        registry: of the model.
        workspace: in whose BASE_PATH the files are put.
        submission_by: makes the submission of the model in a checkpoint.
    """
    while True:
        champion = registry.version_at(CHAMPION)
        if champion is None or champion.run_id == own.run_id:
            choice = Choice(own, predicted, f", {'the champion' if champion else 'there is no champion'}")
        elif which == "latest":
            words = f", this run's; the champion is version {champion.number} (promote.publish = latest)"
            choice = Choice(own, predicted, words)
        else:
            words = (
                f", the champion, not of this run's version {version}; "
                f"those: mmctr predict {quote(str(workspace.base_path))} --model {version}"
            )
            try:
                model = model_of_version(champion, registry=registry, workspace=workspace)
                choice = Choice(model, _predicted(model.checkpoint, submission_by), words)
            except LostFileError as error:
                choice = Choice(own, predicted, f", this run's, NOT {_missing(champion, error)}")
        with workspace.locks.publishing():
            now = registry.version_at(CHAMPION)
            if (now and now.number) == (champion and champion.number):
                return _publish(choice, workspace=workspace)


def _publish(choice: Choice, *, workspace: Workspace) -> Outputs:
    """Publish all files of one model; the caller has the lock."""
    model, files, public = choice.model, choice.model.files(choice.predicted), workspace.public
    beside = workspace.base_path / public["checkpoint"]
    if model.item_embeddings is None and workspace.holds(
        FileRef(path=public["checkpoint"], sha256=model.checkpoint.sha256)
    ):
        embeddings = workspace.base_path / public["item_embeddings"]
        if embeddings.is_file():  # they are beside this very checkpoint
            files["item_embeddings"] = workspace.file_ref(embeddings)
    places = publish(workspace, files, model=model.name, run_id=model.run_id)
    owner = model.name
    if "item_embeddings" not in files and model.has_vectors:
        owner += f"; its {public['item_embeddings']} is not known, so that there is none beside {beside.name}"
    return Outputs(places, owner + choice.words)


def _predicted(checkpoint: FileRef, submission_by: Callable[[FileRef], Predicted | None]) -> Predicted | None:
    """The champion's submission; that it cannot make one for this test split counts as a loss of it."""
    try:
        return submission_by(checkpoint)
    except InputError as error:
        raise LostFileError(str(error)) from error


def _missing(champion: Version, error: LostFileError) -> str:
    return f"OF THE CHAMPION, version {champion.number}, whose files cannot be made: {first_line(error)}"

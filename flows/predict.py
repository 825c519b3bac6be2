"""A submission by a model that is there already, without training."""

import flows.process.environment  # noqa: F401  before Prefect is imported

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows.run.columns import check_columns, record_columns, with_others
from flows.run.context import registry_of, run_context
from flows.run.outputs import check_places
from flows.run.parts import parts_in, together
from flows.run.publish import Choice, Model, model_of_run, publish_model
from flows.run.settings import prediction_settings, whole_settings
from mmctr.common.errors import InputError
from mmctr.common.files import is_file
from mmctr.common.text import shown_value
from mmctr.inputs.rules import check_split
from tasks.cache.stage import StageRunner
from tasks.cache.workspace import Workspace
from tasks.predict import predict
from tasks.running.refusal import refusing
from tasks.settings.sections import PipelineConfig, home_expanded
from tasks.tracking.fetching import LostFileError, item_embeddings_of, run_of_checkpoint
from tasks.tracking.registry import Registry
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_check import check_store

RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Submission:
    """What was written, and by which model."""

    model: str
    rows: int
    cached: bool
    outputs: dict[str, Path]

    def text(self) -> str:
        """As lines of text, for a terminal."""
        lines = [f"model         {self.model}", f"submission    {self.rows} rows{', cached' if self.cached else ''}"]
        return "\n".join([*lines, "outputs", *(f"  {path}" for path in self.outputs.values())])


@flow(name="predict", flow_run_name="predict-{config.base_path.name}", validate_parameters=True)
@refusing
def predict_with(
    config: PipelineConfig, model: str = "champion", task1: str | None = None, task2: str | None = None
) -> Any:
    """Predict the test split of `config.base_path` with a trained model and make the submission.

    Args:
        config: the data folder, of which only the test split is read, and settings that go over those
            of its mmctr.toml.
        model: a version of the registered model, an alias such as champion, an MLflow run's id, or a checkpoint's path.
        task1: the same, of the model that fills the column Task1 of the challenge's submission; 0 without one.
        task2: the same for Task2.
    """
    config = whole_settings(config)
    check_columns(config.data.submission, task1=task1, task2=task2)
    context = run_context(config)
    workspace = context.workspace
    check_store(tracking_uri(), config.experiment)
    check_places(workspace)
    with workspace.running():
        test = workspace.parts_ref(check_split(config.base_path, config.data.layout, "test"))
        registry = registry_of(config)
        found = find_model(model, registry, workspace)
        named = {column: name for column, name in (("Task1", task1), ("Task2", task2)) if name is not None}
        others = {column: find_model(name, registry, workspace) for column, name in named.items()}
        checkpoints = [found.checkpoint, *(other.checkpoint for other in others.values())]
        run = StageRunner(context)
        predicted = run(
            predict,
            test=test,
            checkpoint=found.checkpoint,
            parts=together(parts_in(workspace, checkpoint) for checkpoint in checkpoints),
            task1=others["Task1"].checkpoint if "Task1" in others else None,
            task2=others["Task2"].checkpoint if "Task2" in others else None,
            **prediction_settings(config),
        )
        if others:
            record_columns(registry.tracker, {**others, "Task1&2": found}, sha256=predicted.archive.sha256)
        outputs = publish_model(Choice(with_others(found, others), predicted), workspace=workspace)
        return Submission(outputs.owner, predicted.rows, cached=run.reports[0].cached, outputs=outputs.places)


def find_model(name: str, registry: Registry, workspace: Workspace) -> Model:
    """The model that a user means by `name`.

    Raises:
        InputError: it is no file, no run, no version and no alias, or its checkpoint cannot be read.
    """
    path = home_expanded(Path(name))
    looks_like_a_path = path.name != name or bool(path.suffix)
    if looks_like_a_path and is_file(path):
        return _model_of_file(path, registry, workspace)
    version = registry.find(name)
    if version is None and is_file(path):
        return _model_of_file(path, registry, workspace)
    if version is None and not RUN_ID.fullmatch(name):
        raise InputError(
            f"a model is the path of a checkpoint, the id of an MLflow run, or a version or an alias of "
            f"{registry.name} ({registry.names()}); found {shown_value(name)}"
        )
    run_id, shown = name, f"MLflow run {name}"
    if version is not None:
        run_id, shown = version.run_id, f"{registry.name} version {version.number}"
        shown += "" if name == version.number else f" ({name})"
    try:
        return model_of_run(shown, run_id, registry=registry, workspace=workspace)
    except LostFileError as error:
        raise InputError(
            f"the checkpoint of {shown} cannot be read from {registry.tracker.uri} ({error}); "
            "choose another model, or set MLFLOW_TRACKING_URI to the store that has it"
        ) from error


def _model_of_file(path: Path, registry: Registry, workspace: Workspace) -> Model:
    """A checkpoint, with the item embeddings of its training where that is in the store."""
    checkpoint = workspace.file_ref(path.absolute())
    run_id = run_of_checkpoint(registry.tracker, checkpoint.sha256)
    embeddings = item_embeddings_of(registry.tracker, run_id, workspace=workspace) if run_id else None
    return Model(name=str(path), run_id=run_id or "", checkpoint=checkpoint, item_embeddings=embeddings)

"""A submission by a model that is there already, without training."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from prefect import flow

from flows.outputs import PUBLIC, SUBMISSION, check_places
from flows.place import place_of, registry_of
from flows.settings import whole_settings
from mmctr.errors import InputError, first_line, shown_value
from mmctr.files import is_file
from mmctr.schema import check_split
from tasks.config import PipelineConfig, home_expanded
from tasks.predict import predict
from tasks.references import FileRef, Workspace
from tasks.refusal import refusing
from tasks.registry import Registry, fetch
from tasks.stage import StageRunner
from tasks.store_address import tracking_uri
from tasks.store_check import check_store
from tasks.training_run import CHECKPOINT

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
def predict_with(config: PipelineConfig, model: str = "champion") -> Any:
    """Predict the test split of `config.base_path` with a trained model and make the submission.

    Args:
        config: the data folder, of which only MicroLens_1M_x1/test.parquet is read, and settings that go over those
            of its mmctr.toml.
        model: an alias of the registered model such as champion, an MLflow run's id, or the path of a checkpoint.
    """
    config = whole_settings(config)
    workspace = Workspace(config.base_path)
    check_store(tracking_uri(), config.experiment)
    check_places(config.base_path, SUBMISSION)
    with workspace.locked():
        test = workspace.file_ref(check_split(config.base_path, "test"))
        checkpoint, name = find_model(model, registry_of(config), workspace)
        run = StageRunner(place_of(config), config=config.run)
        predicted = run(predict, config=config.predict, test=test, checkpoint=checkpoint)
        outputs = {role: workspace.publish(getattr(predicted, role), PUBLIC[role]) for role in SUBMISSION}
        return Submission(model=name, rows=predicted.rows, cached=run.reports[0].cached, outputs=outputs)


def find_model(model: str, registry: Registry, workspace: Workspace) -> tuple[FileRef, str]:
    """The checkpoint that a user means by `model`, and what it is called.

    Raises:
        InputError: `model` is no file, no run and no alias, or its checkpoint cannot be read.
    """
    path = home_expanded(Path(model))
    if is_file(path):
        return workspace.file_ref(path.absolute()), str(path)
    run_id, name = model, f"MLflow run {model}"
    if not RUN_ID.fullmatch(model):
        version = registry.at(model)
        if version is None:
            aliases = sorted(alias for known in registry.versions() for alias in known.aliases)
            raise InputError(
                f"a model is the path of a checkpoint, the id of an MLflow run, or an alias of {registry.name} "
                f"({', '.join(aliases) or 'there is none yet; run the pipeline first'}); found {shown_value(model)}"
            )
        run_id, name = version.run_id, f"{registry.name} version {version.number} ({model})"
    try:
        return fetch(registry.tracker, run_id, CHECKPOINT, workspace=workspace), name
    except (MlflowException, OSError) as error:
        raise InputError(
            f"the checkpoint of {name} cannot be read from {registry.tracker.uri} ({first_line(error)}); "
            "give another model, or set MLFLOW_TRACKING_URI to the store that has it"
        ) from error

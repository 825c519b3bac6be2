"""MLflow: the store, its experiment, and what is asked and told of a run as a whole.

Only run ids and the client are used, as MLflow's notion of an active run is bound to a thread.
"""

import logging
import os
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from mmctr.errors import InputError, first_line
from tasks.config import Section
from tasks.mlflow_database import make_database

UI_HOST, UI_PORT = "127.0.0.1", 5000  # of `make ui`; MLFLOW_PORT is another port
SUBMISSION_TAG = "mmctr.submission_sha256"
FLOW_RUN_TAG = "prefect.flow_run_id"
UNKNOWN_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # no such run, or no run's id at all

logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it logs with a stack trace


class Tracker:
    """The MLflow store at `uri` and one experiment in it."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        database = local_database(uri)
        if database is not None:
            make_database(database)
        self.client = MlflowClient(uri)

    def is_finished(self, run_id: str) -> bool:
        """Whether the run is there, not deleted, and ended well.

        Raises:
            InputError: the store does not answer, so nobody knows.
        """
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in UNKNOWN_RUN:
                return False
            raise unanswered(self.uri, error) from error
        return run.info.lifecycle_stage == LifecycleStage.ACTIVE and run.info.status == "FINISHED"

    def experiment_id(self) -> str:
        """Id of the experiment, which is made where it is missing, its artifacts beside a local store."""
        found = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            database = local_database(self.uri)
            location = None if database is None else (database.parent / "artifacts" / self.experiment).as_uri()
            return self.client.create_experiment(self.experiment, artifact_location=location)
        if found.lifecycle_stage == LifecycleStage.DELETED:
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def run_address(self, run_id: str) -> str:
        """Address of the run's page; a store without a server of its own is served by `make ui`."""
        experiment = self.client.get_run(run_id).info.experiment_id
        server = self.uri.rstrip("/") if self.uri.startswith("http") else ui_address()
        return f"{server}/#/experiments/{experiment}/runs/{run_id}?workflowType=machine_learning"

    def attach_submission(self, run_id: str, archive: Path, *, sha256: str, config: Section) -> None:
        """Make `prediction.zip` an artifact of the run, once for the same bytes, with its settings as tags."""
        if self.client.get_run(run_id).data.tags.get(SUBMISSION_TAG) != sha256:
            self.client.log_artifact(run_id, str(archive), "submission")
            settings = config.model_dump(mode="json").items()
            tags = [RunTag(f"predict.{name}", str(value)) for name, value in settings]
            self.client.log_batch(run_id, tags=[*tags, RunTag(SUBMISSION_TAG, sha256)])

    def end_runs_of(self, flow_run_id: str, *, status: str, note: str) -> None:
        """Give the final `status` and a note to runs of a Prefect flow run that nobody works on any more."""
        running = f"attributes.status = 'RUNNING' and tags.`{FLOW_RUN_TAG}` = '{flow_run_id}'"
        for run in self.client.search_runs([self.experiment_id()], running):
            self.client.set_terminated(run.info.run_id, status)
            self.client.set_tag(run.info.run_id, MLFLOW_RUN_NOTE, note[:5000])


def ui_address() -> str:
    """Where `make ui` serves MLflow's pages."""
    return f"http://{UI_HOST}:{os.environ.get('MLFLOW_PORT') or UI_PORT}"


def default_tracking_uri(project: Path) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the SQLite store `mlruns/mlflow.db` of the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project / 'mlruns' / 'mlflow.db'}"


def unanswered(uri: str, error: MlflowException) -> InputError:
    """What a user is told of a store that does not answer."""
    return InputError(
        f"the MLflow store at {uri} must answer, and does not ({first_line(error)}); "
        "start it, or set MLFLOW_TRACKING_URI to another one"
    )


def local_database(uri: str) -> Path | None:
    """File of a local SQLite store, None for any other store."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix).partition("?")[0]).absolute() if uri.startswith(prefix) else None

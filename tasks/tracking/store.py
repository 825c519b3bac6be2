"""MLflow: the store, its experiment, and what is read and written of a run as a whole.

Only run ids and the client are used, as MLflow's notion of an active run is bound to a thread.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

from tasks.cache.unkeyed import Unkeyed
from tasks.settings.base import Section
from tasks.tracking.mlflow_database import make_database
from tasks.tracking.store_address import local_database
from tasks.tracking.store_calls import StoreClient
from tasks.tracking.store_move import artifact_folder, follow_moves

SUBMISSION = "submission"  # folder of artifacts
UI_HOST, UI_PORT = "127.0.0.1", 5000  # of `make ui`; MLFLOW_PORT is another port
SUBMISSION_TAG = "mmctr.submission_sha256"
FLOW_RUN_TAG = "prefect.flow_run_id"
NOT_FOUND = (
    "RESOURCE_DOES_NOT_EXIST",
    "INVALID_PARAMETER_VALUE",
)  # no such run or model, or no possible name of one

logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it raises what it logs with a stack trace


class Tracker(Unkeyed):
    """The MLflow store at `uri` and one experiment in it.

    Its client, and whoever uses it, asks again after each of `pauses` (seconds) where the store does not answer, and
    raises `StoreError` where it still does not (tasks/tracking/store_calls.py).
    """

    def __init__(self, uri: str, experiment: str, *, pauses: Sequence[float] = ()) -> None:
        self.uri, self.experiment, self.pauses = uri, experiment, tuple(pauses)
        database = local_database(uri)
        if database is not None:
            make_database(database)
            follow_moves(database)
        self.client = cast(MlflowClient, StoreClient(uri, pauses=self.pauses))

    def is_finished(self, run_id: str) -> bool:
        """Whether the run is there, not deleted, and ended well."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in NOT_FOUND:
                return False
            raise
        return run.info.lifecycle_stage == LifecycleStage.ACTIVE and run.info.status == "FINISHED"

    def experiment_id(self) -> str:
        """Id of the experiment, which is made where it is missing, its artifacts beside a local store."""
        found = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            database = local_database(self.uri)
            location = None if database is None else (artifact_folder(database) / self.experiment).as_uri()
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
        is_there = any(Path(file.path).name == archive.name for file in self.client.list_artifacts(run_id, SUBMISSION))
        if not is_there or self.client.get_run(run_id).data.tags.get(SUBMISSION_TAG) != sha256:
            self.client.log_artifact(run_id, str(archive), SUBMISSION)
            settings = config.model_dump(mode="json").items()
            tags = [RunTag(f"predict.{name}", str(value)) for name, value in settings]
            self.client.log_batch(run_id, tags=[*tags, RunTag(SUBMISSION_TAG, sha256)])

    def tag(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags of a run that have another value."""
        known = self.client.get_run(run_id).data.tags
        changed = [RunTag(name, value) for name, value in tags.items() if known.get(name) != value]
        if changed:
            self.client.log_batch(run_id, tags=changed)

    def end_runs_of(self, flow_run_id: str, *, status: str, note: str) -> None:
        """Set the final `status` and a note of those runs of a Prefect flow run that nobody works on any more."""
        running = f"attributes.status = 'RUNNING' and tags.`{FLOW_RUN_TAG}` = '{flow_run_id}'"
        for run in self.client.search_runs([self.experiment_id()], running):
            self.client.set_terminated(run.info.run_id, status)
            self.client.set_tag(run.info.run_id, MLFLOW_RUN_NOTE, note[:5000])


def ui_address() -> str:
    """Where `make ui` serves MLflow's pages."""
    return f"http://{UI_HOST}:{os.environ.get('MLFLOW_PORT') or UI_PORT}"

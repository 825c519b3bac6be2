"""MLflow: one run for each training, told as it happens, and taken up again when the training is.

Only run ids and the client are used, as MLflow's notion of an active run is bound to a thread.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LifecycleStage, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from prefect.runtime import flow_run

from mmctr.files import write_bytes
from mmctr.training import Epoch
from tasks.config import Section
from tasks.model_logging import log_din_model, log_pca_model
from tasks.plots import auc_figure, explained_variance_figure
from tasks.references import Workspace
from tasks.stage import Lineage

SUBMISSION_TAG = "mmctr.submission_sha256"
FLOW_RUN_TAG = "prefect.flow_run_id"
DATASET_DIGEST_LIMIT = 36  # characters, MLflow's own


class Tracker:
    """The MLflow store at `uri` and one experiment in it."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        folder = store_folder(uri)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(uri)

    def is_finished(self, run_id: str) -> bool:
        """Whether the run is there, not deleted, and ended well."""
        try:
            run = self.client.get_run(run_id)
        except MlflowException:
            return False
        return run.info.lifecycle_stage == LifecycleStage.ACTIVE and run.info.status == "FINISHED"

    def experiment_id(self) -> str:
        """Id of the experiment, which is made where it is missing, its artifacts beside a local store."""
        found = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            folder = store_folder(self.uri)
            location = None if folder is None else (folder / "artifacts" / self.experiment).as_uri()
            return self.client.create_experiment(self.experiment, artifact_location=location)
        if found.lifecycle_stage == LifecycleStage.DELETED:
            self.client.restore_experiment(found.experiment_id)
        return found.experiment_id

    def run_page(self, run_id: str) -> str:
        """Path of the run's page below the address of the MLflow user interface."""
        return f"/#/experiments/{self.client.get_run(run_id).info.experiment_id}/runs/{run_id}"

    @contextmanager
    def training_run(self, memory: Path, *, config: Section, lineage: Lineage, rows: int) -> Iterator["TrainingRun"]:
        """The run of a training; FINISHED at the end, KILLED or FAILED with the message as a tag otherwise.

        Args:
            memory: file that holds the run's id while the training is unfinished, so that a later process takes it up.
            config: settings of the training.
            lineage: settings, digests and counts of what came before.
            rows: train rows.
        """
        run_id = self._reopen(memory) or self._open(memory)
        run = TrainingRun(self, run_id)
        run.log_start(config=config, lineage=lineage, rows=rows)
        try:
            yield run
        except BaseException as error:
            run.end("FAILED" if isinstance(error, Exception) else "KILLED", message=f"{type(error).__name__}: {error}")
            raise
        run.end("FINISHED")

    def attach_submission(self, run_id: str, archive: Path, *, sha256: str) -> None:
        """Make `prediction.zip` an artifact of the run, once for the same bytes."""
        if self.client.get_run(run_id).data.tags.get(SUBMISSION_TAG) != sha256:
            self.client.log_artifact(run_id, str(archive), "submission")
            self.client.set_tag(run_id, SUBMISSION_TAG, sha256)

    def _open(self, memory: Path) -> str:
        run = self.client.create_run(self.experiment_id(), run_name=flow_run.name or "pipeline")
        write_bytes(memory, run.info.run_id.encode())
        return str(run.info.run_id)

    def _reopen(self, memory: Path) -> str | None:
        """Id of the unfinished run in `memory`, set to running; None when there is none that can go on."""
        try:
            run_id = memory.read_text().strip()
            if self.client.get_run(run_id).info.lifecycle_stage != LifecycleStage.ACTIVE:
                return None
        except (OSError, UnicodeDecodeError, MlflowException):
            return None
        self.client.update_run(run_id, status="RUNNING")
        return run_id


class TrainingRun:
    """One MLflow run while its training goes on."""

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.tracker, self.client, self.run_id = tracker, tracker.client, run_id
        self.logged = {metric.step for metric in self.client.get_metric_history(run_id, "valid_auc")}

    def log_start(self, *, config: Section, lineage: Lineage, rows: int) -> None:
        """Parameters, digests, data sets, counts and the flow run; the same again when a run is taken up."""
        training = {f"train.{name}": value for name, value in config.model_dump(mode="json").items()}
        params = [Param(name, str(value)[:6000]) for name, value in {**lineage.params, **training}.items()]
        tags = [RunTag(f"digest.{name}", digest) for name, digest in lineage.digests.items()]
        if flow_run.id:
            tags.append(RunTag(FLOW_RUN_TAG, str(flow_run.id)))
        if flow_run.ui_url:
            tags.append(RunTag("prefect.flow_run_url", flow_run.ui_url))
        self.client.log_batch(self.run_id, params=params, tags=tags)
        self.log_metrics({**lineage.counts, "train.rows": rows}, step=0)
        inputs = self.client.get_run(self.run_id).inputs
        if inputs is None or not inputs.dataset_inputs:
            self.client.log_inputs(self.run_id, [_dataset(name, digest) for name, digest in lineage.digests.items()])

    def log_metrics(self, values: dict[str, float], *, step: int) -> None:
        """Metrics of one step in one transaction."""
        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(name, float(value), now, step) for name, value in values.items()])

    def log_epoch(self, epoch: Epoch) -> None:
        """Figures of an epoch, unless an earlier process logged them."""
        if epoch.epoch not in self.logged:
            names = ("train_loss", "valid_auc", "valid_logloss", "learning_rate", "rows_per_second")
            self.log_metrics({name: getattr(epoch, name) for name in names}, step=epoch.epoch)
            self.logged.add(epoch.epoch)

    def log_outcome(self, history: Sequence[Epoch], *, best: Epoch) -> None:
        """The best epoch's figures and the plot of all."""
        final = {"best_epoch": best.epoch, "best_valid_auc": best.valid_auc, "best_valid_logloss": best.valid_logloss}
        self.log_metrics(final, step=best.epoch)
        self.client.log_figure(self.run_id, auc_figure(history), "plots/valid_auc.png")

    def log_files(self, workspace: Workspace, *, lineage: Lineage, checkpoint: Path, epochs: Path) -> None:
        """The checkpoint, the PCA model with its plot, and the reports of the stages."""
        self.client.log_artifact(self.run_id, str(checkpoint), "checkpoint")
        self.client.log_artifact(self.run_id, str(epochs), "checkpoint")
        self.client.log_artifact(self.run_id, str(workspace.path(lineage.pca)), "pca")
        self.client.log_figure(
            self.run_id, explained_variance_figure(workspace.path(lineage.pca)), "plots/explained_variance.png"
        )
        for name, report in lineage.reports.items():
            self.client.log_artifact(self.run_id, str(workspace.path(report)), f"reports/{name}")

    def log_models(self, *, checkpoint: Path, table: Path, pca: Path) -> None:
        """The model that scores clicks and the PCA model, as models that MLflow can load; once for a run."""
        outputs = self.client.get_run(self.run_id).outputs
        if outputs is not None and outputs.model_outputs:
            return
        log_pca_model(self.tracker.uri, self.run_id, pca=pca)
        log_din_model(self.tracker.uri, self.run_id, checkpoint=checkpoint, table=table)

    def end(self, status: str, *, message: str = "") -> None:
        """Set the final status; a message stands as the run's note."""
        if message:
            self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, message[:5000])
        self.client.set_terminated(self.run_id, status)


def _dataset(name: str, digest: str) -> DatasetInput:
    short = digest[:DATASET_DIGEST_LIMIT]
    return DatasetInput(Dataset(name=name, digest=short, source_type="local", source=f'{{"uri": "{name}"}}'), tags=[])


def default_tracking_uri(project: Path) -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else the SQLite store `mlruns/mlflow.db` of the project."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project / 'mlruns' / 'mlflow.db'}"


def store_folder(uri: str) -> Path | None:
    """Folder of a local SQLite store, None for any other store."""
    prefix = "sqlite:///"
    return Path(uri.removeprefix(prefix)).absolute().parent if uri.startswith(prefix) else None

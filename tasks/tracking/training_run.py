"""One MLflow run for each training: written while it trains, and resumed when the training is."""

import logging
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from prefect.runtime import flow_run

from mmctr.common.files import write_bytes
from mmctr.common.text import first_line
from tasks.cache.results import Result, Trained
from tasks.cache.workspace import STORED, Workspace
from tasks.running.pruned import PrunedError
from tasks.settings.base import Section
from tasks.tracking.lineage import Lineage
from tasks.tracking.store import FLOW_RUN_TAG, Tracker
from tasks.tracking.store_calls import call, hurried
from tasks.tracking.trial import NO_TRIAL, Trial

if TYPE_CHECKING:  # PyTorch and Matplotlib are loaded when there is something to log
    from mmctr.training.state import Epoch

TRAINING_TAG = "mmctr.training"
MEMORY = "training_name"  # file in the unfinished work of a training, and in the folder of a search
OF_TRAININGS = f"work/train/*/{MEMORY}"  # below .mmctr
REASON_TAG, ANCESTOR_TAG = "mmctr.reason", "mmctr.ancestor"
CHECKPOINT, PCA, AUC_PLOT = f"checkpoint/{STORED['checkpoint']}", "pca/pca.npz", "plots/valid_auc.png"  # artifacts
VARIANCE_PLOT = "plots/explained_variance.png"
DATASET_DIGEST_LIMIT = 36  # characters, MLflow's own

logger = logging.getLogger(__name__)


class TrainingRun:
    """One MLflow run while its training goes on."""

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.tracker, self.client, self.run_id = tracker, tracker.client, run_id
        self.logged = {metric.step for metric in self.client.get_metric_history(run_id, "valid_auc")}

    def log_start(self, *, settings: Mapping[str, Section], lineage: Lineage, rows: int) -> None:
        """Parameters, digests, data sets, counts and the flow run.

        A run that is resumed keeps its parameters, as MLflow lets none change: stages before training may have run with
        other settings since, to the same result.
        """
        training = {name: value for path, section in settings.items() for name, value in _params(path, section)}
        known = self.client.get_run(self.run_id).data.params
        new = {name: value for name, value in {**lineage.params, **training}.items() if name not in known}
        params = [Param(name, str(value)[:6000]) for name, value in new.items()]
        tags = [RunTag(f"digest.{name}", digest) for name, digest in lineage.digests.items()]
        tags += [RunTag(name, value) for name, value in lineage.tags.items()]
        tags.append(RunTag(REASON_TAG, lineage.reason))
        if lineage.ancestor:
            tags.append(RunTag(ANCESTOR_TAG, lineage.ancestor))
        if flow_run.id:
            tags.append(RunTag(FLOW_RUN_TAG, str(flow_run.id)))
        if (page := flow_run.ui_url or "").startswith("http"):  # without a server of its own a run has no page
            tags.append(RunTag("prefect.flow_run_url", page))
            tags.append(RunTag(MLFLOW_RUN_NOTE, f"[Prefect flow run {flow_run.name}]({page})"))
        self.client.log_batch(self.run_id, params=params, tags=tags)
        self.log_once({**lineage.counts, "train.rows": rows}, step=0)
        inputs = self.client.get_run(self.run_id).inputs
        if inputs is None or not inputs.dataset_inputs:
            self.client.log_inputs(self.run_id, [_dataset(name, digest) for name, digest in lineage.digests.items()])

    def log_metrics(self, values: dict[str, float], *, step: int) -> None:
        """Metrics of one step in one transaction."""
        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(name, float(value), now, step) for name, value in values.items()])

    def log_once(self, values: dict[str, float], *, step: int) -> None:
        """Metrics that have one value in a run, unless an earlier process logged the same."""
        known = self.client.get_run(self.run_id).data.metrics
        self.log_metrics({name: value for name, value in values.items() if known.get(name) != value}, step=step)

    def log_epoch(self, epoch: "Epoch") -> None:
        """Figures of a validation, unless an earlier process logged them."""
        if epoch.number not in self.logged:
            values = {name: value for name, value in asdict(epoch).items() if value is not None and name != "step"}
            if epoch.step is None:  # the number is the epoch's
                del values["epoch"]
            self.log_metrics(values, step=epoch.number)
            self.logged.add(epoch.number)

    def log_device(self, device: str) -> None:
        """Where the training computes: a result of one device is served on others too."""
        self.client.set_tag(self.run_id, "train.device", device)

    def log_outcome(self, history: Sequence["Epoch"], *, best: dict[str, float]) -> None:
        """The best epoch's figures and the plot of all."""
        from tasks.tracking.plots import auc_plot

        self.log_once(
            {f"best_{name}": value for name, value in best.items()}, step=int(best.get("step", best["epoch"]))
        )
        self.log_plot(lambda: auc_plot(history), AUC_PLOT)

    def log_files(self, workspace: Workspace, *, lineage: Lineage, checkpoint: Path, epochs: Path) -> None:
        """The checkpoint, the PCA model with its plot where there is one, and the reports of the stages."""
        from tasks.tracking.plots import explained_variance_plot

        self.client.log_artifact(self.run_id, str(checkpoint), "checkpoint")
        self.client.log_artifact(self.run_id, str(epochs), "checkpoint")
        if lineage.pca is not None:
            pca = workspace.path(lineage.pca)
            self.client.log_artifact(self.run_id, str(pca), "pca")
            self.log_plot(lambda: explained_variance_plot(pca), VARIANCE_PLOT)
        for name, report in lineage.reports.items():
            self.client.log_artifact(self.run_id, str(workspace.path(report)), f"reports/{name}")

    def log_plot(self, draw: Callable[[], bytes], name: str) -> None:
        """A plot as an artifact; it is for the eye alone, so one that cannot be drawn here costs no training."""
        try:
            content = draw()
        except Exception as problem:
            logger.warning("no plot %s in MLflow: %s", name, first_line(problem))
            return
        with TemporaryDirectory() as folder:
            file = Path(folder, Path(name).name)
            file.write_bytes(content)
            self.client.log_artifact(self.run_id, str(file), str(Path(name).parent))

    def log_models(self, *, checkpoint: Path, pca: Path | None) -> None:
        """The model that scores clicks and the PCA model where there is one, as MLflow loads them; each once for a run.

        A model that was left unfinished is no output of the run; it is deleted and logged anew.
        """
        call(lambda: self._log_models(checkpoint=checkpoint, pca=pca), uri=self.tracker.uri, pauses=self.tracker.pauses)

    def _log_models(self, *, checkpoint: Path, pca: Path | None) -> None:
        from tasks.tracking.model_logging import log_din_model, log_pca_model

        run = self.client.get_run(self.run_id)
        whole = set() if run.outputs is None else {output.model_id for output in run.outputs.model_outputs}
        names = set()
        for model in self.client.search_logged_models([run.info.experiment_id], f"source_run_id = '{self.run_id}'"):
            if model.model_id in whole:
                names.add(model.name)
            else:
                self.client.delete_logged_model(model.model_id)
        if pca is not None and "pca" not in names:
            log_pca_model(self.tracker.uri, self.run_id, pca=pca)
        if "din" not in names:
            log_din_model(self.tracker.uri, self.run_id, checkpoint=checkpoint)

    def end(self, status: str) -> None:
        """Set the final status."""
        self.client.set_terminated(self.run_id, status)

    def end_badly(self, error: BaseException) -> None:
        """Mark the run FAILED, or KILLED by a signal, with the error as its note; never hides `error` by another."""
        out_of_time = isinstance(error, CancelledError)  # as Prefect ends a task at its time limit
        note = "run.timeout was over" if out_of_time else f"{type(error).__name__}: {error}"[:5000]
        try:
            with hurried():
                self.end("FAILED" if out_of_time or isinstance(error, Exception) else "KILLED")
                self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, note)
        except Exception as problem:  # the store may be on the very disk that is full
            logger.warning("MLflow run %s could not be marked as ended: %s", self.run_id, first_line(problem))


@contextmanager
def training_run(
    tracker: Tracker,
    memory: Path,
    *,
    settings: Mapping[str, Section],
    lineage: Lineage,
    rows: int,
    trial: Trial = NO_TRIAL,
) -> Iterator[TrainingRun]:
    """The run of a training; FINISHED at the end, KILLED or FAILED with the message as a tag otherwise.

    One that is pruned is FINISHED too, with the reason as its note.

    Args:
        tracker: the store, and the experiment in it.
        memory: file that names the training while it is unfinished, so that a later process resumes its run.
        settings: of the training, by the name of their section.
        lineage: settings, digests and counts of what came before.
        rows: train rows.
        trial: of a search, whose run it is nested in.
    """
    run = TrainingRun(tracker, open_run(tracker, training_name(memory), name=trial.name, tags=trial.tags))
    try:
        run.log_start(settings=settings, lineage=lineage, rows=rows)
        yield run
    except PrunedError as pruned:
        run.client.set_tag(run.run_id, MLFLOW_RUN_NOTE, str(pruned))
        run.end("FINISHED")
        raise
    except BaseException as error:
        run.end_badly(error)
        raise
    run.end("FINISHED")


def _params(path: str, section: Section) -> Iterator[tuple[str, Any]]:
    """Settings by their whole names, those of sections within too."""
    values = section.model_dump(mode="json")
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _params(f"{path}.{name}", value)
        else:
            yield f"{path}.{name}", values[name]


def open_run(tracker: Tracker, training: str, *, name: str = "", tags: Mapping[str, str] = MappingProxyType({})) -> str:
    """Id of the run that is tagged with `training`, set to running; a new one, with `name` and `tags`, where there is
    none.

    The tag comes with the run in one transaction, so a process that is killed right here leaves no run behind that
    the next one does not find.
    """
    experiment = tracker.experiment_id()
    found = tracker.client.search_runs([experiment], f"tags.`{TRAINING_TAG}` = '{training}'", max_results=1)
    if not found:
        name = name or flow_run.name or "pipeline"
        tags = {TRAINING_TAG: training, **tags}
        return str(tracker.client.create_run(experiment, tags=tags, run_name=name).info.run_id)
    run = found[0]
    tracker.client.update_run(run.info.run_id, status="RUNNING")
    if MLFLOW_RUN_NOTE in run.data.tags:  # why it ended
        tracker.client.delete_tag(run.info.run_id, MLFLOW_RUN_NOTE)
    return str(run.info.run_id)


def is_kept(result: Result, *, tracker: Tracker) -> bool:
    """Whether a stage's record counts: that of a training only as long as its MLflow run is there."""
    return not isinstance(result, Trained) or tracker.is_finished(result.run_id)


def end_left_runs(tracker: Tracker, workspace: Workspace) -> None:
    """Set runs that a killed process left RUNNING to KILLED; the training or search of such a run still resumes it."""
    locks = workspace.locks
    trainings = ((path, locks.stage_if_free("train", path.parent.name)) for path in workspace.root.glob(OF_TRAININGS))
    searches = ((path, locks.search_if_free(path.parent.name)) for path in workspace.searches.glob(f"*/{MEMORY}"))
    for memory, lock in sorted([*trainings, *searches], key=lambda one: one[0]):
        with lock as is_free:
            if is_free:  # else it goes on in another process
                _end_left_run(tracker, memory)


def _end_left_run(tracker: Tracker, memory: Path) -> None:
    with suppress(FileNotFoundError, ValueError):
        name = str(uuid.UUID(memory.read_text()))
        running = f"tags.`{TRAINING_TAG}` = '{name}' and attributes.status = 'RUNNING'"
        for run in tracker.client.search_runs([tracker.experiment_id()], running):
            tracker.client.set_terminated(run.info.run_id, "KILLED")
            tracker.client.set_tag(run.info.run_id, MLFLOW_RUN_NOTE, "its process ended without a word")


def training_name(memory: Path) -> str:
    """The name in the file `memory`, or a new one, which is written there first."""
    try:
        return str(uuid.UUID(memory.read_text()))
    except (FileNotFoundError, ValueError):
        name = str(uuid.uuid4())
        write_bytes(memory, name.encode())
        return name


def _dataset(name: str, digest: str) -> DatasetInput:
    short = digest[:DATASET_DIGEST_LIMIT]
    return DatasetInput(Dataset(name=name, digest=short, source_type="local", source=f'{{"uri": "{name}"}}'), tags=[])

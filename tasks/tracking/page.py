"""What a training shows on its flow run's page in Prefect: the link to MLflow, the epochs, the plot of the AUC.

It is for the eye alone: what cannot be shown is said in the log and stops nothing, and the rest is shown all the same.
"""

import base64
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from prefect.artifacts import create_image_artifact, create_link_artifact, create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.context import FlowRunContext, TaskRunContext

from mmctr.common.text import first_line
from tasks.running.progress import INTERVAL_SECONDS
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import AUC_PLOT

logger = logging.getLogger(__name__)


def show(name: str, make: Callable[[], Any]) -> Any:
    """What `make` returns, or None where it fails or no flow run is there to show anything on."""
    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        return None
    try:
        return make()
    except Exception as problem:
        logger.warning("the run's page lacks %s: %s", name, first_line(problem))
        return None


def show_link(tracker: Tracker, run_id: str) -> None:
    """The way to the training's page in MLflow."""
    show(
        "the link to MLflow",
        lambda: create_link_artifact(
            tracker.run_address(run_id), link_text="MLflow run", key="mlflow-run", description="The training in MLflow"
        ),
    )


def show_auc_plot(tracker: Tracker, run_id: str) -> None:
    """The AUC plot of a finished training."""
    show(
        "the plot of the AUC",
        lambda: create_image_artifact(
            _as_data_url(tracker, run_id), key="valid-auc", description="Validation AUC by epoch"
        ),
    )


def _as_data_url(tracker: Tracker, run_id: str) -> str:
    """The AUC plot of a training, whole in its address, so that the page shows it wherever MLflow is."""
    with TemporaryDirectory() as folder:
        plot = Path(tracker.client.download_artifacts(run_id, AUC_PLOT, folder)).read_bytes()
    return f"data:image/png;base64,{base64.b64encode(plot).decode()}"


class EpochTable:
    """A table that is made with the first epochs and then brought up to date, every few seconds at most."""

    def __init__(self) -> None:
        self.artifact: UUID | None = None
        self.said_at = float("-inf")

    def __call__(self, epochs: Sequence[Mapping[str, float]], *, last: bool = False) -> None:
        """Show these epochs; the `last` ones are always shown."""
        now = time.monotonic()
        if epochs and (last or now - self.said_at >= INTERVAL_SECONDS):
            self.said_at = now
            show("the table of epochs", lambda: self._show([dict(epoch) for epoch in epochs]))

    def _show(self, epochs: list[dict[str, float]]) -> None:
        if self.artifact is None:
            made = create_table_artifact(epochs, key="epochs", description="Epochs of the training")
            assert isinstance(made, UUID)
            self.artifact = made
        else:
            get_client(sync_client=True).update_artifact(self.artifact, ArtifactUpdate(data=json.dumps(epochs)))

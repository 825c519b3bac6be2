"""What a finished run leaves on its page in Prefect: summary, epochs, plot of the AUC, link to MLflow."""

import base64
import json
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.summary import Summary
from mmctr.errors import first_line
from tasks.tracking import Tracker
from tasks.training_run import AUC_PLOT

logger = logging.getLogger(__name__)


def show_on_page(summary: Summary, *, epochs: Path, tracker: Tracker) -> None:
    """Make the artifacts of a run; `epochs` is the JSON file of the training's epochs.

    They are for the eye alone, so one that cannot be made is said in the log and stops nothing.
    """
    try:
        create_markdown_artifact(summary.markdown(), key="summary", description="What this run did")
        create_table_artifact(json.loads(epochs.read_bytes()), key="epochs", description="Epochs of the training")
        create_link_artifact(
            summary.mlflow_address, link_text="MLflow run", key="mlflow-run", description="The training in MLflow"
        )
        create_image_artifact(
            _as_data_url(tracker, summary.mlflow_run), key="valid-auc", description="Validation AUC by epoch"
        )
    except Exception as problem:
        logger.warning("the run's page lacks an artifact: %s", first_line(problem))


def _as_data_url(tracker: Tracker, run_id: str) -> str:
    """The AUC plot of a training, whole in its address, so that the page shows it wherever MLflow is."""
    with TemporaryDirectory() as folder:
        plot = Path(tracker.client.download_artifacts(run_id, AUC_PLOT, folder)).read_bytes()
    return f"data:image/png;base64,{base64.b64encode(plot).decode()}"

"""What happens when a flow run ends badly without having said so itself: its MLflow run must not stay RUNNING."""

import logging
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from flows.run.settings import settings_of
from mmctr.common.text import first_line
from tasks.tracking.store import Tracker
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_calls import hurried
from tasks.tracking.store_check import check_store

logger = logging.getLogger(__name__)


def end_mlflow_runs(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 Prefect's
    """Mark MLflow runs of the flow run that are still running: FAILED, or KILLED where the process was ended.

    A worker calls this for a process that died, on its own machine.
    """
    status = "FAILED" if state.is_failed() else "KILLED"
    try:
        uri, experiment = tracking_uri(), settings_of(flow_run).experiment
        check_store(uri, experiment)  # a flow that ended as its store is dead must not wait for it minutes more
        with hurried():
            tracker = Tracker(uri, experiment)
            tracker.end_runs_of(str(flow_run.id), status=status, note=f"Prefect: {state.name}: {state.message}")
    except Exception as problem:  # the flow run has ended, and its own message must be the one that is read
        logger.warning("MLflow runs of flow run %s could not be marked as ended: %s", flow_run.id, first_line(problem))

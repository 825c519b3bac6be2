"""The settings of a flow run: what its parameters set, over the settings that come with the data folder.

So the same folder has the same settings by a command, a deployment, Prefect's form and `retrain`.
"""

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tasks.settings.load import completed
from tasks.settings.sections import PipelineConfig


def whole_settings(config: PipelineConfig) -> PipelineConfig:
    """All settings of the flow run that has begun with `config`; Prefect's page of the run then shows them all.

    Raises:
        InputError: the settings of the data folder cannot be used.
    """
    whole = completed(config)
    context = FlowRunContext.get()
    if whole is not config and context is not None and context.flow_run is not None:
        shown = {**context.flow_run.parameters, "config": whole.model_dump(mode="json")}
        with get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, parameters=shown)
    return whole


def prediction_settings(config: PipelineConfig) -> dict[str, Any]:
    """What the stage `predict` takes of the settings."""
    return {
        "config": config.predict,
        "columns": config.data.layout.click_columns,
        "row_id": config.data.row_id,
        "submission": config.data.submission,
    }


def settings_of(flow_run: FlowRun) -> PipelineConfig:
    """All settings of a flow run, by what Prefect keeps of it.

    Raises:
        InputError, ValidationError: they could not be used, so the run has done nothing.
    """
    return completed(PipelineConfig.model_validate(flow_run.parameters["config"]))

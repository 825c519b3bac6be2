"""Runs of a deployment, each started once: Prefect's server keeps what was started, for what, and how it ended.

A run carries its subject as a tag, and the subject with the number of the attempt is its idempotency key. So two that
start the same attempt at once start one run, and nothing is believed to be started that the server does not know.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.utilities.urls import url_for

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from tasks.running.refusal import refusal

FIRST_WAIT = timedelta(hours=1)  # after a fault or a crash; each later wait is twice as long
WAITING = {StateType.SCHEDULED, StateType.PENDING}


def attempts_at(subject: str) -> list[FlowRun]:
    """The runs that were started for `subject`, the latest first."""
    only = FlowRunFilter(tags=FlowRunFilterTags(all_=[subject]))
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=only, sort=FlowRunSort.EXPECTED_START_TIME_DESC)
    return sorted(runs, key=_number, reverse=True)


def start(deployment: str, *, subject: str, parameters: dict[str, Any], earlier: list[FlowRun]) -> FlowRun:
    """A new run of the deployment for `subject`, after the attempts `earlier`.

    Raises:
        InputError: there is no such deployment.
    """
    number = max(map(_number, earlier), default=0) + 1
    with get_client(sync_client=True) as client:
        try:
            found = client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            raise InputError(
                f"a training is started through the deployment {deployment}, which Prefect's server at "
                f"{client.api_url} does not have; run `prefect deploy --all` in the project's folder"
            ) from None
        return client.create_flow_run_from_deployment(
            found.id, parameters=parameters, tags=[subject], idempotency_key=f"{subject}-{number}"
        )


def why_not_again(earlier: list[FlowRun], *, again_after: timedelta) -> str | None:
    """Why no further attempt is due yet; None where one is.

    What ended well is done. What a person refused to have (cancelled) or must fix (refused) stays as it is until its
    subject changes. After a fault or a crash there is a wait that doubles, up to `again_after`. A run that has been
    running for longer than that may be one whose machine is gone.
    """
    if not earlier:
        return None
    run, state = earlier[0], earlier[0].state
    assert state is not None
    ended = f"{address(run)} %s at {_shown(state.timestamp)}"
    if state.is_completed():
        return ended % "ended well"
    if state.is_cancelled():
        return f"{ended % 'was cancelled'}; start it by hand, or change data or settings"
    message = refusal(state)
    if message is not None:
        said = first_line(InputError(message))
        return f"{ended % 'was refused'} ({said}); once that is fixed, start it by hand, or change data or settings"
    now = datetime.now(UTC)
    if state.is_final():
        due = state.timestamp + min(again_after, FIRST_WAIT * 2 ** min(_number(run) - 1, 20))
        return None if now >= due else f"{ended % 'ended badly'}; it is tried again after {_shown(due)}"
    since = f"since {_shown(state.timestamp)}"
    if state.type in WAITING:
        return f"{address(run)} waits for a worker, or for the run before it, {since}"
    return None if now - state.timestamp > again_after else f"{address(run)} runs {since}"


def address(run: FlowRun) -> str:
    """A flow run as messages name it: its page, as its name changes when it begins."""
    return f"the flow run {url_for('flow-run', obj_id=run.id) or run.id}"


def _number(run: FlowRun) -> int:
    """Which attempt a run is."""
    number = str(run.idempotency_key).rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

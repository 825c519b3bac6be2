"""Whether an MLflow server answers, and as one."""

import json
import re
from typing import Any

from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from mmctr.common.errors import InputError
from tasks.tracking.store_address import shown
from tasks.tracking.store_calls import StoreError, as_unusable, hurried
from tasks.tracking.store_folder import ANOTHER, check_artifacts, local_folder

CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
SHOWN_TEXT = 100


def check_server(address: str, experiment: str) -> None:
    """Ask a server for the experiment, once and for ten seconds at most.

    Raises:
        InputError: it does not answer, is no MLflow server, refuses this user, or keeps artifacts where this machine
            cannot write.
    """
    status, answer, text = _ask(address, "get-by-name", {"experiment_name": experiment})
    if status == 404 and answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":  # a new one will be beside this
        status, answer, text = _ask(address, "get", {"experiment_id": "0"})
        if status == 404 and answer.get("error_code") == "RESOURCE_DOES_NOT_EXIST":
            return
    if status in (401, 403):
        raise InputError(f"the MLflow server {shown(address)} refuses this user ({status}: {text}); {CREDENTIALS}")
    if status >= 500 or status in (408, 429):
        raise StoreError(
            f"the MLflow store at {shown(address)} must answer, and does not ({status}: {text}); "
            "look at its log and start it again, or set MLFLOW_TRACKING_URI to another one"
        )
    found = answer.get("experiment")
    if status != 200 or not isinstance(found, dict):
        raise InputError(
            f"MLFLOW_TRACKING_URI must be the address of an MLflow server; what answers at {shown(address)} is none "
            f"({status}: {text}); {ANOTHER}"
        )
    folder = local_folder(str(found.get("artifact_location", "")))
    if folder is not None:
        check_artifacts(folder, experiment)


def _ask(address: str, what: str, question: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    """Status, answer and first words of what a server says."""
    try:
        with hurried():
            response = http_request(
                get_default_host_creds(address),
                f"/api/2.0/mlflow/experiments/{what}",
                "GET",
                params=question,
                raise_on_status=False,
            )
    except Exception as error:
        unusable = as_unusable(error, uri=address, opening=True)
        if unusable is None:
            raise
        raise unusable from error
    try:
        answer = json.loads(response.text)
    except ValueError:
        answer = {}
    words = " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", response.text, flags=re.DOTALL).split())
    if isinstance(answer, dict) and answer.get("message"):
        words = str(answer["message"])
    return response.status_code, answer if isinstance(answer, dict) else {}, words[:SHOWN_TEXT] or "no text"

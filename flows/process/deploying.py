"""A step of `prefect deploy`: what another clone has deployed on the same server is not replaced in silence."""

import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from flows.process.terminal import MISTAKE


def keep_others(file: str = "prefect.yaml") -> None:
    """Stop the deployment where one of the same name runs the code of another folder.

    Args:
        file: the deployments that are being made; each flow has the name of its function.
    """
    here = Path.cwd()
    with get_client(sync_client=True) as client:
        for entry in yaml.safe_load(Path(file).read_text(encoding="utf-8"))["deployments"]:
            name = f"{entry['entrypoint'].rpartition(':')[2]}/{entry['name']}"
            try:
                folder = _folder(client.read_deployment_by_name(name).pull_steps)
            except ObjectNotFound:
                continue
            if folder is not None and folder.resolve() != here.resolve():
                print(
                    f"mmctr: a deployment belongs to the clone that made it; {name} at {client.api_url} runs the code "
                    f"in {folder}, this is {here}.\nTo deploy this clone beside it, choose other names for its "
                    f"deployments and work pool in {file}; to replace it, first run: prefect deployment delete {name}",
                    file=sys.stderr,
                )
                raise SystemExit(MISTAKE)


def _folder(pull_steps: list[dict[str, Any]] | None) -> Path | None:
    """The folder that runs of a deployment work in."""
    for step in pull_steps or []:
        for name, arguments in step.items():
            if name.endswith(".set_working_directory"):
                return Path(arguments["directory"])
    return None

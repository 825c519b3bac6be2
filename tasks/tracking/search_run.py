"""The MLflow run of a search, in which those of its trials are nested."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Param, RunTag
from prefect.runtime import flow_run

from tasks.tracking.store import FLOW_RUN_TAG, Tracker
from tasks.tracking.training_run import MEMORY, TrainingRun, open_run, training_name

SEARCH_TAG = "mmctr.search"  # its name, in the tags of its run and of the version that it registers
LONGEST = 6000  # letters of a parameter, MLflow's own


@contextmanager
def search_run(
    tracker: Tracker, folder: Path, *, name: str, space: Mapping[str, Any], digests: Mapping[str, str]
) -> Iterator[TrainingRun]:
    """The run of a search; FINISHED at the end, KILLED or FAILED with the message as a note otherwise.

    Args:
        tracker: the store, and the experiment in it.
        folder: of the search, in which it is written down what the run is known by.
        name: of the search.
        space: what is searched, by the names of settings.
        digests: of the inputs, by their role.
    """
    run = TrainingRun(tracker, open_run(tracker, training_name(folder / MEMORY), name=name, tags={SEARCH_TAG: name}))
    try:
        known = run.client.get_run(run.run_id).data.params
        params = [Param(f"space.{name}", json.dumps(entry)[:LONGEST]) for name, entry in space.items()]
        tags = [RunTag(f"digest.{name}", digest) for name, digest in digests.items()]
        if flow_run.id:
            tags.append(RunTag(FLOW_RUN_TAG, str(flow_run.id)))
        new = [param for param in params if param.key not in known]
        run.client.log_batch(run.run_id, params=new, tags=tags)
        yield run
    except BaseException as error:
        run.end_badly(error)
        raise
    run.end("FINISHED")


def log_file(run: TrainingRun, path: Path) -> None:
    """A file of the search as an artifact."""
    run.client.log_artifact(run.run_id, str(path), "search")

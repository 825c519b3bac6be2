"""The challenge's columns `Task1`, `Task2`, `Task1&2`, each of which may be filled by a model of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mmctr.common.errors import InputError
from mmctr.inputs.layout import Submission

if TYPE_CHECKING:  # a command looks at the columns before anything heavy is imported
    from flows.run.publish import Model
    from tasks.tracking.store import Tracker

TAGS = {"Task1": "submission.Task1", "Task2": "submission.Task2", "Task1&2": "submission.Task1and2"}
ARCHIVE_TAG = "submission.sha256"


def check_columns(submission: Submission, *, task1: str | None, task2: str | None) -> None:
    """Refuse models for columns that a submission does not have.

    Raises:
        InputError: there are such models.
    """
    given = [option for option, model in (("--task1", task1), ("--task2", task2)) if model is not None]
    if given and submission != "challenge":
        raise InputError(
            f"{' and '.join(given)} fill columns of the challenge's submission; data.submission is {submission!r}, "
            'which has one column, filled by --model; leave them out, or set data.submission to "challenge"'
        )


def with_others(model: "Model", others: "Mapping[str, Model]") -> "Model":
    """The model whose files are published, named with those that filled other columns of its submission."""
    words = "".join(f"; {column} by {other.name}" for column, other in others.items())
    return replace(model, name=model.name + words)


def record_columns(tracker: "Tracker", filled: "Mapping[str, Model]", *, sha256: str) -> None:
    """Say in MLflow which model filled which column, as tags of the runs of all these models.

    The tags are those of the last submission that a run's model took part in; `sha256` is that of its zip. A model
    that MLflow does not know is named in the tags of the others.
    """
    from mlflow.entities import RunTag

    said = {
        TAGS[column]: f"{model.name}, run {model.run_id or 'unknown'}, checkpoint {model.checkpoint.sha256}"
        for column, model in filled.items()
    }
    none = {tag: "0" for tag in TAGS.values() if tag not in said}
    tags = [RunTag(name, value[:5000]) for name, value in {**said, **none, ARCHIVE_TAG: sha256}.items()]
    for run_id in sorted({model.run_id for model in filled.values()} - {""}):
        tracker.client.log_batch(run_id, tags=tags)

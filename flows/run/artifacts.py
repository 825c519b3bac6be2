"""What a run leaves on its page in Prefect besides `tasks.tracking.page`: a cached training, and the summary."""

import json
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from flows.run.summary import Summary
from tasks.tracking.page import EpochTable, show, show_auc_plot, show_link
from tasks.tracking.store import Tracker


def show_training(run_id: str, *, epochs: Path, tracker: Tracker) -> None:
    """What a training shows of itself, where it did not run because its result is there; `epochs` is its JSON file."""
    show_link(tracker, run_id)
    EpochTable()(show("the table of epochs", lambda: json.loads(epochs.read_bytes())) or [], last=True)
    show_auc_plot(tracker, run_id)


def show_on_page(summary: Summary) -> None:
    """The summary of a finished run."""
    show(
        "the summary",
        lambda: create_markdown_artifact(summary.markdown(), key="summary", description="What this run did"),
    )

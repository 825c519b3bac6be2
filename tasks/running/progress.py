"""How far a long stage is, on the flow run's page in Prefect."""

import logging
import time
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from mmctr.common.text import first_line

INTERVAL_SECONDS = 5.0
logger = logging.getLogger(__name__)


class ProgressArtifact:
    """A progress bar that is brought up to date every few seconds; a server that is away never stops the work."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.artifact: UUID | None = None
        self.said_at = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        """Show that `done` of `total` are done; the first and the last call are always shown."""
        now = time.monotonic()
        if TaskRunContext.get() is None or (now - self.said_at < INTERVAL_SECONDS and done < total):
            return
        self.said_at, percent = now, 100 * done / max(1, total)
        try:
            if self.artifact is None:
                made = create_progress_artifact(progress=percent, description=self.description)
                assert isinstance(made, UUID)
                self.artifact = made
            else:
                update_progress_artifact(self.artifact, progress=percent)
        except Exception as problem:
            logger.debug("progress of %s could not be shown: %s", self.description, first_line(problem))

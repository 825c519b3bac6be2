"""How far a training is: one bar over all epochs that are allowed, or a line in the log each minute."""

import logging
import time
from collections.abc import Callable

from mmctr.common.progress import progress_bar

LINE_SECONDS = 60.0
logger = logging.getLogger(__name__)


class TrainingProgress:
    """Counts the rows of all epochs and says so: a bar on a terminal, lines in a log, and a call for any other page.

    Args:
        rows: of an epoch.
        epochs: that are allowed.
        done: rows that an earlier process has trained on.
        show: True for a bar, False for silence, None for a bar on a terminal and lines elsewhere.
        on_rows: called after each step with the rows done and those of all epochs.
    """

    def __init__(
        self, *, rows: int, epochs: int, done: int, show: bool | None, on_rows: Callable[[int, int], None]
    ) -> None:
        self.rows, self.epochs, self.done, self.total = rows, epochs, done, rows * epochs
        self.bar = progress_bar("training", total=self.total, done=done, unit="row", show=show)
        self.lines = show is None and self.bar.disable
        self.on_rows = on_rows
        self.said_at, self.said_rows = time.monotonic(), done

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def begin(self, epoch: int) -> None:
        """The epoch of this number begins."""
        self.bar.set_description(f"training, epoch {epoch} of at most {self.epochs}")

    def add(self, rows: int) -> None:
        """A step has trained on so many rows."""
        self.done += rows
        self.bar.update(rows)
        self.on_rows(self.done, self.total)
        now = time.monotonic()
        if self.lines and now - self.said_at >= LINE_SECONDS:
            epoch, within = divmod(self.done - 1, self.rows)
            speed = (self.done - self.said_rows) / (now - self.said_at)
            logger.info(
                "epoch %d of at most %d: %.0f%% of it done, %.0f rows/s",
                *(epoch + 1, self.epochs, 100 * (within + 1) / self.rows, speed),
            )
            self.said_at, self.said_rows = now, self.done

"""A training as a trial of a search: its run in MLflow is nested in the search's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mmctr.common.errors import InputError
from mmctr.common.text import first_line
from tasks.cache.unkeyed import Unkeyed
from tasks.running.pruned import PrunedError
from tasks.tracking.store_calls import StoreError

TRIAL_TAG = "mmctr.trial"  # number of a trial, in its run's tags


@dataclass(frozen=True)
class Trial(Unkeyed):
    """Which trial of which search a training is; one without a search is none.

    Attributes:
        search: MLflow run of the search.
        number: of the trial, from 0.
        report: called with the validation AUC of each validation; it raises PrunedError where that is enough.
    """

    search: str = ""
    number: int = 0
    report: Callable[[float], None] = lambda _: None

    @property
    def is_one(self) -> bool:
        """Whether there is a search."""
        return bool(self.search)

    @property
    def tags(self) -> dict[str, str]:
        """Those of its MLflow run."""
        return {MLFLOW_PARENT_RUN_ID: self.search, TRIAL_TAG: str(self.number)} if self.is_one else {}

    @property
    def name(self) -> str:
        """That of its MLflow run; empty for a training of its own."""
        return f"trial {self.number}" if self.is_one else ""

    @contextmanager
    def hopeless_is_pruned(self) -> Iterator[None]:
        """Let a trial that cannot be trained with its settings be one that is pruned, as other settings may be good.

        Raises:
            PrunedError: it diverged, memory did not suffice, or the model refuses its settings.
        """
        from torch import OutOfMemoryError

        try:
            yield
        except (InputError, OutOfMemoryError, MemoryError) as error:
            if not self.is_one or isinstance(error, StoreError):
                raise
            raise PrunedError(first_line(error)) from error


NO_TRIAL = Trial()

"""A training that goes on, as others see it: in MLflow, on its page in Prefect, in the log."""

from typing import TYPE_CHECKING

from tasks.cache.stage import logger
from tasks.running.progress import ProgressArtifact
from tasks.tracking.page import EpochTable, show_link
from tasks.tracking.training_run import TrainingRun
from tasks.tracking.trial import Trial

if TYPE_CHECKING:  # PyTorch is loaded when there is something to train
    from mmctr.training.state import Epoch


class ShownTraining:
    """A training that goes on, in MLflow, on its page in Prefect, and in the log."""

    def __init__(self, run: TrainingRun, trial: Trial) -> None:
        self.run, self.trial = run, trial
        self.epochs: list[dict[str, float]] = []
        self.table = EpochTable()
        self.show_progress = ProgressArtifact("training, rows of all epochs that are allowed")
        show_link(run.tracker, run.run_id)

    def add_epoch(self, epoch: "Epoch") -> None:
        """Log a validation, and tell a search of it, which may prune its trial."""
        self.run.log_epoch(epoch)
        self.epochs.append(epoch.figures)
        self.table(self.epochs)
        logger().info("%s: %s", epoch.name, _in_words(epoch))
        self.trial.report(epoch.valid_auc)

    def end(self) -> None:
        """Show all of it; the training may have stopped early."""
        self.show_progress(1, 1)
        self.table(self.epochs, last=True)


def _in_words(epoch: "Epoch") -> str:
    """The figures of a validation as a line of the log."""
    words = (
        ("train loss", epoch.train_loss, ".4f"),
        ("L2", epoch.l2_loss, ".4f"),
        ("valid AUC", epoch.valid_auc, ".4f"),
        ("valid gAUC", epoch.valid_gauc, ".4f"),
        ("valid logloss", epoch.valid_logloss, ".4f"),
        ("normalised entropy", epoch.valid_normalised_entropy, ".4f"),
        ("learning rate", epoch.learning_rate, ".2g"),
    )
    known = [f"{name} {value:{form}}" for name, value, form in words if value is not None]
    return ", ".join([*known, f"{epoch.rows_per_second:.0f} rows/s"])

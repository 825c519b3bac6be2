"""How good a search's choice is on rows that did not choose it, beside those that did."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mmctr.evaluation.halves import rows_of
from mmctr.evaluation.metrics import auc
from mmctr.evaluation.scoring import Score, auc_difference_interval, auc_standard_error, score_checkpoint
from mmctr.inputs.layout import ClickColumns, Half, HeldOut
from mmctr.models.checkpoint import load_checkpoint
from tasks.cache.workspace import FileRef, PartsRef, Workspace


@dataclass(frozen=True)
class Figure:
    """An AUC with its standard error, of so many rows."""

    auc: float
    error: float
    rows: int

    def text(self) -> str:
        """As a line has it."""
        return f"{self.auc:.4f} ± {self.error:.4f} ({self.rows:,} rows)"


@dataclass(frozen=True)
class Verdict:
    """A model's figures on both halves, and what it is better by than another on the judging one (95 % interval)."""

    choosing: Figure
    judging: Figure
    gain: tuple[float, float] | None


@dataclass(frozen=True)
class Judge:
    """The validation clicks of a search, in halves.

    Attributes:
        workspace: in which checkpoints and clicks are.
        device: to compute on.
        columns, valid, held_out: the clicks, as a training gets them.
        half: the choosing one.
    """

    workspace: Workspace
    device: str
    columns: ClickColumns
    valid: PartsRef
    held_out: HeldOut | None
    half: Half

    def check(self) -> None:
        """Refuse clicks of which a half has not both classes.

        Raises:
            InputError: with the rule.
        """
        with self.workspace.reading_table(self.valid) as clicks:
            for part in (self.half, replace(self.half, part="judging")):
                rows_of(part, clicks, label=self.columns.label, held_out=self.held_out)

    def verdict(self, checkpoint: FileRef, *, beside: FileRef | None) -> Verdict:
        """The figures of a checkpoint, and its gain over the one `beside` it."""
        with self.workspace.reading_table(self.valid) as clicks:
            judging = rows_of(
                replace(self.half, part="judging"), clicks, label=self.columns.label, held_out=self.held_out
            )
            ours = self._score(checkpoint, clicks)
            theirs = None if beside is None else self._score(beside, clicks)
        gain = None
        if theirs is not None:
            scores = ours.labels[judging], ours.logits[judging], theirs.logits[judging]
            gain = auc_difference_interval(*scores)
        return Verdict(_figure(ours, ~judging), _figure(ours, judging), gain)

    def _score(self, checkpoint: FileRef, clicks: list[Path]) -> Score:
        model = load_checkpoint(self.workspace.path(checkpoint))
        return score_checkpoint(model, clicks, device=self.device, columns=self.columns, held_out=self.held_out)


def _figure(score: Score, rows: npt.NDArray[np.bool_]) -> Figure:
    labels, logits = score.labels[rows], score.logits[rows]
    return Figure(auc(labels, logits), auc_standard_error(labels, logits), len(labels))

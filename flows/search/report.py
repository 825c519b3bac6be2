"""What a search has found, for a person: the best trial, how good it is, the table of trials, how to use it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from flows.search.judge import Verdict
from flows.search.loop import shown_number
from flows.search.study import PRESENT
from mmctr.common.text import shown

SHOWN_TRIALS, SHOWN_VALUE = 10, 60


@dataclass(frozen=True)
class Found:
    """What a search has found."""

    name: str
    base_path: Path
    trials: Sequence[FrozenTrial]
    most: int  # trials that it is to have
    best: FrozenTrial
    verdict: Verdict
    settings: Path  # TOML of the best trial's
    command: str  # that uses them
    model: str  # the registered one
    version: str
    mlflow_address: str

    def text(self) -> str:
        """As lines of text, for a terminal."""
        ended = [trial for trial in self.trials if trial.state.is_finished()]
        pruned = sum(trial.state == TrialState.PRUNED for trial in ended)
        best, verdict = self.best, self.verdict
        lines = [
            f"search        {self.name}: {len(ended)} of {self.most} trials, {pruned} of them pruned",
            *table(self.trials),
            f"best          trial {best.number}, epoch {best.user_attrs.get('best_epoch', '?')}",
            f"  AUC         {verdict.choosing.text()} on the rows that chose it",
            f"              {verdict.judging.text()} on rows that did not: what to expect",
            *self._gain(),
            f"settings      {self.settings}",
            f"  to use them {self.command}",
            f"model         {self.model} version {self.version}, no champion",
            f"  to make it  mmctr promote {quote(str(self.base_path))} {self.version}",
            f"MLflow run    {self.mlflow_address}",
        ]
        if len(ended) < self.most:
            lines.append("the same command goes on with the trials that are left")
        return "\n".join(lines)

    def _gain(self) -> list[str]:
        if self.best.user_attrs.get(PRESENT):
            return ["  gain        none: these are the settings as they were"]
        if self.verdict.gain is None:
            return []
        low, high = self.verdict.gain
        said = "is more than chance" if low > 0 else "may be chance"
        return [f"  gain        {low:+.4f} to {high:+.4f} (95 %) over the settings as they were, which {said}"]


def table(trials: Sequence[FrozenTrial]) -> list[str]:
    """The best trials with what tells them apart, in lines."""
    whole = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    ranked = sorted(whole, key=lambda trial: (-(trial.value or 0), trial.number))[:SHOWN_TRIALS]
    if not ranked:
        return []
    names = list(ranked[0].params)
    head = ["trial", "AUC", "epoch", "seconds", *names]
    rows = [
        [
            str(trial.number),
            f"{trial.value:.4f}",
            str(trial.user_attrs.get("best_epoch", "")),
            f"{trial.user_attrs.get('seconds', 0):.0f}",
            *(shown(shown_number(trial.params[name]), limit=SHOWN_VALUE) for name in names),
        ]
        for trial in ranked
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return ["  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in [head, *rows]]


def as_records(trials: Sequence[FrozenTrial]) -> list[dict[str, Any]]:
    """All trials as JSON values, for a program."""
    return [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "auc": trial.value if trial.state == TrialState.COMPLETE else None,
            "validations": [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)],
            "settings": trial.params,
            **{name: fact for name, fact in trial.user_attrs.items() if name != "key"},
        }
        for trial in trials
    ]


def records_json(trials: Sequence[FrozenTrial]) -> bytes:
    """The same as the bytes of a file."""
    return json.dumps(as_records(trials), indent=1).encode()

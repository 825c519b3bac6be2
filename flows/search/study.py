"""What a search knows of its trials: a study of Optuna's in an SQLite file, so that a killed search goes on.

Only the process of the search writes to it (`Locks.of_search`). A trial that a killed process left is begun again with
its number and its point, and what it reported before stays.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import DatabaseError

from mmctr.common.errors import InputError, as_input_error
from mmctr.common.text import first_line, shown
from tasks.settings.space import Choices, Dimension, Space
from tasks.tracking.store_address import sqlite_uri

Pruner = Literal["median", "hyperband", "none"]
FIRST_WHOLE = 5  # trials of which none is pruned by the median
IN_A_ROW = {"median": 2, "hyperband": 1, "none": 1}  # validations that must all say so, as one may be a bad one
FILE, ABOUT, PRESENT = "study.db", "about", "present"
optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class Point:
    """A trial that has begun: its number, where in the space it is, and how many validations it has reported."""

    number: int
    values: dict[str, Any]
    reported: int


class Study:
    """The trials of one search; the higher a value the better."""

    def __init__(self, folder: Path, space: Space, *, about: str, pruner: Pruner, seed: int) -> None:
        """Open the study in `folder`, or begin it.

        `about` says what its trials have in common: one study has trials of the same.

        Raises:
            InputError: the file cannot be read, or it is of a search for something else.
        """
        self.folder, self.space, self.patience = folder, space, IN_A_ROW[pruner]
        with _readable(folder):
            self.storage = optuna.storages.RDBStorage(sqlite_uri(folder / FILE))
            self.study = optuna.create_study(
                storage=self.storage,
                study_name=folder.name,
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(pruner),
            )
            known = self.study.user_attrs.get(ABOUT)
            trials = self.study.get_trials(deepcopy=False)
        if known is not None and known != about:
            raise InputError(
                f"a search goes on with the same space, settings and data; {shown(folder.name)} was begun with others; "
                f"choose another --study, or remove {folder}"
            )
        self.study.set_user_attr(ABOUT, about)
        self.study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, len(trials)))
        present = space.present()
        if not trials and present is not None:  # whatever is found is compared with what there is
            self.study.enqueue_trial(present, user_attrs={PRESENT: True})
        self.left = [self._taken_up(one.number) for one in trials if one.state == TrialState.RUNNING]
        self.running: dict[int, optuna.Trial] = {}
        self.doubts: dict[int, int] = {}  # validations in a row that said that a trial should be pruned

    def trials(self) -> list[FrozenTrial]:
        """All that have begun, by number."""
        return self.study.get_trials(deepcopy=False, states=tuple(set(TrialState) - {TrialState.WAITING}))

    def ask(self) -> Point:
        """The next trial: one that was left, or a new one."""
        trial = self.left.pop(0) if self.left else self.study.ask()
        values = {name: _suggested(trial, name, kind) for name, kind in self.space.dimensions.items()}
        self.running[trial.number] = trial
        return Point(trial.number, values, reported=len(self._frozen(trial.number).intermediate_values))

    def hear(self, number: int, step: int, value: float) -> bool:
        """Note the value of a trial's validation, the first of which is step 0; returns whether it is pruned."""
        trial = self.running[number]
        if step in self._frozen(number).intermediate_values:  # by the process that was killed
            return False
        trial.report(value, step)
        with warnings.catch_warnings(action="ignore"):
            doubted = trial.should_prune()
        self.doubts[number] = self.doubts.get(number, 0) + 1 if doubted else 0
        return self.doubts[number] >= self.patience

    def note(self, number: int, **facts: Any) -> None:
        """Keep facts about a trial."""
        for name, fact in facts.items():
            self.running[number].set_user_attr(name, fact)

    def end(self, number: int, value: float | None) -> None:
        """A trial has ended, with its value or, None, pruned."""
        trial = self.running.pop(number)
        if value is None:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, value)

    def twin(self, number: int) -> FrozenTrial | None:
        """A trial that ended earlier and has the same key."""
        key = self._frozen(number).user_attrs["key"]
        ended = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return next((one for one in ended if one.user_attrs.get("key") == key), None)

    def best(self) -> FrozenTrial | None:
        """The trial with the highest value, the first of equals; None where none has ended with one."""
        whole = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return max(whole, key=lambda one: (one.value, -one.number), default=None)

    def _taken_up(self, number: int) -> optuna.Trial:
        """A trial that is known and goes on."""
        study_id = self.storage.get_study_id_from_name(self.folder.name)
        return optuna.Trial(self.study, self.storage.get_trial_id_from_study_id_trial_number(study_id, number))

    def _frozen(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]


def ended(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that need no further work."""
    return [trial for trial in trials if trial.state.is_finished()]


def _suggested(trial: optuna.Trial, name: str, kind: Dimension) -> Any:
    """The value of a dimension for a trial; the one that it has, where a killed process drew it."""
    if isinstance(kind, Choices):
        return trial.suggest_categorical(name, list(kind.values))
    with warnings.catch_warnings(action="ignore"):  # that the last step may end below `high`
        if kind.is_whole:
            return trial.suggest_int(name, int(kind.low), int(kind.high), log=kind.log, step=int(kind.step or 1))
        return trial.suggest_float(name, kind.low, kind.high, log=kind.log, step=kind.step)


def _pruner(name: Pruner) -> optuna.pruners.BasePruner:
    with warnings.catch_warnings(action="ignore"):  # that it is experimental
        if name == "median":
            return optuna.pruners.MedianPruner(n_startup_trials=FIRST_WHOLE)
        return optuna.pruners.HyperbandPruner() if name == "hyperband" else optuna.pruners.NopPruner()


def _seed(seed: int, trials: int) -> int:
    """A seed for a process of the search, so that a second one does not draw what the first one drew."""
    return int.from_bytes(hashlib.sha256(f"{seed} {trials}".encode()).digest()[:4])


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Say what to do about a file that is no study."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except Exception as error:
        of_machine = as_input_error(error)
        cause = error.__cause__ if isinstance(error.__cause__, DatabaseError) else error
        if of_machine is not None or not isinstance(cause, DatabaseError | RuntimeError | KeyError):
            raise
        raise InputError(
            f"a search is kept in an Optuna study, and {folder / FILE} is none that can be read "
            f"({first_line(cause.orig or cause if isinstance(cause, DatabaseError) else cause)}); "
            f"remove {folder} to search from the start, or choose another --study"
        ) from error

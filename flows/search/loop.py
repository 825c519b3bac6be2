"""The course of a search: trials begin where there is a place, are heard after each validation, and end."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from optuna.trial import TrialState

from flows.search.slots import Slots
from flows.search.study import PRESENT, Point, Study
from flows.search.trial import Ended, Job
from mmctr.common.errors import InputError
from tasks.settings.sections import PipelineConfig


@dataclass(frozen=True)
class Limits:
    """When no further trial begins: after so many in all, or at a time of the monotonic clock."""

    trials: int
    deadline: float


class Course:
    """A search that goes on.

    Args:
        study: its trials.
        slots: where they run.
        job_of: the job of a trial with a configuration; it makes the items that the trial needs.
        limits: when it ends.
        say: called with a line for a person.
    """

    def __init__(
        self,
        study: Study,
        slots: Slots,
        *,
        job_of: Callable[[int, PipelineConfig], Job],
        limits: Limits,
        say: Callable[[str], None],
    ) -> None:
        self.study, self.slots, self.job_of, self.limits, self.say = study, slots, job_of, limits, say
        self.begun_at: dict[int, float] = {}
        self.keys: dict[int, str] = {}  # of trials in a place
        self.doubles: dict[int, list[int]] = {}  # trials with the key of one in a place, whose end they wait for

    def run(self) -> None:
        """Run trials until there are enough, or time is over."""
        while True:
            while self.slots.is_free and self._wants_more():
                self._begin(self.study.ask())
            if not self.study.running:
                return
            for ended in self.slots.wait(self.study.hear):
                self._end(ended)

    def _wants_more(self) -> bool:
        if time.monotonic() >= self.limits.deadline:
            return False
        return bool(self.study.left) or len(self.study.trials()) < self.limits.trials

    def _begin(self, point: Point) -> None:
        self.begun_at[point.number] = time.monotonic()
        try:
            config = self.study.space.config_at(point.values)
        except InputError as error:  # of settings that cannot be used together
            reasons = str(error).splitlines()
            self._end(Ended(point.number, None, (reasons[1:] or reasons)[0].strip()))
            return
        job = self.job_of(point.number, config)
        self.study.note(point.number, key=job.key)
        same = next((number for number, key in self.keys.items() if key == job.key), None)
        if same is not None:
            self.doubles.setdefault(same, []).append(point.number)
        elif not self._repeats(point.number):
            self.say(f"trial {point.number} {'goes on' if point.reported else 'begins'}: {shown_point(point.values)}")
            self.keys[point.number] = job.key
            self.slots.begin(job)

    def _repeats(self, number: int) -> bool:
        """Whether a trial has the settings of one that has ended; it ends as that one did then."""
        twin = self.study.twin(number)
        if twin is not None:
            facts = {name: fact for name, fact in twin.user_attrs.items() if name != PRESENT}
            self.study.note(number, **{**facts, "same_as": twin.number, "seconds": 0.0})
            self.study.end(number, twin.value if twin.state == TrialState.COMPLETE else None)
            self.say(f"trial {number} has the settings of trial {twin.number}, which has ended")
        return twin is not None

    def _end(self, ended: Ended) -> None:
        self._note_end(ended)
        self.keys.pop(ended.number, None)
        for number in self.doubles.pop(ended.number, []):
            self._repeats(number)

    def _note_end(self, ended: Ended) -> None:
        seconds = time.monotonic() - self.begun_at[ended.number]
        self.study.note(ended.number, seconds=seconds)
        if ended.trained is None:
            self.study.note(ended.number, why=ended.pruned)
            self.study.end(ended.number, None)
            self.say(f"trial {ended.number} pruned after {seconds:.0f} s: {ended.pruned}")
            return
        trained = ended.trained
        self.study.note(ended.number, run_id=trained.run_id, best_epoch=trained.best_epoch)
        self.study.end(ended.number, trained.valid_auc)
        best = self.study.best()
        assert best is not None
        self.say(
            f"trial {ended.number} ended after {seconds:.0f} s: AUC {trained.valid_auc:.4f} after epoch "
            f"{trained.best_epoch}; best is {best.value:.4f} of trial {best.number}"
        )


def shown_point(values: dict[str, object]) -> str:
    """A point of a space in one line."""
    return ", ".join(f"{name} = {shown_number(value)}" for name, value in values.items())


def shown_number(value: object) -> str:
    """A value with the digits that tell it from others."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)

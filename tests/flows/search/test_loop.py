"""The course of a search over places that only say how a trial ends."""

import pytest
from optuna.trial import TrialState

from flows.search.loop import Course, Limits
from flows.search.study import Study
from flows.search.trial import Ended, Job
from mmctr.common.errors import InputError
from tasks.cache.results import Trained
from tasks.cache.workspace import FileRef
from tasks.settings.load import load_config
from tasks.settings.space_file import space_of
from tasks.tracking.lineage import Lineage

LINEAGE = Lineage(params={}, digests={}, counts={}, pca=None, reports={})
FOREVER = float("inf")


def trained(auc):
    ref = FileRef(path="x", sha256="x")
    return Trained(checkpoint=ref, history=ref, best_epoch=1, valid_auc=auc, valid_logloss=0.5, run_id="r")


class Places:
    """So many places; a trial's AUC is its seed / 100, three validations long."""

    def __init__(self, places=1, fails_at=None):
        self.places, self.fails_at = places, fails_at
        self.jobs, self.most, self.ran = [], 0, []

    @property
    def is_free(self):
        return len(self.jobs) < self.places

    def begin(self, job):
        self.jobs.append(job)
        self.ran.append(job.inputs["seed"])
        self.most = max(self.most, len(self.jobs))

    def wait(self, hear):
        job = self.jobs.pop(0)
        if len(self.ran) == self.fails_at:
            raise InputError("no room")
        auc = job.inputs["seed"] / 100
        if any(hear(job.number, step, auc) for step in range(3)):
            return [Ended(job.number, None, "below that of others")]
        return [Ended(job.number, trained(auc))]


@pytest.fixture
def search(tmp_path):
    config = load_config(tmp_path)

    def start(places, *, trials=12, deadline=FOREVER, high=9):
        study = Study(
            tmp_path / "s",
            space_of({"train.seed": {"low": 0, "high": high}}, config),
            about="",
            pruner="median",
            seed=0,
        )
        said = []
        course = Course(
            study,
            places,
            job_of=lambda number, config: Job(number, {"seed": config.train.seed}, LINEAGE),
            limits=Limits(trials, deadline),
            say=said.append,
        )
        course.said = said
        return course

    return start


@pytest.fixture(autouse=True)
def keys_of_seeds(monkeypatch):
    monkeypatch.setattr("flows.search.trial.stage_key", lambda _, inputs: f"key {inputs['seed']}")


@pytest.mark.parametrize("places", [1, 3])
def test_there_are_as_many_trials_as_asked_for_and_no_settings_train_twice(search, places):
    course = search(Places(places), trials=20)
    course.run()
    trials = course.study.trials()
    assert len(trials) == 20
    assert all(trial.state.is_finished() for trial in trials)
    ran = course.slots.ran
    assert len(set(ran)) == len(ran) <= 10
    assert course.slots.most == places
    for trial in trials:
        if "same_as" in trial.user_attrs:
            twin = trials[trial.user_attrs["same_as"]]
            assert (twin.params, twin.value) == (trial.params, trial.value)
    assert course.study.best().value == max(ran) / 100
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert all(trial.user_attrs["why"] == "below that of others" for trial in pruned)


def test_a_mistake_ends_the_search_and_the_same_trial_is_begun_again(search):
    course = search(Places(fails_at=3), trials=6, high=1000)
    with pytest.raises(InputError, match="no room"):
        course.run()
    states = [trial.state for trial in course.study.trials()]
    assert states[2] == TrialState.RUNNING
    seed = course.study.trials()[2].params["train.seed"]

    course = search(Places(), trials=6, high=1000)
    course.run()
    assert course.slots.ran[0] == seed
    assert len(course.slots.ran) == 4
    search(Places(fails_at=1), trials=6, high=1000).run()  # nothing is left to do


def test_no_trial_begins_when_time_is_over(search):
    course = search(Places(), deadline=0.0)
    course.run()
    assert course.slots.ran == []

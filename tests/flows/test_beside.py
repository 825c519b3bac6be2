"""A training goes on; beside it a prediction, a run with other settings, and one that wants the very same training."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from finished_run import TINY, ran
from mlflow import MlflowClient

import mmctr.training.loop
from mmctr.common.errors import InputError
from tasks.cache.public_files import published
from tasks.cache.run_manifest import read_manifests, read_unfinished
from tasks.cache.workspace import Workspace
from tasks.settings.load import load_config

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_server")]
HELD, OTHER = "train.learning_rate=0.01", "train.learning_rate=0.02"


class HeldTraining:
    """Trainings with the learning rate 0.01 stop before their first step until they are let go."""

    def __init__(self, monkeypatch):
        self.begun, self.over, self.rates = threading.Event(), threading.Event(), []
        self.train_model = mmctr.training.loop.train_model
        monkeypatch.setattr(mmctr.training.loop, "train_model", self)

    def __call__(self, *splits, recipe, **options):
        self.rates.append(recipe.learning_rate)
        if recipe.learning_rate == 0.01:
            self.begun.set()
            assert self.over.wait(300)
        return self.train_model(*splits, recipe=recipe, **options)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as threads:
        yield threads


def test_what_goes_on_beside_a_training(demo, tracking_uri, monkeypatch, pool, caplog):
    from flows.pipeline import pipeline
    from flows.predict import predict_with

    monkeypatch.setattr("tasks.cache.locks.QUIET_SECONDS", 0.1)
    held, client, workspace = HeldTraining(monkeypatch), MlflowClient(tracking_uri), Workspace(demo)

    def settings(*overrides):
        return load_config(demo, overrides=[*TINY, *overrides], device="cpu")

    first = pipeline(settings())
    try:
        slow = pool.submit(pipeline, settings(HELD))
        assert held.begun.wait(120)

        prediction = predict_with(settings(), model=first.mlflow_run)
        assert (prediction.rows, prediction.cached) == (first.rows, True)
        with pytest.raises(InputError, match="nothing is removed while a run may use it"), workspace.alone():
            pass
        other = pipeline(settings(OTHER))
        assert ran(other) == ["train", "predict"]
        assert published(workspace).run_id == other.mlflow_run

        (going_on,) = read_unfinished(workspace)
        running = client.search_runs(["1"], "attributes.status = 'RUNNING'")
        assert len(running) == 1, "the other run did not take it for one that was left"

        same = pool.submit(pipeline, settings(HELD))
        deadline = time.monotonic() + 60
        while "which runs train on the same inputs" not in caplog.text:
            assert not same.done()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        held.over.set()
    assert ran(slow.result(300)) == ["train", "predict"]
    assert ran(same.result(300)) in ([], ["predict"])  # either may be the first to want the prediction
    assert held.rates == [0.001, 0.02, 0.01] or held.rates == [0.001, 0.01, 0.02]
    assert slow.result().mlflow_run == same.result().mlflow_run == running[0].info.run_id

    assert read_unfinished(workspace) == []
    assert [found.mlflow_run for found in read_manifests(workspace)] == [
        slow.result().mlflow_run,
        other.mlflow_run,
        first.mlflow_run,
    ]
    assert going_on.stages["train"] == read_manifests(workspace)[0].stages["train"]
    assert published(workspace).run_id == slow.result().mlflow_run
    assert not list(demo.glob(".mmctr/work/*/*"))

"""A search: cached stages once, trials that train, the best one kept, and nothing else changed."""

import os
import tomllib

import pytest
from finished_run import TINY
from mlflow import MlflowClient
from optuna.trial import TrialState

import mmctr.training.loop
from flows.pipeline import pipeline
from flows.search.study import Study
from flows.tune import tune
from mmctr.training.divergence import DivergenceError
from tasks.cache.run_manifest import read_manifests, read_unfinished
from tasks.cache.workspace import Workspace
from tasks.running.refusal import refusal
from tasks.settings.load import load_config
from tasks.settings.search import SearchConfig
from tasks.tracking.registry import CHAMPION, Registry
from tasks.tracking.store import Tracker

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("prefect_server")]
SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.head.hidden": {"choices": [[4], [6, 4]]},
}


def settings(base, *overrides):
    return load_config(base, overrides=[*TINY, "train.epochs=2", *overrides], device="cpu")


def searched(base, *overrides, space=SPACE, return_state=False, **search):
    config, how = settings(base, *overrides), SearchConfig(**search)
    return tune(config, space=space, search=how, called="some space", return_state=return_state)


def refusal_of(base, *overrides, **search):
    message = refusal(searched(base, *overrides, return_state=True, **search))
    assert message is not None
    return message


def test_a_search_keeps_its_best_and_changes_nothing_else(demo, tracking_uri):
    first = pipeline(settings(demo))
    public = {path: path.read_bytes() for path in first.outputs.values()}
    client, registry, workspace = (
        MlflowClient(tracking_uri),
        Registry(Tracker(tracking_uri, "mmctr"), "mmctr-din"),
        Workspace(demo),
    )
    manifests = read_manifests(workspace)

    found = searched(demo, trials=3)
    assert [trial.state for trial in found.trials] == [TrialState.COMPLETE] * 3
    assert found.trials[0].params == {"train.learning_rate": 0.001, "model.head.hidden": "[4]"}, "as the settings are"
    assert found.best.value == max(trial.value for trial in found.trials)
    assert {path: path.read_bytes() for path in public} == public
    assert not list(demo.glob(".mmctr/work/*/*"))

    # Its model is a version, and no alias is moved.
    versions = registry.versions()
    assert [version.aliases for version in versions] == [(), (CHAMPION,)]
    assert versions[0].run_id == found.best.user_attrs["run_id"]
    assert versions[0].tags["mmctr.search"] == found.name
    assert float(versions[0].tags["search.judging_auc"]) == found.verdict.judging.auc
    assert "decision" not in versions[0].tags

    # One run of the search, in which those of the trials are nested; only the best has files.
    runs = client.search_runs(["1"], order_by=["attributes.start_time ASC"])
    (parent,) = [run for run in runs if run.info.run_name == found.name]
    nested = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert [run.info.run_name for run in nested] == ["trial 0", "trial 1", "trial 2"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    files = {run.info.run_id for run in nested if client.list_artifacts(run.info.run_id, "checkpoint")}
    assert files == {versions[0].run_id}
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "search")] == [
        "search/best.toml",
        "search/trials.json",
    ]
    assert parent.data.metrics["search.judging_auc"] == found.verdict.judging.auc
    assert parent.data.params["space.model.head.hidden"] == '{"choices": [[4], [6, 4]]}'

    # A search is no run of the data, and keeps what its best trial is of.
    manifest, *earlier = read_manifests(workspace)
    assert earlier == manifests
    assert read_unfinished(workspace) == []
    assert (manifest.inputs, manifest.mlflow_run) == ({}, versions[0].run_id)
    assert manifest.stages["reduce"] == manifests[0].stages["reduce"]
    assert set(manifest.stages) == {"extract", "embed", "reduce", "build_weights", "train"}

    # Its settings, used as settings, are those of the trial.
    written = tomllib.loads(found.settings.read_text())
    assert set(written["train"]) >= {"epochs", "batch_size"}
    best = load_config(demo, config_file=found.settings, device="cpu")
    assert best.train.learning_rate == found.best.params["train.learning_rate"]
    assert str(list(best.model.head.hidden)) == found.best.params["model.head.hidden"]
    assert best.embed == settings(demo).embed

    # The same again has nothing to do, and more trials go on with it.
    assert searched(demo, trials=3).best == found.best
    assert [version.number for version in registry.versions()] == ["2", "1"]
    again = searched(demo, trials=4)
    assert again.trials[:3] == found.trials
    assert len(again.trials) == 4


IDS = ["embed.source=none", "reduce.n_components=8"]  # no stage before training that takes a second


def test_trials_that_are_pruned_or_diverge_do_not_end_a_search(demo, tracking_uri, monkeypatch):
    train_model, hear, ran = mmctr.training.loop.train_model, Study.hear, []

    def diverges(*data, recipe, **options):
        ran.append(recipe.seed)
        if recipe.seed == 1:
            raise DivergenceError("training must stay finite, it diverged; lower `learning_rate`")
        if recipe.seed == 2:
            raise MemoryError("of the machine")
        return train_model(*data, recipe=recipe, **options)

    def prunes(study, number, step, value):
        return hear(study, number, step, value) or study.trials()[number].params["train.seed"] == "3"

    monkeypatch.setattr(mmctr.training.loop, "train_model", diverges)
    monkeypatch.setattr(Study, "hear", prunes)
    space = {"train.seed": {"choices": [0, 1, 2, 3]}}
    found = searched(demo, *IDS, space=space, trials=12, pruner="none")

    assert sorted(ran) == [0, 1, 2, 3], "equal settings train once, whatever becomes of them"
    why = {trial.params["train.seed"]: trial.user_attrs.get("why", "") for trial in found.trials}
    assert why["0"] == ""
    assert why["1"] == "training must stay finite, it diverged; lower train.learning_rate"
    assert why["2"] == "of the machine"
    assert why["3"].startswith("AUC ")
    states = {trial.params["train.seed"]: trial.state.name for trial in found.trials}
    assert states == {"0": "COMPLETE", "1": "PRUNED", "2": "PRUNED", "3": "PRUNED"}
    assert f"{len(found.trials)} of 12 trials" in found.text()

    client = MlflowClient(tracking_uri)
    nested = {run.data.params["train.seed"]: run for run in client.search_runs(["1"], "tags.`mmctr.trial` != ''")}
    assert {seed: run.info.status for seed, run in nested.items()} == {
        **{"0": "FINISHED", "1": "FAILED", "2": "FAILED", "3": "FINISHED"}
    }
    assert nested["3"].data.tags["mlflow.note.content"] == why["3"]
    assert not list(demo.glob(".mmctr/work/*/*"))

    # Where none ends with a model, that is said, with the last reason.
    only = {"train.seed": {"choices": [1, 2]}}
    message = refusal_of(demo, *IDS, space=only, trials=2)
    assert message.startswith("a search needs a trial that ends with a model, and none of 2 did; the last one: ")


def test_a_search_is_refused_where_it_cannot_be_one(demo, tracking_uri):
    workspace = Workspace(demo)
    with workspace.running(), workspace.locks.of_search("mine"):
        message = refusal_of(demo, *IDS, study="mine", trials=1)
        assert message.startswith(f"one process goes on with a search, and process {os.getpid()} does with mine; wait")
    assert "high 2 of train.learning_rate" in refusal_of(
        demo, *IDS, space={"train.learning_rate": {"low": 0.1, "high": 2}}
    )
    assert "--jobs must be at most the cores that can be used; found 64" in refusal_of(demo, *IDS, trials=1, jobs=64)
    assert searched(demo, *IDS, study="mine", trials=1).name == "mine"
    assert refusal_of(demo, *IDS, "train.seed=5", study="mine").startswith("a search goes on with the same space,")

"""A search that is stopped or killed goes on with the very trials that it had begun, one or several at a time."""

import json
import re
import signal
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mmctr_process import MmctrRun

SETTINGS = ["embed.source=none", "reduce.n_components=8", "train.batch_size=64", "train.epochs=4", "train.patience=10"]
SPACE = """
"train.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
"model.head" = {choices = [{kind = "mlp", hidden = [4]}, {kind = "mlp", hidden = [64]}]}
"""
MESSAGE = "mmctr: stopped by SIGINT; the same command goes on where this one stopped"


@pytest.mark.integration
def test_a_search_goes_on(demo, tracking_uri, prefect_server, tmp_path):
    (tmp_path / "space.toml").write_text(SPACE)
    client, runs = MlflowClient(tracking_uri), []

    def start(*options):
        words = ["--space", str(tmp_path / "space.toml"), "--trials", "3", "--device", "cpu", *options]
        runs.append(MmctrRun(demo, *SETTINGS, log=tmp_path / f"{len(runs)}.log", command="tune", options=words))
        return runs[-1]

    def nested():
        found = client.search_runs(["1"], "tags.`mmctr.trial` != ''", order_by=["attributes.start_time ASC"])
        return {run.data.tags["mmctr.trial"]: run for run in found}

    with start("--jobs", "1") as run:  # Ctrl-C in the second trial
        run.wait_for_line("trial 1 begins(.|\\n)*epoch 2:")
        assert run.stop(signal.SIGINT, group=True, within=60) == 128 + signal.SIGINT
    assert MESSAGE in run.output().splitlines()
    assert "1 of 3 trials have ended" in run.output()
    assert "Traceback" not in run.output()
    stopped = nested()["1"]
    assert {run.info.status for run in client.search_runs(["1"])} == {"FINISHED", "KILLED"}

    with start("--jobs", "2") as run:  # killed while two trials run, in processes that end with it
        run.wait_until(lambda: len(nested()) == 3 and "valid_auc" in nested()["2"].data.metrics)
        run.stop(signal.SIGKILL)
    with start("--jobs", "2") as run:
        assert run.end() == 0, run.output()
    assert re.search("(1 of 3 trials have ended, 2|2 of 3 trials have ended, 1) to go on", runs[2].output())

    trials = nested()
    assert sorted(trials) == ["0", "1", "2"]
    assert trials["1"].info.run_id == stopped.info.run_id
    for trial in trials.values():
        assert trial.info.status == "FINISHED"
        history = client.get_metric_history(trial.info.run_id, "valid_auc")
        assert [metric.step for metric in history] == [1, 2, 3, 4], "no epoch was trained twice"
    (folder,) = demo.glob(".mmctr/tune/*")
    records = json.loads((folder / "trials.json").read_text())
    assert [record["state"] for record in records] == ["complete"] * 3
    assert [record["run_id"] for record in records] == [trials[str(number)].info.run_id for number in range(3)]
    assert not list(demo.glob(".mmctr/work/*/*"))
    assert [Path(folder, f"process-{number}.log").exists() for number in (1, 2)] == [True, True]

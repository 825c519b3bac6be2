"""What lies where a run's files must go is said before any work, and every path can be worked in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from generated import checkpoint as untrained
from generated import item_table
from project import PROJECT

from flows.cli.main import main
from flows.run.inputs import look_before
from flows.run.outputs import check_places
from mmctr.common.errors import InputError
from mmctr.models.checkpoint import save_checkpoint
from mmctr.training.state import Epoch
from tasks.cache.workspace import PUBLIC, Workspace
from tasks.settings.load import load_config
from tasks.tracking.fetching import fetch
from tasks.tracking.plots import auc_plot
from tasks.tracking.store import Tracker
from tasks.tracking.store_address import sqlite_uri
from tasks.tracking.store_check import check_store
from tasks.tracking.training_run import AUC_PLOT, CHECKPOINT, TrainingRun, open_run


def taken_in_every_way(base: Path) -> list[str]:
    """Give each name that a run needs to something else; returns these names."""
    (base / "predictions_task1and2").write_text("")
    (base / "models_task1and2/task1and2_best.pt").mkdir(parents=True)
    (base / "item_emb_task1_clip.parquet").mkdir()
    root = base / ".mmctr"
    (root / "digests.json").mkdir(parents=True)
    (root / "lock").mkdir()
    (root / "store").write_text("")
    (root / "work/train").parent.mkdir()
    (root / "work/train").write_text("")
    (root / "records").symlink_to("/not/mounted")
    os.mkfifo(root / "vectors")
    mmctr = ("digests.json", "lock", "store", "work/train", "records", "vectors")
    named = ["predictions_task1and2", "models_task1and2/task1and2_best.pt", "item_emb_task1_clip.parquet"]
    return [str(base / name) for name in (*named, *(f".mmctr/{name}" for name in mmctr))]


def test_all_names_that_are_taken_are_said_at_once(tmp_path):
    check_places(Workspace(tmp_path))
    assert not list(tmp_path.iterdir())
    names = taken_in_every_way(tmp_path)
    with pytest.raises(InputError, match="must be free") as refused:
        check_places(Workspace(tmp_path))
    lines = str(refused.value).splitlines()[1:]
    assert sorted(line.split(" must be ")[0].strip() for line in lines) == sorted(names)
    assert any(line.endswith("a link to /not/mounted, which is not there") for line in lines)


@pytest.mark.parametrize("taken", [lambda root: root.write_text(""), lambda root: root.symlink_to("/not/mounted")])
def test_the_cache_itself(taken, tmp_path):
    taken(tmp_path / ".mmctr")
    with pytest.raises(InputError, match=r"/\.mmctr must be a folder"):
        check_places(Workspace(tmp_path))


def test_what_a_run_left_is_no_hindrance_and_a_link_to_another_disk_is_none(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "base").mkdir()
    (tmp_path / "base/.mmctr").symlink_to(tmp_path / "disk")
    for path in PUBLIC.values():
        (tmp_path / "base" / path).parent.mkdir(exist_ok=True)
        (tmp_path / "base" / path).write_text("of an earlier run")
    for name in ("store/train/0123", "work/train/0123", "records", "runs"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    (tmp_path / "disk/lock").write_text("1")
    check_places(Workspace(tmp_path / "base"))


@pytest.mark.parametrize("name", [".", ".mmctr", "models_task1and2", "predictions_task1and2", ".mmctr/store/train"])
def test_a_folder_that_cannot_be_written_is_named_with_the_systems_reason(name, tmp_path, monkeypatch):
    barred = tmp_path / name
    barred.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("os.access", lambda path, mode: not (Path(path) == barred and mode & os.W_OK))
    with pytest.raises(PermissionError):
        check_places(Workspace(tmp_path))
    check_places(Workspace(tmp_path), writes=False)


def test_a_path_that_leaves_no_room_for_the_cache(tmp_path):
    deep = tmp_path
    while len(str(deep)) < 3980:
        deep = deep / ("x" * min(200, 3990 - len(str(deep))))
    with pytest.raises(OSError, match="too long"):
        check_places(Workspace(deep))


@pytest.mark.parametrize("command", ["run", "predict", "check"])
def test_the_commands_say_so_before_any_work(command, demo, tracking_uri, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "flows.pipeline", None)
    shutil.rmtree(demo / ".mmctr", ignore_errors=True)
    (demo / "predictions_task1and2").write_text("mine")
    (demo / ".mmctr").symlink_to("/not/mounted")
    assert main([command, str(demo), "--set", f"embed.model={demo / 'tiny_clip.pt'}"]) == 2
    message = capsys.readouterr().err
    assert "predictions_task1and2 must be a folder" in message
    assert ".mmctr must be a folder" in message


NAMES = ["feature%2Fx", "a?b#c d", 'it\'s "q" 100%', "a:b;c@d [x]{*}", "né中\n\\", "$HOME"]


@pytest.mark.parametrize("name", NAMES)
def test_any_path_can_hold_the_data_and_the_store(name, mlflow_original, tmp_path):
    base, database = tmp_path / name / "base", tmp_path / name / "mlruns/mlflow.db"
    database.parent.mkdir(parents=True)
    shutil.copy(mlflow_original, database)
    uri = sqlite_uri(database)
    check_store(uri, "mmctr")
    tracker = Tracker(uri, "mmctr")
    run = TrainingRun(tracker, open_run(tracker, "training"))
    table = item_table(np.random.default_rng(0))
    checkpoint = base / Path(CHECKPOINT).name
    save_checkpoint(untrained(table, valid_auc=0.5), checkpoint)
    tracker.client.log_artifact(run.run_id, str(checkpoint), "checkpoint")
    run.log_plot(lambda: b"a plot", AUC_PLOT)
    from tasks.tracking.model_logging import log_din_model

    log_din_model(uri, run.run_id, checkpoint=checkpoint)
    run.end("FINISHED")
    assert Workspace(base).holds(fetch(tracker, run.run_id, CHECKPOINT, workspace=Workspace(base)))
    artifacts = database.parent / "artifacts/mmctr"
    assert [path.read_bytes() for path in artifacts.glob(f"{run.run_id}/artifacts/{AUC_PLOT}")] == [b"a plot"]
    assert len(list(artifacts.glob("models/*/artifacts/artifacts/task1and2_best.pt"))) == 1
    check_store(uri, "mmctr")


def test_artifacts_lie_on_disks_that_keep_no_modes_and_times(tracking_uri, tmp_path, monkeypatch):
    tracker = Tracker(tracking_uri, "mmctr")
    run_id = open_run(tracker, "training")
    (tmp_path / "file").write_text("content")

    def refused(*_, **__):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chmod", refused)
    monkeypatch.setattr("os.utime", refused)
    tracker.client.log_artifact(run_id, str(tmp_path / "file"), "folder")
    found = Path(tracker.client.download_artifacts(run_id, "folder/file", str(tmp_path)))
    assert found.read_text() == "content"


HISTORY = [Epoch(1, 0.7, 0.6, 0.69, 1e-3, 100.0), Epoch(2, 0.6, 0.7, 0.65, 1e-3, 100.0)]
BACKENDS = ["module://matplotlib_inline.backend_inline", "TkAgg", "nonsense"]


def test_plots_need_no_backend_and_no_settings_of_the_user(tmp_path):
    """As notebooks, containers and users set them; Matplotlib reads them when it is imported."""
    (tmp_path / "rc").write_text("text.usetex: True\nno setting: 1\nfont.size: huge\nfigure.dpi: 7\n")
    (tmp_path / "file").write_text("")
    code = "import sys; sys.path.insert(0, sys.argv[1]); from tasks.tracking.plots import auc_plot; "
    code += "sys.stdout.buffer.write(auc_plot([]))"
    plots = set()
    for number, backend in enumerate(BACKENDS):
        settings = {"MPLBACKEND": backend, "MATPLOTLIBRC": str(tmp_path / "rc")}
        if number == 0:
            settings["MPLCONFIGDIR"] = str(tmp_path / "file" / "below")  # as in a home that cannot be written
        done = subprocess.run(
            [sys.executable, "-c", code, str(PROJECT)], capture_output=True, env=os.environ | settings, cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, b""), (backend, done.stderr)
        plots.add(done.stdout)
    (plot,) = plots
    assert plot.startswith(b"\x89PNG")


def test_a_plot_leaves_the_users_settings_alone(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://nowhere")
    matplotlib.rcParams["figure.dpi"] = 31
    try:
        plot = auc_plot(HISTORY)
        assert plot.startswith(b"\x89PNG")
        assert matplotlib.rcParams["figure.dpi"] == 31
        assert os.environ["MPLBACKEND"] == "module://nowhere"
    finally:
        matplotlib.rcParams["figure.dpi"] = matplotlib.rcParamsDefault["figure.dpi"]


def test_a_plot_that_cannot_be_drawn_costs_no_training(tracking_uri, caplog):
    tracker = Tracker(tracking_uri, "mmctr")
    run = TrainingRun(tracker, open_run(tracker, "training"))

    def broken():
        raise OSError("no fonts at all")

    run.log_plot(broken, AUC_PLOT)
    assert f"no plot {AUC_PLOT} in MLflow: no fonts at all" in caplog.text


def test_look_before_looks_at_the_places(demo, tracking_uri):
    (demo / "predictions_task1and2").write_text("mine")
    with pytest.raises(InputError, match="predictions_task1and2 must be a folder"):
        look_before(load_config(demo, overrides=[f"embed.model={demo / 'tiny_clip.pt'}"]))

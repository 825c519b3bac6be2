"""How the command line answers: 0 and the answer, or 2 and a few lines with the remedy, without a trace."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys

import polars as pl
import pytest
import torch
from project import PROJECT

import flows.cli.main
from flows.cli.main import main
from mmctr.submission.challenge import write_prediction
from mmctr.submission.packed import zip_prediction
from tasks.settings.load import load_config

COMMANDS = tuple(flows.cli.main.commands())


def said(capsys, *arguments):
    """Exit code, stdout and stderr of one command in this process."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *arguments, lines=8):
    """What a command says that must refuse: on stderr alone, in a few lines."""
    code, out, err = said(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    announced, _, rest = err.partition("\n")  # what the command begins to do, where it got so far
    message = err if announced.startswith("usage: ") else rest
    assert len(message.splitlines()) <= lines, err
    return message


def test_the_command_is_installed():
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="mmctr")
    assert script.load() is main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (
            ["clean"],
            f"invalid choice: 'clean' (choose from {', '.join(map(repr, COMMANDS))})",
        ),
        (["check"], "required: BASE_PATH"),
        (["check", "a", "b"], "unrecognized arguments: b"),
        (["demo", "a", "--items", "many"], "argument --items: invalid int value: 'many'"),
        (["run", "a", "--set"], "argument --set: expected one argument"),
        (["check-submission", "a.zip"], "required: --base-path"),
    ],
)
def test_wrong_arguments_show_the_usage(capsys, arguments, message):
    err = refused(capsys, *arguments)
    assert message in err
    assert err.startswith("usage: mmctr")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_is_an_answer(capsys, command):
    code, out, err = said(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert "usage: mmctr" in out


def test_a_demo_goes_to_a_folder_that_is_new_or_empty_and_nowhere_else(capsys, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note").write_text("mine")
    assert "Name another, or empty it" in refused(capsys, "demo", tmp_path / "full")
    assert "Name another" in refused(capsys, "demo", tmp_path / "full/note")
    assert "full/note is a file" in refused(capsys, "demo", tmp_path / "full/note/a/b")
    assert "at least 150 items" in refused(capsys, "demo", tmp_path / "new", "--items", 149)
    assert "at least 50 users" in refused(capsys, "demo", tmp_path / "new", "--users", 0)
    assert "0 or more; seed is -1" in refused(capsys, "demo", tmp_path / "new", "--seed", -1)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "note"]


def test_a_whole_demo_is_left_alone_where_that_is_asked_for(capsys, demo_original):
    code, out, err = said(capsys, "demo", demo_original, "--if-missing")
    assert (code, out, err) == (
        0,
        f"{demo_original} is a demo data set already\n",
        f"demo data set in {demo_original}\n",
    )


def test_check_reports_for_people_and_for_programs(capsys, demo_original):
    before = {path: path.stat().st_mtime_ns for path in demo_original.rglob("*")}
    code, out, err = said(capsys, "check", demo_original)
    assert (code, err) == (0, f"looking through the inputs in {demo_original}\n")
    assert out.endswith(f"\nthe inputs can be used; next: mmctr run {demo_original}\n")
    code, out_json, err = said(capsys, "check", demo_original, "--json")
    assert (code, err) == (0, f"looking through the inputs in {demo_original}\n")
    report = json.loads(out_json)
    assert list(report) == ["files", "coverage", "item_features", "splits", "held_out", "not_read"]
    for split in report["splits"].values():
        assert f"{split['rows']:,}" in out
    assert {path: path.stat().st_mtime_ns for path in demo_original.rglob("*")} == before


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_check_says_all_that_is_wrong_and_nothing_else(capsys, demo, flags):
    train = demo / "MicroLens_1M_x1/train.parquet"
    pl.read_parquet(train).with_columns(label=pl.lit(7), likes_level=pl.lit(-1)).write_parquet(train)
    err = refused(capsys, "check", demo, *flags)
    assert err.startswith(f"mmctr: the inputs in {demo} cannot be used; fix these and run again:\n")
    assert "likes_level must be in 0..19, 6000 rows are not" in err
    assert "label must be 0 or 1, 6000 rows are not" in err


def test_check_takes_the_settings_that_run_takes(capsys, demo_original, tmp_path):
    assert "at least 500 items" in refused(capsys, "check", demo_original, "--set", "reduce.n_components=500")
    (tmp_path / "other.toml").write_text("[reduce]\nn_components = 400\n")
    assert "at least 400 items" in refused(capsys, "check", demo_original, "--config", tmp_path / "other.toml")
    assert "no configuration file" in refused(capsys, "check", demo_original, "--config", tmp_path / "absent.toml")
    assert said(capsys, "check", demo_original, "--set", "reduce.n_components=200")[0] == 0


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("arguments", "commands"),
    [
        ([], ["mmctr demo data/demo --if-missing", 'mmctr run "data/demo"']),
        (["BASE_PATH=/tmp/a b", "ARGS=--device cpu"], ['mmctr run "/tmp/a b" --device cpu']),
    ],
)
def test_make_run_writes_the_demo_where_it_is_missing_and_takes_any_path(arguments, commands):
    environment = {name: value for name, value in os.environ.items() if name not in ("BASE_PATH", "ARGS", "MAKEFLAGS")}
    make = ["make", "-n", "run", *arguments]
    done = subprocess.run(make, capture_output=True, text=True, check=True, env=environment, cwd=PROJECT)
    lines = [line.strip().removeprefix(".venv/bin/") for line in done.stdout.splitlines()]
    assert [line for line in lines if line.startswith("mmctr")] == commands


def test_check_of_what_is_no_data_folder(capsys, tmp_path):
    assert "BASE_PATH must be a folder" in refused(capsys, "check", tmp_path / "absent")
    assert "File name too long" in refused(capsys, "check", tmp_path / ("x" * 300))
    (tmp_path / "mmctr.toml").write_text("[train]\nepochs = 0\n")
    assert "train.epochs = 0: Input should be" in refused(capsys, "check", tmp_path)
    (tmp_path / "mmctr.toml").write_text("[extract]\npassword_env = 'NOT_SET_ANYWHERE'\n")
    assert "'NOT_SET_ANYWHERE', which is not set" in refused(capsys, "check", tmp_path)


def test_check_submission_good_and_bad(capsys, demo_original, tmp_path):
    ids = pl.read_parquet(demo_original / "MicroLens_1M_x1/test.parquet")["ID"]
    write_prediction(ids, torch.rand(len(ids)).numpy(), tmp_path / "prediction.csv")
    zip_prediction(tmp_path / "prediction.csv", tmp_path / "good.zip")
    code, out, err = said(capsys, "check-submission", tmp_path / "good.zip", "--base-path", demo_original)
    assert (code, out) == (0, f"{tmp_path / 'good.zip'} is a valid submission of {len(ids):,} rows\n")
    assert err == f"checking {tmp_path / 'good.zip'}\n"

    write_prediction(ids.reverse(), torch.rand(len(ids)).numpy(), tmp_path / "prediction.csv")
    zip_prediction(tmp_path / "prediction.csv", tmp_path / "bad.zip")
    err = refused(capsys, "check-submission", tmp_path / "bad.zip", "--base-path", demo_original)
    assert "bad.zip: IDs must be in the order of test.parquet; row 1" in err
    err = refused(capsys, "check-submission", tmp_path / "good.zip", "--base-path", tmp_path)
    assert "name the folder of the data with --base-path" in err
    err = refused(capsys, "check-submission", tmp_path / "no.zip", "--base-path", demo_original)
    assert "no submission at" in err


@pytest.fixture
def no_prefect(monkeypatch):
    """Any attempt to run the pipeline fails the test: what is cheap to see is said before."""
    monkeypatch.setitem(sys.modules, "flows.pipeline", None)


@pytest.mark.usefixtures("no_prefect")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "train.epoch=3"],
            "train.epoch = 3: there is no such setting; did you mean train.epochs? Known",
        ),
        (["--set", "epochs"], "a setting is written section.field=value"),
        (["--set", "experiment=\udcff"], "must be valid UTF-8"),
        (["--set", f"train.epochs={'9' * 5000}"], "train.epochs = '999"),
        (["--config", "/nowhere.toml"], "no configuration file at /nowhere.toml"),
        (["--config", "/"], "/ is not a readable TOML file"),
        (["--device", "tpu"], "device must be auto, cpu, cuda or cuda:N, found 'tpu'"),
        (["--device", "cuda:99"], "device cuda:99 is not there"),
        (["--set", "embed.model=ViT-Z/1"], "found 'ViT-Z/1', and no such file"),
        (["--set", f"embed.model={'x' * 5000}"], "and no such file"),
        (["--set", "embed.model=~nobody-of-this-name/clip.pt"], "must name a user of this machine"),
    ],
    ids=lambda value: str(value)[:24].encode("ascii", "replace").decode(),
)
def test_run_refuses_wrong_settings_at_once(capsys, demo_original, arguments, message):
    err = refused(capsys, "run", demo_original, *arguments, lines=3)
    assert message in err
    assert len(err) < 1000
    assert not (demo_original / ".mmctr").exists()


@pytest.mark.usefixtures("no_prefect")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused_at_once(capsys, demo_original):
    assert "PyTorch sees 0 CUDA devices; use auto" in refused(capsys, "run", demo_original, "--device", "cuda")


@pytest.mark.usefixtures("no_prefect")
def test_run_on_a_folder_that_is_absent_or_empty_is_refused_at_once_and_makes_nothing(capsys, tmp_path):
    assert "BASE_PATH must be a folder" in refused(capsys, "run", tmp_path / "absent")
    err = refused(capsys, "run", tmp_path)
    assert err.count(" is missing\n") == 5
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_ours_keeps_its_trace(monkeypatch, tmp_path):
    def broken(_):
        raise KeyError("a fault")

    monkeypatch.setattr(flows.cli.main, "run_check", broken)
    with pytest.raises(KeyError, match="a fault"):
        main(["check", str(tmp_path)])


class Evil:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('ran').touch()",)


@pytest.mark.integration
def test_prefect_and_the_command_say_a_mistake_once(prefect_server, demo, tracking_uri, tmp_path, monkeypatch):
    """A real command, on the tests' server: a checkpoint with code in it is refused, and is not run."""
    from prefect.settings import PREFECT_API_URL

    torch.save({"weights": Evil()}, tmp_path / "evil.pt")
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value()), "RICH_WIDTH": "200", "COLUMNS": "500"}
    command = [sys.executable, "-m", "flows.cli.main", "run", demo, "--set", f"embed.model={tmp_path / 'evil.pt'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=PROJECT)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("A CLIP checkpoint must be a state_dict") == 1, done.stderr
    assert "mmctr: A CLIP checkpoint must be a state_dict" in done.stderr
    for noise in ("Traceback", "NoneType: None", "Refused: "):
        assert noise not in done.stderr
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.integration
def test_a_mistake_that_the_validation_finds_is_said_once(prefect_server, demo, tracking_uri, capfd):
    """In this process, through the whole command: what Prefect keeps for its pages still has the message."""
    from prefect.client.orchestration import get_client

    valid = demo / "MicroLens_1M_x1/valid.parquet"
    pl.read_parquet(valid).with_columns(label=pl.lit(1)).write_parquet(valid)
    assert main(["run", str(demo)]) == 2
    err = capfd.readouterr().err
    assert err.count("label must have both classes") == 1, err
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
    (message,) = {run.state.message for run in runs if run.state and "both classes" in (run.state.message or "")}
    assert message.startswith("Refused: the inputs in ")
    assert message.removeprefix("Refused: ") in err
    assert load_config(demo).base_path == demo

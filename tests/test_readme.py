"""The commands that README.md and the other documents print: run in order where that is quick, else parsed.

The commands of a work pool are run as printed by `tests/support/operation.py`.
"""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import mlflow
import pytest
from printed_commands import DOCUMENTS, PROJECT, commands, inline_commands, printed, python_blocks

from flows.cli.arguments import parser
from tasks.settings.load import load_config

README, OPERATIONS = PROJECT / "README.md", PROJECT / "docs/operations.md"
EVERY = [line for document in DOCUMENTS for line in (*commands(document), *inline_commands(document))]


@pytest.fixture
def checkout(demo_original, tmp_path) -> Path:
    """A project's folder as after `git clone` and the set-up, with a small demo where `make run` writes its own."""
    folder = tmp_path / "mmctr"
    for name in ("flows", "tasks", "mmctr", "docs"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "README.md", "prefect.yaml", "pyproject.toml", "requirements.lock"):
        shutil.copy(PROJECT / name, folder)
    shutil.copytree(demo_original, folder / "data/demo")
    settings = folder / "data/demo/mmctr.toml"
    settings.write_text(settings.read_text().replace("[train]", "[train]\nepochs = 2"))
    venv.create(folder / ".venv", symlinks=True)
    (site,) = (folder / ".venv/lib").glob("python*/site-packages")
    packages = {str(Path(module.__file__).parents[1]) for module in (mlflow, pytest)}
    (site / "0.pth").write_text("\n".join([str(folder), *sorted(packages)]))
    program = folder / ".venv/bin/mmctr"
    program.write_text(
        '#!/bin/sh\nexec "$(dirname "$0")/python" -c "import sys; from flows.cli.main import main; sys.exit(main())" '
        '"$@"\n'
    )
    program.chmod(0o755)
    (folder / ".venv/.ready").touch()
    return folder


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_readmes_commands_as_printed_in_order(checkout):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "MLFLOW_", "MAKE")) and name not in ("BASE_PATH", "ARGS", "PYTHONPATH")
    }

    def shell(script):
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=checkout, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (first, *_) = commands(README)
    assert first == ["make", "run"]
    assert "champion with AUC" in shell(" ".join(first))
    before = set(checkout.iterdir())
    scoring, training = (
        shell(f"source .venv/bin/activate; python - <<'PROGRAM'\n{program}\nPROGRAM")
        for program in python_blocks(README)
    )
    probabilities = [float(number) for number in scoring.strip("[]\n ").split()]
    assert len(probabilities) > 100
    assert all(0 < probability < 1 for probability in probabilities)
    assert 0 < float(training) < 1
    assert set(checkout.iterdir()) == before  # no database of its own
    others = {"challenger", "--model", "--rollback", "--pin", "--unpin", "3"}  # of several versions; here there is one
    others |= {"tune"}  # which trains for long; tests/flows/test_tune.py has it
    lines = [line for line in commands(OPERATIONS) if line[0] in ("source", "mmctr") and not others.intersection(line)]
    read = [["source", ".venv/bin/activate"], ["mmctr", "check"], ["mmctr", "promote"], ["mmctr", "predict"]]
    assert sorted(line[:2] for line in lines) == sorted(read)
    said = shell("\n".join(" ".join(line) for line in lines).replace("/data/microlens", "data/demo"))
    assert "the inputs can be used" in said
    assert "version 1 (champion)" in said


@pytest.mark.parametrize("line", [line for line in EVERY if line[0] == "mmctr"], ids=" ".join)
def test_every_printed_mmctr_command_is_read(line, tmp_path):
    options = parser().parse_args(line[1:])
    if getattr(options, "set", None):
        load_config(tmp_path, overrides=options.set)


@pytest.mark.parametrize("line", [line for line in EVERY if line[0] == "prefect"], ids=" ".join)
def test_every_printed_prefect_command_is_read(line):
    from prefect.cli._app import _app

    _app.parse_args(line[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("line", [line for line in EVERY if line[0] == "make"], ids=" ".join)
def test_every_printed_target_is_there(line, checkout):
    done = subprocess.run([*line, "-n"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for arguments in (text.partition("=")[2] for text in line if text.startswith("ARGS=")):
        parser().parse_args(["run", "data/demo", *arguments.split()])


def test_the_commands_of_a_work_pool_are_those_that_are_run():
    """`tests/support/operation.py` takes them from README."""
    assert printed("prefect", "work-pool") == ["work-pool", "create", "gpu-pool", "--type", "process"]
    assert printed("prefect", "deploy")[-1] == "--all"
    assert [line for line in commands(OPERATIONS) if line[0] == "prefect"] == [
        ["prefect", *printed("prefect", *words)]
        for words in (("work-pool",), ("deploy",), ("worker", "start"), ("deployment", "run"))
    ]

"""What the commands print arrives whatever the terminal or file is: another encoding, closed, gone, full."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from project import PROJECT

import flows.process.terminal
from flows.cli.settings_report import as_json, as_markdown, as_text, groups
from tasks.settings.sections import PipelineConfig
from tasks.settings.structure import list_of, parts_of

MMCTR = [sys.executable, "-m", "flows.cli.main"]
ASCII = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "POSIX"}]


def printed(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*MMCTR, *map(str, arguments)], capture_output=True, cwd=PROJECT, env={**os.environ, **environment}
    )


def in_shell(command: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """A command line of a shell in which `$0` is `mmctr`, and `$1` its first argument."""
    script = command.replace("mmctr", f"{sys.executable} -m flows.cli.main")
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}", "bash", *arguments], capture_output=True, text=True, cwd=PROJECT
    )


@pytest.mark.parametrize("environment", ASCII, ids=["python", "locale"])
def test_a_terminal_that_knows_ascii_alone(demo: Path, environment: dict[str, str]) -> None:
    base = demo.rename(demo.with_name("donnée 数据"))
    good = printed("check-submission", base / "none.zip", "--base-path", base, **environment)
    assert good.returncode == 2, good.stderr
    assert b"no submission at" in good.stderr
    assert b"Traceback" not in good.stderr
    train = base / "MicroLens_1M_x1/train.parquet"
    pl.read_parquet(train).rename({"label": "étiquette"}).write_parquet(train)
    bad = printed("check", base, **environment)
    assert bad.returncode == 2, bad.stderr
    assert b"column label is missing" in bad.stderr
    shown = [
        "étiquette".encode(encoding, "backslashreplace") for encoding in ("ascii", "utf-8")
    ]  # a locale may be UTF-8
    assert any(name in bad.stderr for name in shown[: 1 + ("LC_ALL" in environment)])
    assert b"Traceback" not in bad.stderr


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    done = printed("check", os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[2J"))
    assert done.returncode == 2
    assert b"must be valid UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stderr


@pytest.mark.parametrize("what", ["settings", "--help", "--version"])
def test_output_that_nobody_takes(what: str) -> None:
    gone = in_shell(f"mmctr {what} | (exec <&-; sleep 1)")
    assert gone.stderr == ""
    assert gone.returncode == 0
    closed = in_shell(f"mmctr {what} >&-")
    assert closed.returncode == 0
    assert "Traceback" not in closed.stderr
    full = in_shell(f"mmctr {what} > /dev/full")
    assert full.returncode == 2
    assert full.stderr.startswith("mmctr: cannot use the standard output: No space left on device; free some space")
    assert len(full.stderr.splitlines()) == 1
    assert in_shell(f"mmctr {what} 2>&- > /dev/null").returncode == 0


def test_messages_that_nobody_takes(tmp_path: Path) -> None:
    for where in ("/dev/full", "&-"):
        done = in_shell(f'mmctr check "$1" 2>{where}', tmp_path / "absent")
        assert (done.returncode, done.stdout) == (2, "")


def test_any_text_is_written_to_any_stream(capfd: pytest.CaptureFixture[str]) -> None:
    flows.process.terminal.show("é\ud800\x00")
    code = "from flows.process.terminal import *; prepare_streams(); say('\\ud800 é'); show('数 \\udcff')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=PROJECT, env={**os.environ, **ASCII[0]}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, rb"\u6570 \udcff" + b"\n", rb"\ud800 \xe9" + b"\n")


def names(section: type = PipelineConfig, prefix: str = "") -> Iterator[str]:
    """Every setting; of a part each that one of its kinds has, of an element of a list with N for its number."""
    for name, field in section.model_fields.items():
        element = list_of(field.annotation)
        parts = parts_of(element or field.annotation).values()
        if not hasattr(field.annotation, "model_fields") or parts:
            yield prefix + name
        inner = prefix + name + (".N." if element else ".")
        for kind in parts or [field.annotation]:
            found = names(kind, inner) if hasattr(kind, "model_fields") else ()
            yield from (one for one in found if not (parts and one == f"{inner}kind"))


def test_settings_lists_every_setting_with_default_range_and_sentence() -> None:
    known = [setting for group in groups() for setting in group.settings]
    assert sorted(setting.name for setting in known) == sorted([*names()])[1:]
    assert sorted([*names()])[0] == "base_path"
    assert all(setting.range and len(setting.sentence) > 10 for setting in known)
    by_name = {setting.name: setting for setting in known}
    assert (by_name["train.epochs"].default, by_name["train.epochs"].range) == ("20", "whole number, 1 to 10,000")
    assert by_name["train.learning_rate"].range == "number, more than 0, at most 1"
    assert by_name["train.label_smoothing"].range == "number, 0 or more, less than 0.5"
    assert by_name["reduce.pca"].range == "refit or reuse"
    assert by_name["embed.workers"].range == "whole number, 0 to 256, or none"
    assert (by_name["train.seed"].changes_results, by_name["embed.workers"].changes_results) == (True, False)
    for name in by_name:
        assert f"  {name} " in as_text()
    assert [row["name"] for row in json.loads(as_json())] == [setting.name for setting in known]


def test_a_part_is_listed_with_its_kinds_and_the_settings_of_each() -> None:
    found = {group.title: {setting.name: setting for setting in group.settings} for group in groups()}
    model, head, attention = found["model"], 'model.head, kind = "mlp"', 'model.sequence.N, kind = "target_attention"'
    assert model["model.head"].default == '{kind = "mlp"}'
    assert model["model.head"].range.startswith("a table of kind mlp or ")
    assert model["model.sequence"].default == '[{kind = "target_attention"}]'
    assert model["model.sequence"].range.startswith("list, each a table of kind target_attention")
    assert found[head]["model.head.dropout"].range == "number, 0 or more, less than 1"
    assert found[attention]["model.sequence.N.hidden"].changes_results
    assert "model.item.content" in found["model.item"]
    assert 'model.head, kind = "mlp": A tower of hidden layers.' in as_text()


def test_the_page_of_settings_is_what_the_command_prints() -> None:
    page = PROJECT / "docs" / "settings.md"
    assert page.read_text() == as_markdown() + "\n", "run: mmctr settings --markdown > docs/settings.md"


def test_version_is_said_without_loading_anything_heavy() -> None:
    code = (
        "import sys\nfrom flows.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit as stop:\n    assert stop.code == 0\n"
        "print(*sorted({'torch', 'polars', 'prefect', 'mlflow', 'numpy', 'pydantic', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.splitlines() == ["mmctr 0.1.0", ""], done

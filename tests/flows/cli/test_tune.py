"""What `mmctr tune` refuses, before Prefect starts."""

import pytest

from flows.cli.main import main

GOOD = '"train.seed" = {low = 0, high = 3}'


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    def no_server(*_, **__):
        raise AssertionError("Prefect is started")

    monkeypatch.setattr("flows.process.prefect_server.connect", no_server)

    def run(*arguments, space=GOOD):
        path = tmp_path / "space.toml"
        path.write_text(space)
        try:
            code = main(["tune", str(tmp_path), "--space", str(path), *map(str, arguments)])
        except SystemExit as stop:  # argparse
            code = stop.code
        assert code == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "0"], "--trials: a whole number from 1 to 100000 is needed, found '0'"),
        (["--trials", "9" * 100_000], "--trials: a whole number is needed, found '9999"),
        (["--trials", "-3"], "--trials: a whole number is needed, found '-3'"),
        (["--timeout", "0"], "--timeout: seconds above 0 are needed, found '0'"),
        (["--timeout", "nan"], "--timeout: seconds above 0 are needed, found 'nan'"),
        (["--timeout", "soon"], "--timeout: seconds above 0 are needed, found 'soon'"),
        (["--jobs", "many"], "--jobs: a whole number is needed, found 'many'"),
        (["--pruner", "axe"], "--pruner: invalid choice: 'axe'"),
        (["--seed", "1.5"], "--seed: a whole number is needed, found '1.5'"),
        (["--study", "../mine"], "--study must be at most 100 letters, digits, dots, dashes and underscores"),
        (["--study", "x" * 100_000], "found 'xxxx"),
        (["--study", "a\0b"], r"found 'a\x00b'"),
        (["--space", "nowhere.toml"], "there is none at nowhere.toml; name one with --space"),
        (["--set", "train.seed=x"], "train.seed = 'x': "),
    ],
)
def test_options_that_cannot_be_used(refused, arguments, message):
    err = refused(*arguments)
    assert message in err
    assert "Traceback" not in err
    assert len(err) < 4000


def test_a_space_that_cannot_be_searched_is_one_message(refused):
    err = refused(space='"train.epochs" = {low = 0, high = 3}\n"train.nothing" = {low = 0, high = 3}')
    (message,) = [line for line in err.splitlines() if line.startswith("mmctr: ")]
    assert message == "mmctr: the space cannot be searched:"
    assert "  low 0 of train.epochs: train.epochs = 0: Input should be greater than or equal to 1" in err.splitlines()
    assert "train.nothing" in err


def test_data_that_is_not_there(refused):
    assert "item_feature.parquet" in refused()

"""The examples: what they type is read, and their rules without a model are right."""

import importlib.util
import zipfile

import polars as pl
import pytest
from project import PROJECT

from flows.cli.arguments import parser
from flows.cli.main import main
from tasks.settings.load import load_config


@pytest.fixture
def movielens(monkeypatch):
    """The example as a module, whose commands run in this process; trainings are left out."""
    spec = importlib.util.spec_from_file_location("movielens", PROJECT / "examples/movielens/run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def mmctr(*words):
        arguments = [str(word) for word in words]
        if arguments[0] == "run":
            options = parser().parse_args(arguments)
            load_config(options.base_path, overrides=options.set)
            test = pl.read_parquet(options.base_path / "test_labels.parquet")
            test.select("ID", probability="label").write_csv(options.base_path / "predictions.csv")
        else:
            assert main(arguments) == 0

    monkeypatch.setattr(module, "mmctr", mmctr)
    return module


@pytest.fixture
def wheel(movielens, tmp_path, monkeypatch):
    """A wheel with a few ratings in the form of RecBole's."""
    ratings = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    ratings += [f"{at % 40}\t{at % 150}\t{1 + at % 5}\t{881_250_949 + at}" for at in range(1200)]
    films = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    films += [f"{film}\tFilm {film}\t{'V' if film == 3 else 1990}\tDrama Sci-Fi" for film in range(150)]
    path = tmp_path / movielens.WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{movielens.INNER}.inter", "\n".join(ratings))
        archive.writestr(f"{movielens.INNER}.item", "\n".join(films))
    monkeypatch.setattr(movielens, "SHA256", movielens.file_sha256(path))
    return path


def test_movielens_goes_from_the_wheel_to_figures(movielens, wheel, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["run.py", "--folder", str(tmp_path), "--seeds", "2"])
    movielens.main()
    out = capsys.readouterr().out
    assert f"next: mmctr run {tmp_path / 'base'}" in out
    assert out.splitlines()[-1].split(maxsplit=1) == ["model", "1.0000 +- 0.0000 (1.0000, 1.0000)"]
    items = pl.read_parquet(tmp_path / "base/items.parquet")
    assert items["release_year:token"].null_count() == 1
    assert items["class:token_seq"][0].to_list() == ["Drama", "Sci-Fi"]


def test_the_rules_of_popularity_know_train_alone(movielens, tmp_path):
    pl.DataFrame({"item_id": [1, 1, 2], "label": [1, 1, 0]}).write_parquet(tmp_path / "train.parquet")
    pl.DataFrame({"ID": [0, 1, 2], "item_id": [2, 1, 9]}).write_parquet(tmp_path / "test.parquet")
    seen, share = movielens.popularity(tmp_path).values()
    assert seen.rows() == [(0, 0), (1, 2), (2, 0)]
    mean = 2 / 3
    assert share["share"].to_list() == pytest.approx([5 * mean / 6, (2 + 5 * mean) / 7, mean])


def test_a_wheel_of_other_bytes_is_not_read(movielens, wheel, tmp_path):
    wheel.write_bytes(b"other")
    with pytest.raises(SystemExit, match="must have the SHA-256"):
        movielens.downloaded(tmp_path)

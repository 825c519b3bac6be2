"""`mmctr init`: a file of settings with its reasons, which is never written over another."""

import shlex
import tomllib

import pytest
from kinds import KINDS, small_world
from project import PROJECT

from flows.cli.main import main
from tasks.settings.load import load_config


@pytest.fixture(scope="module")
def world(demo_original):
    return small_world(demo_original)


@pytest.fixture
def made(world, tmp_path, capsys):
    """A data set of a kind, and what init says of it."""

    def made(kind, *options):
        folder = tmp_path / kind
        folder.mkdir()
        KINDS[kind](world, folder)
        code = main(["init", str(folder), *options])
        out, err = capsys.readouterr()
        return folder, code, out, err

    return made


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "raw_logs"])
def test_what_init_writes_can_be_loaded_and_the_data_are_good(made, kind, capsys):
    folder, code, out, _ = made(kind)
    assert code == 0
    assert "undecided     nothing" in out or "all defaults fit" in out
    assert out.rstrip().endswith(f"next          mmctr check {folder}")
    text = (folder / "mmctr.toml").read_text()
    assert load_config(folder).base_path == folder
    assert all(len(line) < 400 for line in text.splitlines())
    assert main(["check", str(folder)]) == 0, capsys.readouterr().err


def test_the_challenges_own_folder_needs_no_settings_of_its_data(made):
    folder, _, out, _ = made("challenge")
    assert "all defaults fit" in out
    assert set(tomllib.loads((folder / "mmctr.toml").read_text())) <= {"reduce"}
    assert load_config(folder).data == load_config(folder / "none").data


def test_a_shop_is_recognised(made):
    folder, _, out, _ = made("shop")
    data = load_config(folder).data
    assert (data.items, data.images, data.train) == ("catalog.parquet", ("photos",), "clicks/train.parquet")
    assert (data.item_id, data.title, data.history, data.label) == ("sku", "name", "viewed", "bought")
    assert (data.row_id, data.user, data.submission) == ("request", "customer", "plain")
    assert "to check      nothing" in out
    assert "features      5 columns" in out
    assert load_config(folder).promote.registered_model == "shop"
    shown = (PROJECT / "docs/data.md").read_text().partition("lines such as these:\n")[2].partition("\n| table")[0]
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    assert len(lines) == 5
    assert set(lines) <= set((folder / "mmctr.toml").read_text().splitlines())


def test_csv_is_recognised(made):
    folder, _, _, _ = made("csv")
    data = load_config(folder).data
    assert (data.items, data.images, data.image) == ("items.csv", ("covers.tar.gz",), "cover")
    assert (data.history, data.history_separator, data.row_id) == ("history", "|", "row")


def test_an_existing_file_is_never_written_over(made, capsys):
    folder, _, _, _ = made("no_images")
    before = (folder / "mmctr.toml").read_bytes()
    assert main(["init", str(folder)]) == 2
    _, err = capsys.readouterr()
    assert "never over one" in err
    assert f"mmctr init {folder} --stdout" in err
    assert main(["init", str(folder), "--stdout"]) == 0
    assert capsys.readouterr().out.encode() == before
    (folder / "mmctr.toml").unlink()
    (folder / "mmctr.toml").symlink_to(folder / "nowhere")
    assert main(["init", str(folder)]) == 2
    assert not (folder / "nowhere").exists()


def test_for_a_raw_log_prepare_is_the_way(made, capsys):
    folder, code, out, _ = made("raw_logs")
    assert code == 0
    assert not (folder / "mmctr.toml").exists()
    assert "user is user_id, item is item_id, time is timestamp, and each event is a positive" in out
    assert f"next          mmctr prepare {folder}/events --out {folder}-prepared" in out
    command = shlex.split(out.splitlines()[-1])[1:]
    assert command[-2:] == ["--title", "title"]
    assert main(command[1:]) == 0, capsys.readouterr().err
    assert main(["check", f"{folder}-prepared", "--set", "reduce.n_components=16"]) == 0, capsys.readouterr().err


def test_a_folder_without_clicks_is_refused(tmp_path, capsys):
    for folder, message in (
        (tmp_path, "has none, and no item table either"),
        (tmp_path / "x", "is none; name another"),
    ):
        assert main(["init", str(folder)]) == 2
        _, err = capsys.readouterr()
        assert message in err
        assert len(err.splitlines()) == 2
    assert not list(tmp_path.iterdir())

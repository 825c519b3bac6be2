"""`mmctr presets`: what there is, what each costs, and one with its comments; `--preset` and `--rules`."""

import json
from pathlib import Path

import pytest

from flows.cli.main import main
from flows.cli.options import RULES
from flows.cli.presets_report import counted
from tasks.settings.load import load_config, preset_config
from tasks.settings.presets import preset_names, read_preset
from tasks.settings.structure import below


@pytest.fixture
def mmctr(capsys):
    def run(*arguments):
        code = main([*map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_every_preset_is_listed_with_what_it_costs(mmctr):
    code, out, _ = mmctr("presets")
    assert code == 0
    for name in preset_names():
        assert f"\n{name} " in out
        assert read_preset(name).about.summary[:40] in out
    assert max(map(len, out.splitlines())) <= 120
    rows = json.loads(mmctr("presets", "--json")[1])
    assert [row["name"] for row in rows] == preset_names()
    assert all(row["dense"] > 0 for row in rows)


def test_a_preset_is_printed_as_it_can_be_used(mmctr, tmp_path):
    code, out, _ = mmctr("presets", "strong")
    assert (code, out) == (0, read_preset("strong").text)
    (tmp_path / "mine.toml").write_text(out)
    mine = load_config(tmp_path, preset=str(tmp_path / "mine.toml"))
    assert mine.model == preset_config("strong", base_path=tmp_path).model
    assert mmctr("presets", "nothing")[0] == 2


def test_trained_numbers_are_counted_exactly():
    """The baseline by hand: attention MLP, Dice, tower; 64 numbers of levels are features and not counted."""
    attention = (4 * 128 * 80 + 80 + 80) + (80 * 40 + 40 + 40) + (40 + 1)
    tower = ((2 * 128 + 32) * 256 + 256 + 256) + (256 * 128 + 128 + 128) + (128 + 1)
    assert counted(preset_config("mission", base_path=Path("/"))) == (attention + tower, 91_718 * 128)
    frozen = load_config(Path("/nowhere"), overrides=["model.item.content=frozen", "model.item.id_width=2"])
    assert counted(frozen)[1] == 91_718 * 2


def test_what_measured_a_preset_is_shown(mmctr, monkeypatch, tmp_path):
    text = (
        "[about]\nsummary = 'one'\n[about.measured]\nrows_per_second = 25000\nshare_of_mission = 0.5\non = '2 cores'\n"
    )
    (tmp_path / "mission.toml").write_text(text)
    monkeypatch.setattr("tasks.settings.presets.FOLDER", tmp_path)
    _, out, _ = mmctr("presets")
    assert "25,000, 0.50 of mission's" in out
    assert "on 2 cores" in out


def test_a_preset_goes_beneath_the_settings_of_a_folder(mmctr, tmp_path):
    for command in ("run", "check", "predict", "promote"):
        code, _, err = mmctr(command, tmp_path, "--preset", "strnog")
        assert (code, err.count("a preset is one of mission")) == (2, 1), command
        assert "Traceback" not in err


def test_rules_are_options_of_what_runs(mmctr, tmp_path):
    assert tuple(below(type(load_config(tmp_path)), "rules").__args__) == RULES
    with pytest.raises(SystemExit):
        mmctr("run", tmp_path, "--rules", "task3")

"""Presets: those that come with the package, a user's own file, and what a data folder may name."""

import os

import pytest

from mmctr.common.errors import InputError
from tasks.settings.load import completed, load_config, preset_config
from tasks.settings.presets import preset_names, read_preset
from tasks.settings.sections import PipelineConfig

# Those that come with the package


def test_the_default_comes_first_and_sets_nothing(tmp_path):
    assert preset_names()[0] == PipelineConfig.model_fields["preset"].default == "mission"
    assert preset_config("mission", base_path=tmp_path) == PipelineConfig(base_path=tmp_path)
    assert load_config(tmp_path) == PipelineConfig(base_path=tmp_path)


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_is_a_configuration_with_reasons_and_says_what_it_is(name, tmp_path):
    preset = read_preset(name)
    assert preset_config(name, base_path=tmp_path).preset == name
    assert 20 < len(preset.about.summary) < 200
    assert preset.text.startswith("# ")
    assert "about" not in preset.settings


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_fits_any_data(name):
    """What a data set has is said by its mmctr.toml alone, and where results go by the run."""
    assert set(read_preset(name).settings) <= {"embed", "reduce", "model", "train", "predict"}


# Where a preset is named


def test_the_upper_layer_names_the_preset(tmp_path):
    (tmp_path / "one.toml").write_text("[train]\nepochs = 3\npatience = 3\n")
    (tmp_path / "two.toml").write_text("[train]\nepochs = 4\n")
    config = tmp_path / "config.toml"
    config.write_text("preset = 'one.toml'\n")
    found = load_config(tmp_path, config_file=config)
    assert (found.train.epochs, found.train.patience, found.preset) == (3, 3, str(tmp_path / "one.toml"))
    over = load_config(tmp_path, config_file=config, overrides=[f"preset={tmp_path / 'two.toml'}"])
    assert (over.train.epochs, over.preset) == (4, str(tmp_path / "two.toml"))
    assert load_config(tmp_path, config_file=config, preset="mission").train.epochs == 20
    deployed = PipelineConfig.model_validate({"base_path": str(tmp_path), "preset": str(tmp_path / "one.toml")})
    assert completed(deployed).train.epochs == 3


def test_a_folder_names_a_preset_of_the_package(tmp_path):
    (tmp_path / "mmctr.toml").write_text("preset = 'strong'\n[model.head]\ndropout = 0.5\n")
    found, strong = load_config(tmp_path), preset_config("strong", base_path=tmp_path)
    assert (found.model.head.dropout, found.model.item) == (0.5, strong.model.item)
    assert completed(PipelineConfig(base_path=tmp_path)) == found
    assert load_config(tmp_path, preset="mission").model.item == PipelineConfig(base_path=tmp_path).model.item


@pytest.mark.parametrize("name", ["./own.toml", "own.toml", "/etc/passwd", "~/own.toml", "sub/../own.toml"])
def test_a_folder_names_no_file(tmp_path, name):
    (tmp_path / "own.toml").write_text("[train]\nepochs = 3\n")
    (tmp_path / "mmctr.toml").write_text(f"preset = '{name}'\n")
    for read in (load_config, lambda folder: completed(PipelineConfig(base_path=folder))):
        with pytest.raises(InputError, match=r"mmctr.toml comes with the data.*its preset is '.*--set"):
            read(tmp_path)
    assert load_config(tmp_path, preset=str(tmp_path / "own.toml")).train.epochs == 3
    assert load_config(tmp_path, preset="mission").train.epochs == 20


def test_a_checkpoint_in_a_preset_is_meant_from_its_folder(tmp_path):
    (tmp_path / "tiny.pt").touch()
    (tmp_path / "own.toml").write_text("[embed]\nmodel = 'tiny.pt'\n")
    assert load_config(tmp_path / "data", preset=str(tmp_path / "own.toml")).embed.model == str(tmp_path / "tiny.pt")


# What is refused


@pytest.mark.parametrize("name", ["strnog", "", "mission ", "\0", "a\nb", "x" * 100_000, "organisers\x1b[2J"])
def test_an_unknown_preset_is_one_message_with_the_names(tmp_path, name):
    with pytest.raises(InputError, match=r"a preset is one of mission, .*strong.*found '") as error:
        load_config(tmp_path, preset=name)
    assert len(str(error.value)) < 500
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[train", "own.toml is not a readable TOML file"),
        ("base_path = '/x'\n", "it sets base_path"),
        ("device = 'cpu'\nrules = 'free'\npreset = 'mission'\n", "it sets device, preset, rules"),
        ("[trian]\nepochs = 3\n", "there is no such setting; did you mean train?"),
        ("[model.head]\nkind = 'x'\n", "model.head"),
        ("model = 3\n", "model = 3"),
        ("[about]\nsumary = 'x'\n", "sumary = 'x': there is no such setting; did you mean summary?"),
        ("about = 3\n", "the table [about] of"),
        ("[about.measured]\nrows_per_second = 0\n", "measured.rows_per_second = 0: Input should be greater than 0"),
        ("# " + "x" * 1_000_000, "at most 1,000,000 bytes"),
        (None, "no configuration file at"),
    ],
)
def test_a_file_that_is_no_preset(tmp_path, text, words):
    path = tmp_path / "own.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError) as error:
        load_config(tmp_path, preset=os.path.relpath(path) if text is None else str(path))
    assert words in str(error.value)
    if text is None:
        assert "--preset" in str(error.value)

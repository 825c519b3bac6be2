"""Space files: what a search may choose, tried as settings when the file is read."""

import re

import pytest

from mmctr.common.errors import InputError
from tasks.settings.load import load_config, with_settings
from tasks.settings.space import Choices, Range
from tasks.settings.space_file import read_space, space_of

GOOD = """
"train.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
"train.weight_decay" = {low = 0, high = 1}
"train.max_len" = {low = 8, high = 64, step = 8}
[train]
batch_size = {low = 512.0, high = 4096}
seed = {choices = [0, 1]}
[embed]
fuse = {choices = ["mean", "concat"]}
"""


@pytest.fixture
def config(tmp_path):
    return load_config(tmp_path, overrides=["train.max_len=16"])


def space(text, config):
    path = config.base_path / "space.toml"
    path.write_text(text)
    return space_of(read_space(path), config)


def test_ranges_and_choices(config):
    found = space(GOOD.replace('"train.', '"').replace("[train]", "").replace("\n", "\n[train]\n", 1), config)
    assert found.dimensions == {
        "train.learning_rate": Range(1e-4, 1e-2, True, None, is_whole=False),
        "train.weight_decay": Range(0, 1, False, None, is_whole=False),  # whole ends of a setting that takes fractions
        "train.max_len": Range(8, 64, False, 8, is_whole=True),
        "train.batch_size": Range(512, 4096, False, None, is_whole=True),
        "train.seed": Choices({"0": 0, "1": 1}),
        "embed.fuse": Choices({'"mean"': "mean", '"concat"': "concat"}),
    }
    here = found.present()
    assert here["train.learning_rate"] == 1e-3
    assert here["train.max_len"] == 16
    assert here["embed.fuse"] == '"mean"'
    assert found.config_at(here) == config
    assert found.config_at({**here, "train.batch_size": 600, "embed.fuse": '"concat"'}).train.batch_size == 600


def test_a_point_outside_is_no_point(config):
    assert space('"train.epochs" = {low = 1, high = 5}', config).present() is None
    assert space('"train.max_len" = {low = 3, high = 63, step = 10}', config).present() is None


def test_values_go_over_what_is_set_and_nothing_else_changes(config):
    assert with_settings(config, {}) == config
    changed = with_settings(
        config, {"model.sequence.0.dropout": 0.5, "model.head": {"dropout": 0.5}, "run.timeout": {"train": 60}}
    )
    assert changed.model.sequence == (config.model.sequence[0].model_copy(update={"dropout": 0.5}),)
    assert changed.model.head == config.model.head.model_copy(update={"dropout": 0.5})
    assert changed.run.timeout == {"train": 60}
    back = {
        "model.sequence.0.dropout": config.model.sequence[0].dropout,
        "model.head": config.model.head.model_dump(mode="json"),
        "run.timeout": {},
    }
    assert with_settings(changed, back) == config


LONG = "x" * 90_000
BAD = {
    "": "a space names at least one setting",
    "x": "is not a readable TOML file",
    '"train.learnign_rate" = {low = 1e-4, high = 1e-2}': r"did you mean train\.learning_rate\?",
    '"train.learning_rate" = {low = 1e-4, high = 5}': "high 5 of train.learning_rate: .*less than or equal to 1",
    '"train.learning_rate" = {low = 1e-2, high = 1e-4}': "low of train.learning_rate must be below high",
    '"train.learning_rate" = {low = 0.5, high = 0.5}': "low of train.learning_rate must be below high",
    '"train.learning_rate" = {low = 0, high = 1, log = true}': "log needs low above 0",
    '"train.learning_rate" = {low = 0.1, high = 1, log = true, step = 0.1}': "log and step cannot be used together",
    '"train.learning_rate" = {low = 0.1, high = 1, step = 2}': "step of train.learning_rate must be",
    '"train.learning_rate" = {low = 0.1, high = nan}': "with finite numbers",
    '"train.learning_rate" = {low = true, high = 1}': "with finite numbers",
    '"train.learning_rate" = {low = 0.1}': "with finite numbers",
    '"train.learning_rate" = {lwo = 0.1, high = 1}': "did you mean low",
    '"train.learning_rate" = 0.1': "must be {low = ",
    '"train.learning_rate" = []': "must be {low = ",
    '"train.learning_rate" = {}': "must be {low = ",
    '"train.learning_rate" = {low = 0.1, high = 1, choices = [1, 2]}': "a range or a list of choices, found both",
    '"train.batch_size" = {low = 512.5, high = 1024}': "low 512.5 of train.batch_size",
    f'"train.batch_size" = {{low = 2, high = {"9" * 5000}}}': "not a readable TOML file",
    f'"train.batch_size" = {{low = 2, high = {"9" * 400}}}': "with finite numbers",
    '"model.item.features" = {choices = [true]}': "a list of 2 to 1000 values",
    '"model.item.features" = {choices = [true, true]}': "must be different; true is there twice",
    '"model.item.features" = {choices = [true, 2020-01-01]}': "must be texts, numbers",
    '"model.item.features" = {choices = [true, "maybe"]}': "choices 'maybe' of model.item.features: ",
    '"model.item.features" = {choices = 3}': "a list of 2 to 1000 values",
    '"train" = {choices = [1, 2]}': "train = 1: ",
    '"device" = {choices = ["cpu", "auto"]}': "device changes nothing that is learned",
    '"data.valid_seed" = {low = 0, high = 3}': "data.valid_seed changes nothing that is learned",
    '"embed.image_batch" = {low = 1, high = 3}': "embed.image_batch changes nothing that is learned",
    '"model.sequence.7.dropout" = {low = 0, high = 0.5}': "its elements are 0 to 0; found '7'",
    '"train..epochs" = {low = 1, high = 3}': r"is written section\.field=value.* found 'train\.\.epochs'",
    '"base_path" = {choices = ["a", "b"]}': "base_path changes nothing",
    f'"{LONG}" = {{low = 1, high = 3}}': "there is no such setting",
    '"a\\u0000\\nb" = {low = 1, high = 3}': r"a\\x00\\nb.*there is no such setting",
    "#" + "x" * 100_000: "at most 100,000 bytes",
    '"reduce.fit" = {choices = ["parts", "whole"]}': 'needs embed.fuse = "concat"',
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:60] or "nothing")
def test_a_space_that_cannot_be_searched_is_refused_in_one_message(text, config):
    with pytest.raises(InputError) as refused:
        space(text, config)
    message = str(refused.value)
    assert re.search(BAD[text], message, re.DOTALL), message
    assert len(message) < 2000
    assert "\0" not in message


def test_all_problems_are_in_one_message(config):
    with pytest.raises(InputError) as refused:
        space(
            '"train.epochs" = {low = 0, high = 3}\n"train.seed" = 3\n"model.head.dropout" = {low = 0, high = 2}', config
        )
    assert [line.split()[0] for line in str(refused.value).splitlines()[1:]] == ["low", "train.seed", "high"]


def test_no_file(config, tmp_path):
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match=r"there is none at .*; name one with --space"):
            read_space(path)

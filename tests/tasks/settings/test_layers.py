"""Layers of settings: what goes over what, whole or field by field, and `--set` to any depth."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from mmctr.common.errors import InputError
from tasks.settings.base import Section
from tasks.settings.layers import Entries, merged, table_of
from tasks.settings.load import completed, load_config
from tasks.settings.model import MlpConfig, ModelConfig
from tasks.settings.problems import described
from tasks.settings.sections import PipelineConfig

OWN = """
[model.head]
dropout = 0.25
[data.row_features]
age = {kind = "number"}
[run.timeout]
embed = 9
"""
OF_PRESET = """
[train]
epochs = 7
patience = 9
[model.head]
hidden = [8]
dropout = 0.5
[data.row_features]
level = {kind = "number"}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mmctr.toml").write_text(OWN)
    return tmp_path / "data"


@pytest.fixture
def preset(tmp_path):
    """Writes a preset of a user's own and returns its path."""

    def write(text: str) -> str:
        (tmp_path / "own.toml").write_text(text)
        return str(tmp_path / "own.toml")

    return write


# Tables


@pytest.mark.parametrize(
    ("lower", "upper", "found"),
    [
        ({"kind": "a", "x": 1}, {"x": 2}, {"kind": "a", "x": 2}),
        ({"kind": "a", "x": 1}, {"kind": "a", "y": 2}, {"kind": "a", "x": 1, "y": 2}),
        ({"kind": "a", "x": 1}, {"kind": "b"}, {"kind": "b"}),
        ({"x": 1}, {"kind": "b"}, {"x": 1, "kind": "b"}),  # of one layer, in whichever order
        ({"x": {"y": 1, "z": 2}}, {"x": {"y": 3}}, {"x": {"y": 3, "z": 2}}),
        ({"x": 1}, {"x": {"y": 3}}, {"x": {"y": 3}}),
        ({"x": {"y": 3}}, {"x": 1}, {"x": 1}),
        ({"hidden": (4, 2)}, {"hidden": [8]}, {"hidden": [8]}),
    ],
)
def test_a_table_goes_over_another(lower, upper, found):
    before = [{**lower}, {**upper}]
    assert merged({"model": {"head": lower}}, {"model": {"head": upper}}) == {"model": {"head": found}}
    assert [lower, upper] == before


def test_a_table_of_free_names_is_a_value_but_for_single_entries():
    lower = {"run": {"timeout": {"train": 60}}}
    assert merged(lower, {"run": {"timeout": {"embed": 9}}}) == {"run": {"timeout": {"embed": 9}}}
    both = {"run": {"timeout": {"train": 60, "embed": 9}}}
    assert merged(lower, table_of(["run.timeout.embed=9"])) == both
    assert table_of(["run.timeout.train=60", "run.timeout.embed=9"]) == both
    assert table_of(["run.timeout.train=60", "run.timeout={embed=9}"]) == {"run": {"timeout": {"embed": 9}}}


def test_an_element_of_a_list_is_set_by_its_number():
    lower = {"model": {"sequence": ({"kind": "a", "x": 1}, {"kind": "b", "x": 1})}}
    found = merged(lower, table_of(["model.sequence.1.x=3", "model.sequence.0.kind=c"]))
    assert found == {"model": {"sequence": [{"kind": "c"}, {"kind": "b", "x": 3}]}}
    assert table_of(["model.sequence=[{x=1}]", "model.sequence.0.x=2"]) == {"model": {"sequence": [{"x": 2}]}}


@pytest.mark.parametrize("number", ["2", "-1", "x", "9" * 5000, "²", ""])
def test_an_element_that_is_not_there(number):
    lower = {"model": {"sequence": [{"x": 1}, {"x": 1}]}}
    upper = {"model": {"sequence": Entries({number: 1})}}
    with pytest.raises(InputError, match=r"model\.sequence is a list.*its elements are 0 to 1; found '") as error:
        merged(lower, upper)
    assert len(str(error.value)) < 400


# The layers of a run


def test_each_layer_goes_over_the_one_below(folder, preset):
    own = preset(OF_PRESET)
    found = load_config(folder, preset=own, overrides=["train.epochs=5"])
    assert (found.train.epochs, found.train.patience, found.train.batch_size) == (5, 9, 4096)
    assert (found.model.head.hidden, found.model.head.dropout) == ((8,), 0.25)
    assert list(found.data.row_features) == ["age"]  # what a data set has is said in one place
    assert found.preset == own
    assert completed(found) is found
    deployed = PipelineConfig.model_validate({"base_path": folder, "preset": own, "train": {"epochs": 5}})
    assert completed(deployed) == found


def test_a_setting_is_set_to_any_depth(folder):
    overrides = [
        "model.head.dropout=0.5",
        "model.item.id_width=8",
        "model.sequence.0.hidden=[4]",
        "run.timeout.train=1",
    ]
    found = load_config(folder, overrides=overrides)
    assert (found.model.head.dropout, found.model.item.id_width) == (0.5, 8)
    assert (found.model.sequence[0].hidden, found.model.sequence[0].kind) == ((4,), "target_attention")
    assert found.run.timeout == {"embed": 9, "train": 1}
    assert load_config(folder, overrides=["model.sequence=[]"]).model.sequence == ()


def test_a_part_in_a_flows_parameters_keeps_its_kind(folder):
    head = {"kind": "mlp", "hidden": [16]}
    config = PipelineConfig.model_validate({"base_path": folder, "model": {"head": head}})
    assert (completed(config).model.head.hidden, completed(config).model.head.dropout) == ((16,), 0.25)
    built = PipelineConfig(base_path=folder, model=ModelConfig(head=MlpConfig(hidden=(16,))))
    for one in (config, built):
        assert one.model_dump(exclude_unset=True)["model"] == {"head": {"kind": "mlp", "hidden": (16,)}}


# What is said of a wrong setting


class Flat(Section):
    """A part of a stand-in."""

    kind: Literal["flat"] = "flat"
    width: int = 1


class Deep(Section):
    """Another."""

    kind: Literal["deep"] = "deep"
    layers: int = 1


class Model(Section):
    """A section with parts."""

    head: Annotated[Flat | Deep, Field(discriminator="kind")] = Flat()
    sequence: tuple[Annotated[Flat | Deep, Field(discriminator="kind")], ...] = ()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"head": {"kind": "flat", "wdth": 1}}, "head.wdth = 1: there is no such setting; did you mean head.width?"),
        ({"head": {"kind": "flat", "layers": 1}}, "it is a setting of kind deep; known of this kind are width"),
        ({"head": {"kind": "flot"}}, "head = {'kind': 'flot'}: its kind must be one of flat, deep"),
        ({"head": {"width": 2}}, "head = {'width': 2}: its kind must be one of flat, deep"),
        ({"sequence": [{"kind": "deep", "layers": "x"}]}, "sequence.0.layers = 'x': Input should be a valid integer"),
        ({"sequence": [{"kind": "deep", "width": 1}]}, "sequence.0.width = 1: it is a setting of kind flat"),
        ({"sequence": [{"kind": "x"}]}, "sequence.0 = {'kind': 'x'}: its kind must be one of flat, deep"),
        ({"width": 3}, "width = 3: there is no such setting; did you mean head.width? Known are head, sequence"),
        ({"head": {"kind": "\0" * 100_000}}, "its kind must be one of flat, deep"),
    ],
)  # fmt: skip
def test_a_wrong_setting_of_a_part(values, words):
    with pytest.raises(ValidationError) as error:
        Model.model_validate(values)
    text = described(error.value, root=Model)
    assert words in text
    assert len(text) < 500


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.dropout=0.1", "there is no such setting any more; use model.head.dropout"),
        ("train.tower_hidden=[8]", "use model.head.hidden"),
        ("train.attention_hidden=[8]", "an element of model.sequence of kind target_attention"),
        ("train.freeze=true", 'use model.item.content = "frozen"'),
        ("model.dropout=0.1", "did you mean model.item.dropout or model.head.dropout? Known are item, sequence, head"),
        ("dropout=0.1", "did you mean model.item.dropout or model.head.dropout?"),
        (
            "model.head.drpout=0.1",
            "model.head.drpout = 0.1: there is no such setting; did you mean model.head.dropout?",
        ),
        ("model.head.hidden.x=1", "hidden.x=1"),
        ("model.sequence.3.x=1", "model.sequence is a list"),
        ("model.head=3", "model.head = 3: Input should be"),
        ("model.head.kind=nothing", "its kind must be one of mlp, cross, quadratic"),
        ("preset=3", "preset = 3: Input should be a valid string"),
    ],
)
def test_a_wrong_setting_below_a_section(folder, override, words):
    with pytest.raises(InputError) as error:
        load_config(folder, overrides=[override])
    assert words in str(error.value)

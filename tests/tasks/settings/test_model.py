"""A part's settings are what its module is built with."""

import inspect
from typing import get_args

import pytest
from pydantic import TypeAdapter

from mmctr.common.components import load_component
from tasks.settings.base import Component
from tasks.settings.model import HeadConfig, ModelConfig, SequenceConfig

PARTS = [*get_args(get_args(SequenceConfig)[0])]


def options_of(component):
    """Names of what a component is built with, and whether each is a keyword that must be given."""
    _, _, *options = inspect.signature(component.__init__).parameters.values()
    return {option.name: option.kind is option.KEYWORD_ONLY and option.default is option.empty for option in options}


@pytest.mark.parametrize("config", PARTS, ids=lambda config: config.__name__)
def test_a_part_has_a_setting_for_each_of_its_options(config):
    fields = dict(config.model_fields)
    kind = fields.pop("kind").default
    (mark,) = config.marked(Component).values()
    options = options_of(load_component(mark.package, kind))
    assert options.keys() == fields.keys()
    assert all(options.values()), "keywords without a default: the settings have it"
    assert all(field.description and field.is_required() is False for field in fields.values())


@pytest.mark.parametrize("config", PARTS, ids=lambda config: config.__name__)
def test_a_part_is_chosen_by_its_kind(config):
    kind = config.model_fields["kind"].default
    model = ModelConfig(sequence=[{"kind": kind}])
    assert type(model.sequence[0]) is config
    assert model.parts["sequence"][0].kind == kind
    assert f"mmctr.models.sequence.{kind}" in model.components()
    assert TypeAdapter(HeadConfig)

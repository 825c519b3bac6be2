"""Keys and names of stages."""

import inspect
from dataclasses import dataclass

import pytest

from tasks.build_weights import build_weights
from tasks.cache.results import STAGES, Result
from tasks.cache.stage import stage_key
from tasks.cache.unkeyed import Unkeyed
from tasks.cache.workspace import FileRef
from tasks.embed import embed
from tasks.extract import extract
from tasks.predict import predict
from tasks.reduce import reduce
from tasks.settings.sections import PipelineConfig
from tasks.train import train


@dataclass(frozen=True)
class Note(Unkeyed):
    text: str


def key(**inputs):
    embeddings = FileRef(path="anywhere", sha256="0" * 64)
    return stage_key(build_weights, {"item_embeddings": embeddings, **inputs})


def test_what_is_unkeyed_takes_no_part_in_a_key():
    assert key(note=Note(text="one")) == key(note=Note(text="another")) == key()
    assert key(item_embeddings=FileRef(path="anywhere", sha256="1" * 64)) != key()
    with pytest.raises(TypeError, match="a stage takes sections, references and plain values, found set"):
        key(note={"text"})


def test_the_names_of_the_stages_are_those_of_their_tasks_results_and_sections():
    tasks = (extract, embed, reduce, build_weights, train, predict)
    assert [task.name for task in tasks] == list(STAGES)
    assert [result.model_fields["stage"].default for result in Result.__subclasses__()] == list(STAGES)
    assert set(PipelineConfig.model_fields) & set(STAGES) == {*STAGES} - {"build_weights"}


@pytest.mark.parametrize("task", [extract, embed, reduce, build_weights, train, predict], ids=lambda task: task.name)
def test_no_stage_fills_in_an_input_by_itself(task):
    """Its key is made of what it is called with, and Prefect's of what it then has: both must be the same."""
    parameters = inspect.signature(task.fn).parameters.values()
    assert [one.name for one in parameters if one.default is not inspect.Parameter.empty] == []

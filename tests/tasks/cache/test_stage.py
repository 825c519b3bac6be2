"""Keys of stages, and the locks under which stages run."""

import pytest

from tasks.build_weights import build_weights
from tasks.cache.stage import stage_key
from tasks.cache.unkeyed import Unkeyed
from tasks.cache.workspace import FileRef
from tasks.settings.sections import BuildWeightsConfig


class Note(Unkeyed):
    text: str


def key(**inputs):
    embeddings = FileRef(path="anywhere", sha256="0" * 64)
    return stage_key(build_weights, {"config": BuildWeightsConfig(), "item_embeddings": embeddings, **inputs})


def test_what_is_unkeyed_takes_no_part_in_a_key():
    assert key(note=Note(text="one")) == key(note=Note(text="another")) == key()
    assert key(item_embeddings=FileRef(path="anywhere", sha256="1" * 64)) != key()
    with pytest.raises(TypeError, match="a stage takes sections, references and plain values, found set"):
        key(note={"text"})

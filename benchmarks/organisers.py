"""The organisers' model of the challenge as the preset `organisers` builds it, and items with tags for it."""

import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np

import mmctr.models
from mmctr.clicks.feature_encoding import Encoded
from mmctr.clicks.item_table import ItemTable
from mmctr.inputs.features import Feature
from mmctr.models.architecture import Architecture
from mmctr.training.recipe import Recipe
from tasks.settings.model import ModelConfig

PRESET = tomllib.loads((Path(mmctr.models.__path__[0]) / "presets" / "organisers.toml").read_text())
TAGS = Feature("item_tags", "tags", max_tags=5, size=11_740)
LEVEL_VOCABULARY = 11  # of the organisers; the library's tables have 20 rows


def architecture(table: ItemTable) -> Architecture:
    """The preset's, for the items of `tagged`."""
    parts = ModelConfig.model_validate(PRESET["model"]).parts
    return Architecture(len(table.ids), table.weights.shape[1], item_features=(TAGS,), **parts)


def recipe() -> Recipe:
    """The preset's."""
    return Recipe(**PRESET["train"])


def tagged(table: ItemTable, *, seed: int = 0) -> ItemTable:
    """`table` with zero to five random tags for each item."""
    rng = np.random.default_rng(seed)
    assert TAGS.size is not None
    tags = rng.integers(1, TAGS.size, (len(table.weights), TAGS.max_tags), dtype=np.int32)
    tags[np.arange(TAGS.max_tags) >= rng.integers(0, TAGS.max_tags + 1, len(tags))[:, None]] = 0
    tags[0] = 0
    return replace(table, features=Encoded(tags, np.zeros((len(tags), 0), np.float32)))

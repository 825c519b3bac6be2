"""The preset `organisers` is the organisers' DIN: what plain padded layers of the same weights compute."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from fuxictr_peer import padded
from generated import click_split, item_table
from organisers import PRESET, architecture, tagged
from organisers_layers import PlainDIN, assert_same_gradients, hand_over, without_dropout
from torch.nn.functional import binary_cross_entropy_with_logits

import mmctr.models
from mmctr.models.base import ClickModel
from mmctr.models.items.fitting import fit_item_encoder


def setting(*, rows=40):
    """Both models with the same weights, and a batch with empty and long histories."""
    rng = np.random.default_rng(0)
    table = tagged(item_table(rng, dim=128))
    split = click_split(rng, table, rows=rows, longest=20)
    torch.manual_seed(0)
    plain, ours = PlainDIN(len(table.weights)), ClickModel(without_dropout(architecture(table)))
    ours.set_items(table)
    fit_item_encoder(ours.items, split)
    hand_over(plain.layers(), ours)
    return plain, ours, split.slice(0, rows), table


@pytest.fixture(autouse=True)
def several_parts(monkeypatch):
    """The attention in parts of some seven history items."""
    monkeypatch.setattr("mmctr.models.sequence.target_attention.PART", 7)


@pytest.mark.parametrize("training", [False, True])
def test_the_same_weights_give_the_logits_of_plain_padded_layers(training):
    plain, ours, batch, table = setting()
    for _ in range(3):  # so that batch norm's averages are not those of fresh layers
        plain(padded(batch, table))
    hand_over(plain.layers(), ours)
    expected = plain.train(training)(padded(batch, table))
    found = ours.train(training)(batch)
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.01


def test_the_same_weights_have_the_gradients_of_plain_padded_layers():
    plain, ours, batch, table = setting()
    for logits in (plain(padded(batch, table)), ours(batch)):
        binary_cross_entropy_with_logits(logits, batch.label).backward()
    assert_same_gradients(plain.layers(), ours)


def test_what_fuxictr_counts_as_an_embedding_layer_is_counted_so():
    _, ours, _, _ = setting()
    names = {id(weight): name for name, weight in ours.named_parameters()}
    assert sorted(names[id(weight)] for weight in ours.embedding_weights()) == [
        "items.features.tables.0.weight",
        "items.ids.weight",
        "items.projection.weight",
        "row_features.tables.0.weight",
        "row_features.tables.1.weight",
    ]


def leaves(settings, path=""):
    """Each value of nested settings by its path."""
    if not isinstance(settings, dict | list):
        return {path: settings}
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    return {name: leaf for key, value in items for name, leaf in leaves(value, f"{path}.{key}").items()}


def test_the_regularised_preset_differs_in_what_task_1_leaves_open_alone():
    path = Path(mmctr.models.__path__[0]) / "presets" / "regularised.toml"
    first, second = (
        leaves({k: v for k, v in preset.items() if k != "about"})
        for preset in (PRESET, tomllib.loads(path.read_text()))
    )
    changed = {name for name in first | second if first.get(name) != second.get(name)}
    assert changed == {".train.batch_size", ".train.net_l2", ".train.embedding_l2", ".model.head.dropout"}

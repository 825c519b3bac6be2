from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from featured import open_shop, write_shop
from generated import checkpoint as small_checkpoint
from generated import click_split, din, item_table

from mmctr.clicks.feature_encoding import FeatureEncoding
from mmctr.clicks.item_table import ItemTable
from mmctr.common.errors import InputError
from mmctr.evaluation.prediction import predict_logits
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint import Checkpoint
from mmctr.training.loop import train_model
from mmctr.training.recipe import Recipe
from mmctr.training.warm_start import FEATURES, start_from


@pytest.fixture
def earlier():
    """A model of 50 items whose weights are none that a fresh one would have."""
    table = item_table(np.random.default_rng(0))
    model = din(table)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.25)
        model.items.content.weight[0].zero_()
    return table, small_checkpoint(table, weights=model.state_dict())


def started_from(model, table, earlier):
    """`start_from` for a model of the same features."""
    return start_from(model, table, earlier, row_encoding=earlier.row_encoding, item_encoding=earlier.item_encoding)


def grown(table):
    """The items in another order, one of them gone and two new."""
    rng = np.random.default_rng(1)
    ids = np.concatenate([rng.permutation(table.ids.values[1:]), [10**6, 10**6 + 1]])
    weights = rng.normal(size=(len(ids) + 1, table.weights.shape[1])).astype(np.float32)
    weights[0] = 0
    return ItemTable(Vocabulary(ids), weights)


def test_items_keep_what_was_learned_of_them_by_id_and_new_ones_keep_their_vectors(earlier):
    table, checkpoint = earlier
    later = grown(table)
    model = din(later)
    assert started_from(model, later, checkpoint) == 49
    rows = model.items.content.weight.detach().numpy()
    for position, item_id in enumerate(later.ids.values):
        if item_id in table.id_to_idx:
            assert np.array_equal(rows[position + 1], checkpoint.table.weights[table.id_to_idx[item_id]])
        else:
            assert np.array_equal(rows[position + 1], later.weights[position + 1])
    assert not rows[0].any()
    for name, weight in model.state_dict().items():
        if name != "items.content.weight":
            assert torch.equal(weight, checkpoint.weights[name]), name


def test_on_the_same_items_the_first_logits_are_the_earlier_models(earlier):
    table, checkpoint = earlier
    model, known = din(table), ClickModel(checkpoint.architecture)
    known.load_state_dict(checkpoint.weights)
    started_from(model, table, checkpoint)
    split = click_split(np.random.default_rng(2), table)
    assert np.array_equal(
        predict_logits(model, split, batch_size=64), predict_logits(known.eval(), split, batch_size=64)
    )


def test_a_frozen_table_stays_as_it_is(earlier):
    table, checkpoint = earlier
    later = grown(table)
    model = din(later, freeze=True)
    started_from(model, later, checkpoint)
    assert np.array_equal(model.items.content.weight.numpy(force=True), later.weights)


def test_a_model_of_other_widths_is_refused(earlier):
    table, checkpoint = earlier
    narrow = item_table(np.random.default_rng(0), dim=4)
    with pytest.raises(InputError, match=r"needs a model of the earlier one's widths.*`dim`.*`earlier=None`"):
        started_from(din(narrow), narrow, checkpoint)
    other = {name: weight for name, weight in checkpoint.weights.items() if not name.startswith("head")}
    with pytest.raises(InputError, match="has others"):
        started_from(din(table), table, Checkpoint(**{**vars(checkpoint), "weights": other}))


def test_training_starts_where_the_earlier_model_ended(earlier):
    table, checkpoint = earlier
    rng = np.random.default_rng(3)
    split, recipe = click_split(rng, table, rows=200), Recipe(epochs=1, batch_size=100, learning_rate=1e-9)
    trained, _ = train_model(
        table,
        split,
        split,
        **{"architecture": checkpoint.architecture, "recipe": recipe, "max_len": 64, "device": "cpu"},
        earlier=checkpoint,
        progress=False,
    )
    for name, weight in checkpoint.weights.items():
        if weight.requires_grad or "running" not in name:
            assert torch.allclose(trained.weights[name], weight, atol=1e-5), name


def test_values_keep_what_was_learned_of_them_wherever_their_rows_are(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    write_shop(tmp_path / "first", seed=0)
    write_shop(tmp_path / "second", seed=1)
    for place, column in (("train", "device"), ("items", "brand")):  # "a tv" and "0" move all other values
        path = tmp_path / "second" / f"{place}.parquet"
        frame = pl.read_parquet(path)
        new = pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("0")).otherwise(pl.col(column)).alias(column)
        frame.with_columns(new).write_parquet(path)
    first, second = open_shop(tmp_path / "first"), open_shop(tmp_path / "second")
    earlier, recipe = (
        first.trained(Recipe(epochs=2, batch_size=50)),
        Recipe(epochs=1, batch_size=400, learning_rate=1e-9),
    )
    later = second.trained(recipe, earlier=earlier)
    moved = 0
    for name, ours, theirs in (
        ("row_features", second.rows, first.rows),
        ("item_features", second.items, first.items),
    ):
        embedded = [
            pair for pair in zip(ours.features, theirs.features, strict=True) if pair[0].feature.kind != "number"
        ]
        for number, (own, other) in enumerate(embedded):
            table = f"{FEATURES[name]}.tables.{number}.weight"
            values = range(24) if own.vocabulary is None else own.vocabulary.values.to_pylist()
            known = list(values) if other.vocabulary is None else other.vocabulary.values.to_pylist()
            first_row = 0 if own.vocabulary is None else 1
            for position, value in enumerate(values):
                found = later.weights[table][position + first_row]
                if value in known:
                    assert torch.allclose(found, earlier.weights[table][known.index(value) + first_row], atol=1e-6)
                    moved += known.index(value) != position
                else:
                    assert value == "0"
                    assert found.any()
    assert moved > 4
    assert torch.allclose(later.weights["head.tower.0.weight"], earlier.weights["head.tower.0.weight"], atol=1e-6)


@pytest.mark.parametrize("change", [{"width": 9}, {"kind": "tags"}, {"column": "gadget"}])
def test_other_features_are_refused_with_one_message(tmp_path, change):
    write_shop(tmp_path)
    shop = open_shop(tmp_path)
    earlier = shop.trained(Recipe(epochs=1, batch_size=400))
    hour, device, *rest = shop.rows.features
    other = FeatureEncoding((hour, replace(device, feature=replace(device.feature, **change)), *rest))
    with pytest.raises(InputError) as error:
        replace(shop, rows=other).trained(Recipe(epochs=1), earlier=earlier)
    assert str(error.value).startswith("a warm start needs the `row_features` of the earlier model, of the same kinds")
    assert "`earlier=None`" in str(error.value)

"""Features in the model: what a plain loop gives, and where they count."""

import numpy as np
import pytest
import torch
from featured import CLICKS, ROWS, open_shop, write_shop
from hypothesis import given
from hypothesis import strategies as st

from mmctr.clicks.batch import Batch
from mmctr.clicks.split import split_from_lists
from mmctr.inputs.features import Feature
from mmctr.models.base import ClickModel
from mmctr.models.feature_embedding import FeatureEmbedding

FEATURES = (
    Feature("price", "number"),
    Feature("tags", "tags", width=3, size=5, max_tags=4),
    Feature("colour", "category", width=2, size=6),
    Feature("dwell", "number"),
)


def embedded_by_hand(model, ids, numbers):
    tags, colours = (table.weight.detach().numpy().astype(np.float64) for table in model.tables)
    rows = []
    for row, (price, price_flag, dwell, dwell_flag) in zip(ids, numbers, strict=True):
        known = [tags[tag] for tag in row[:4] if tag]
        mean = sum(known) / len(known) if known else np.zeros(3)
        rows.append([price, price_flag, *mean, *colours[row[4]], dwell, dwell_flag])
    return np.array(rows).reshape(len(ids), 9)


@given(st.integers(0, 2**31 - 1), st.integers(0, 6))
def test_features_are_embedded_as_by_a_loop(seed, rows):
    rng = np.random.default_rng(seed)
    model = FeatureEmbedding(FEATURES)
    ids = np.concatenate([rng.integers(0, 5, (rows, 4)), rng.integers(0, 6, (rows, 1))], axis=1).astype(np.int32)
    numbers = rng.normal(size=(rows, 4)).astype(np.float32)
    found = model(torch.from_numpy(ids), torch.from_numpy(numbers))
    assert found.shape == (rows, model.width)
    assert np.allclose(found.detach().numpy(), embedded_by_hand(model, ids, numbers), atol=1e-6)


def test_unknown_values_stay_zero_when_their_tables_learn():
    model = FeatureEmbedding(FEATURES)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    ids, numbers = torch.tensor([[0, 0, 0, 0, 0], [1, 0, 2, 0, 3]], dtype=torch.int32), torch.zeros(2, 4)
    for _ in range(3):
        optimizer.zero_grad()
        model(ids, numbers).sum().backward()
        optimizer.step()
    assert not model(ids, numbers)[0].any()
    assert all(not table.weight[0].any() and table.weight[1:].abs().max() > 0.2 for table in model.tables)


def test_columns_of_other_features_are_refused():
    with pytest.raises(ValueError, match="features must have 5 columns of ids and 4 of numbers, found 2 and 0"):
        FeatureEmbedding(FEATURES)(torch.zeros(1, 2, dtype=torch.int32), torch.zeros(1, 0))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return open_shop(folder)


@pytest.fixture
def model(shop):
    """A DIN of the shop whose item vectors are not zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ClickModel(shop.architecture)
    model.items.set_features(shop.table)
    return model.eval()


def test_an_item_is_its_vector_beside_its_features_as_a_target_and_in_a_history(shop, model):
    items = torch.tensor([0, 5, 9])
    ids, numbers = (torch.from_numpy(array[items]) for array in (shop.table.feature_ids, shop.table.feature_numbers))
    expected = torch.cat([model.items.content.weight[items], model.items.features(ids, numbers)], dim=1)
    assert torch.equal(model.items(items), expected)
    assert model.sequence[0].first.in_features == 4 * expected.shape[1]
    assert model.head.tower[0].in_features == 2 * expected.shape[1] + model.row_features.width


@pytest.mark.parametrize("place", ["history", "target"])
def test_a_feature_of_an_item_changes_the_logits_of_the_rows_that_have_it_and_no_others(shop, model, place):
    batch = shop.valid.slice(0, 100)
    item = int(batch.history[0] if place == "history" else batch.target[0])
    in_history = torch.zeros(100, dtype=torch.bool).index_fill_(0, batch.row[batch.history == item], True)
    touched = in_history | (batch.target == item)
    before = model(batch)
    for name in ("feature_ids", "feature_numbers"):
        table = getattr(model.items, name)
        kept = table[item].clone()
        table[item] = table[item] + 1 if name.endswith("numbers") else torch.where(table[item] == 1, 2, 1)
        changed = (model(batch) - before).abs() > 1e-7
        assert torch.equal(changed, touched), name
        table[item] = kept


@given(seed=st.integers(0, 2**31 - 1))
def test_other_rows_and_the_order_of_rows_and_histories_do_not_matter(shop, seed):
    torch.manual_seed(seed)
    model = ClickModel(shop.architecture)
    model.items.set_features(shop.table)
    model.eval()
    rows = torch.from_numpy(np.random.default_rng(seed).permutation(len(shop.valid))[:20])
    together = model(shop.valid.take(rows))
    alone = torch.cat([model(shop.valid.slice(row, row + 1)) for row in rows.tolist()])
    assert torch.allclose(together, alone, atol=1e-5)
    batch = shop.valid.take(rows)
    mixed = torch.from_numpy(np.lexsort((np.random.default_rng(seed).random(len(batch.row)), batch.row.numpy())))
    assert torch.allclose(together, model(Batch(**{**vars(batch), "history": batch.history[mixed]})), atol=1e-5)


def test_values_that_train_does_not_have_are_scored_as_none(shop, model):
    rows = {"seen": [["sku/001"]] * 2, "shown": ["sku/002"] * 2, "hour": [3, 3], "dwell": [None, None]}
    rows |= {"device": ["a phone of tomorrow", None], "words": [["new", "newer"], []]}
    split = split_from_lists(rows, table=shop.table, columns=CLICKS, encoding=shop.rows, max_len=64)
    first, second = model(split.slice(0, 2)).tolist()
    assert first == second
    assert [feature.column for feature in ROWS if feature.kind == "tags"] == ["words"]

from dataclasses import replace

import numpy as np
import pytest
import torch
from generated import architecture, click_split, item_table

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.history_vectors import history_vectors
from mmctr.models.architecture import ItemOptions
from mmctr.models.base import ClickModel
from mmctr.models.items.encoder import ItemEncoder
from mmctr.models.items.fitting import fit_item_encoder

ITEMS, DIM = 50, 8


@pytest.fixture
def table():
    return item_table(np.random.default_rng(0), items=ITEMS, dim=DIM)


def encoder(table, split=None, **options):
    """With what the rows of `split` say of its items."""
    torch.manual_seed(0)
    made = ItemEncoder(ITEMS, DIM, options=ItemOptions(**options), features=())
    made.set_table(table)
    if split is not None:
        fit_item_encoder(made, split)
    return made


def rows_of(history, target):
    """A split of one row for each target, the history all in the first one."""
    ids, numbers = torch.zeros(len(target), 0, dtype=torch.int32), torch.zeros(len(target), 0)
    offsets = torch.tensor([0] + [len(history)] * len(target))
    items = [torch.tensor(values, dtype=torch.int32) for values in (history, target)]
    return ClickSplit(items[0], offsets, items[1], feature_ids=ids, feature_numbers=numbers, label=None)


def test_by_default_an_item_is_its_vector(table):
    items = encoder(table)
    assert (items.is_table, items.width) == (True, DIM)
    assert torch.equal(items(torch.tensor([0, 3, 50])), torch.from_numpy(table.weights[[0, 3, 50]]))


def test_each_part_stands_beside_the_others(table):
    split = rows_of([1, 1, 2], [3, 3])
    items = encoder(table, split, content="frozen", content_width=5, id_width=4, history_count=True).eval()
    assert (items.is_table, items.width) == (False, 10)
    of_three, of_two = items(torch.tensor([3])), items(torch.tensor([2]))
    assert torch.allclose(of_three[0, :5], items.projection.weight @ torch.from_numpy(table.weights[3]), atol=1e-6)
    assert torch.equal(of_three[0, 5:9], items.ids.weight[3])
    logs = np.zeros(ITEMS)
    logs[[0, 1]] = np.log([3, 2])  # items 1 and 2 are in histories
    assert of_two[0, 9].item() == pytest.approx((logs[1] - logs.mean()) / logs.std(), rel=1e-5)
    assert encoder(table, content="none", id_width=4).width == 4


def test_ids_begin_with_the_spread_of_the_vectors_and_the_unknown_one_at_zero(table):
    ids = encoder(table, id_width=64).ids.weight.detach()
    assert float(ids[1:].std()) == pytest.approx(table.weights[1:].std(), rel=0.05)
    assert not ids[0].any()
    blank = replace(table, weights=np.zeros_like(table.weights))
    assert float(encoder(blank, id_width=64).ids.weight.detach()[1:].std()) == pytest.approx(0.05, rel=0.05)


@pytest.mark.parametrize(("least", "unknown"), [(0, []), (1, [9]), (2, [4, 9]), (3, [3, 4, 9])])
def test_an_id_that_is_rare_in_train_is_the_unknown_one(table, least, unknown):
    split = rows_of([1, 1, 3], [3, 4, 1])  # item 1 is there three times, 3 twice, 4 once, 9 never
    items = encoder(table, split, content="none", id_width=4, id_min_count=least).eval()
    for item in (1, 3, 4, 9):
        expected = items.ids.weight[0 if item in unknown else item]
        assert torch.equal(items(torch.tensor([item]))[0], expected), item


@pytest.mark.parametrize(
    ("options", "share_of_rare", "share_of_frequent"),
    [({"id_dropout": 0.3}, 0.3, 0.3), ({"id_mask_count": 3.0}, 0.75, 3 / 103), ({}, 0.0, 0.0)],
)
def test_ids_are_masked_by_chance_while_training_and_never_afterwards(table, options, share_of_rare, share_of_frequent):
    split = rows_of([1] * 100, [2])
    items = encoder(table, split, content="none", id_width=4, **options)
    for item, share in ((2, share_of_rare), (1, share_of_frequent)):
        many = torch.full((20_000,), item)
        assert float((items(many) == 0).all(dim=1).float().mean()) == pytest.approx(share, abs=0.015)
        assert not (items.eval()(many) == 0).all(dim=1).any()
        items.train()


def test_the_unknown_id_is_learned(table):
    items = encoder(table, rows_of([1], [1]), content="none", id_width=4)
    items(torch.tensor([0, 7, 1])).sum().backward()
    grad = items.ids.weight.grad.to_dense()
    assert torch.equal(grad[:2], torch.tensor([[2.0] * 4, [1.0] * 4]))
    assert not grad[2:].any()


def test_a_model_encodes_each_item_once_and_to_the_same_logits_and_gradients(table, monkeypatch):
    split = click_split(np.random.default_rng(1), table, rows=30)
    batch = split.slice(0, 30)
    torch.manual_seed(0)
    options = ItemOptions(content="trained", content_width=3, id_width=4, history_count=True)
    model = ClickModel(replace(architecture(table), item=options))
    model.set_items(table)
    fit_item_encoder(model.items, split)
    seen, encode = [], model.items.forward
    monkeypatch.setattr(model.items, "forward", lambda items: seen.append(items) or encode(items))
    once = gradients(model, batch)
    assert len(seen) == 1
    assert len(seen[0]) == len(torch.cat([batch.target, batch.history]).unique())
    monkeypatch.setattr(ItemEncoder, "is_table", True)
    twice = gradients(model, batch)
    assert len(seen) == 3
    for name, value in once.items():
        assert torch.allclose(value, twice[name], atol=1e-6), name


def gradients(model, batch):
    logits = model.eval()(batch)
    model.zero_grad()
    logits.square().sum().backward()
    return {"logits": logits} | {name: weight.grad.to_dense() for name, weight in model.named_parameters()}


def test_embeddings_are_drawn_anew_as_they_began_and_nothing_else_is(table):
    split = click_split(np.random.default_rng(1), table)
    model = ClickModel(replace(architecture(table), item=ItemOptions(content="frozen", id_width=16)))
    model.set_items(table)
    fit_item_encoder(model.items, split)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.reset_embeddings(3)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    model.reset_embeddings(3)
    drawn = {name for name, value in first.items() if not torch.equal(value, before[name])}
    assert drawn == {"items.ids.weight", "row_features.tables.0.weight", "row_features.tables.1.weight"}
    for name, value in model.state_dict().items():
        assert torch.equal(value, first[name])
        if name in drawn:
            assert not value[0].any()
            assert float(value[1:].std()) == pytest.approx(float(before[name][1:].std()), rel=0.2)
    model.reset_embeddings(4)
    assert not torch.equal(model.items.ids.weight, first["items.ids.weight"])


def test_vectors_of_histories_stand_beside_the_others(table):
    split = click_split(np.random.default_rng(1), table, rows=300)
    items = encoder(table, split, content="none", id_width=4, history_width=6).eval()
    expected = torch.from_numpy(history_vectors(split, items=ITEMS, width=6))
    assert items.width == 10
    assert torch.equal(items(torch.arange(ITEMS + 1))[:, 4:], expected)
    assert (expected[1:] != 0).any(dim=1).all()


def test_what_train_says_of_items_goes_with_the_model(table):
    split = click_split(np.random.default_rng(1), table)
    options = ItemOptions(id_width=4, history_width=3, history_count=True)
    model = ClickModel(replace(architecture(table), item=options))
    model.set_items(table)
    fit_item_encoder(model.items, split)
    other = ClickModel(replace(architecture(table), item=options))
    other.load_state_dict(model.state_dict())
    batch = split.slice(0, 20)
    assert torch.equal(other.eval()(batch), model.eval()(batch))


def test_every_trained_weight_is_an_embedding_or_dense(table):
    model = ClickModel(replace(architecture(table), item=ItemOptions(id_width=4, content_width=3)))
    embeddings = {id(weight) for weight in model.embedding_weights()}
    names = {name for name, weight in model.named_parameters() if id(weight) in embeddings}
    rows = {f"row_features.tables.{number}.weight" for number in (0, 1)}
    assert names == {"items.content.weight", "items.projection.weight", "items.ids.weight", *rows}
    frozen = ClickModel(replace(architecture(table), item=ItemOptions(content="frozen")))
    assert len(frozen.embedding_weights()) == 2

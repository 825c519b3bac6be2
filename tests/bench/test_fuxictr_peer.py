"""The packed model of `benchmarks/organisers_din.py` is the organisers' model on FuxiCTR's own layers."""

import numpy as np
import pytest
import torch
from generated import click_split, item_table
from organisers_din import CONTENT_DIM, EMBEDDING_L2, OrganisersDIN, Trainer, item_info, random_patterns, threshold


def setting(*, rows=40):
    """A batch with empty and long histories, and the features of its items."""
    rng = np.random.default_rng(0)
    table = item_table(rng, dim=CONTENT_DIM)
    split = click_split(rng, table, rows=rows, longest=20)
    label = torch.from_numpy((rng.random(rows) < 0.5).astype(np.float32))
    return item_info(table.weights), type(split)(**{**vars(split), "label": label}).slice(0, rows)


def both(info, *, dropout, tmp_path):
    fuxictr_peer = pytest.importorskip("fuxictr_peer")
    pytest.importorskip("fuxictr", reason="FuxiCTR is in the extra `bench`")
    torch.manual_seed(0)
    theirs, ours = fuxictr_peer.peer(info, dropout=dropout, folder=tmp_path), OrganisersDIN(info, dropout=dropout)
    for table in ("item_id", "item_tags", "likes_level", "views_level"):  # FuxiCTR starts them at 1e-4
        with torch.no_grad():
            theirs.embedding_layer.embedding_layer.embedding_layers[table].weight[1:].normal_()
    return fuxictr_peer, theirs, ours, fuxictr_peer.hand_over(theirs, ours)


@pytest.mark.parametrize("training", [False, True])
def test_the_same_weights_give_the_same_logits(tmp_path, monkeypatch, training):
    monkeypatch.setattr("organisers_din.CHUNK_ROWS", 7)
    info, batch = setting()
    module, theirs, ours, _ = both(info, dropout=0.0, tmp_path=tmp_path)
    expected = theirs.train(training).logits(module.padded(batch, info))
    assert torch.allclose(ours.train(training)(batch), expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


def test_dropout_does_nothing_in_evaluation(tmp_path):
    info, batch = setting()
    module, theirs, ours, _ = both(info, dropout=0.1, tmp_path=tmp_path)
    expected = theirs.eval().logits(module.padded(batch, info))
    assert torch.allclose(ours.eval()(batch), expected, atol=1e-5, rtol=1e-5)


def test_one_step_gives_the_same_gradients_and_weights(tmp_path, monkeypatch):
    monkeypatch.setattr("organisers_din.CHUNK_ROWS", 7)
    monkeypatch.setattr("organisers_din.EMBEDDING_L2", 100 * EMBEDDING_L2)
    monkeypatch.setattr("fuxictr_peer.EMBEDDING_L2", 100 * EMBEDDING_L2)
    info, batch = setting()
    module, theirs, ours, layers = both(info, dropout=0.0, tmp_path=tmp_path)
    theirs.train().train_step(module.padded(batch, info))
    Trainer(ours.train()).step(batch)
    for source, target in layers:
        for (name, expected), found in zip(source.named_parameters(), target.parameters(), strict=True):
            scale = expected.grad.abs().max()
            assert torch.allclose(found.grad, expected.grad, atol=1e-5 * max(scale, 1e-3)), (source, name)


def test_the_threshold_drops_its_share_of_all_patterns():
    torch.manual_seed(0)
    noise = random_patterns(torch.empty(1001, 1000))
    assert noise.shape == (1001, 1000)
    for share in (0.0, 0.1, 0.2, 0.4):
        assert (noise <= threshold(share)).float().mean().item() == pytest.approx(share, abs=0.002)


def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_what_it_kept():
    torch.manual_seed(0)
    info, _ = setting()
    relu = OrganisersDIN(info, dropout=0.2).relu
    x = torch.randn(2000, 50, requires_grad=True)
    out = relu(x)
    assert out.mean().item() == pytest.approx(x.relu().mean().item(), rel=0.02)
    assert ((out == 0) & (x > 0)).float().mean().item() == pytest.approx(0.1, abs=0.01)
    out.sum().backward()
    assert torch.equal(x.grad, (out > 0) * torch.tensor(1 / 0.8))
    torch.manual_seed(0)
    assert not torch.equal(relu(x), out)
    assert torch.equal(relu.eval()(x), x.relu())

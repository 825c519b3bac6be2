"""The packed model and the padded reference are one model: logits, gradients and a few steps of training."""

import numpy as np
import polars as pl
import pytest
import torch
from generated import din, item_table
from padded_din import PaddedClicks, PaddedDIN, padded_loader

from mmctr.clicks.split import load_split
from mmctr.training.step import smoothed_loss


@pytest.fixture
def clicks(tmp_path):
    rng = np.random.default_rng(0)
    table = item_table(rng)
    history = rng.choice(table.ids.values, (96, 12))
    history[np.arange(12)[None, :] < rng.integers(0, 12, 96)[:, None]] = 0
    history[:5] = 0
    frame = pl.DataFrame(
        {
            "item_seq": pl.Series(history, dtype=pl.Array(pl.Int64, 12)),
            "item_id": rng.choice(table.ids.values, 96),
            "likes_level": rng.integers(1, 11, 96),
            "views_level": rng.integers(1, 11, 96),
            "label": rng.integers(0, 2, 96),
        }
    )
    frame.write_parquet(tmp_path / "clicks.parquet")
    return tmp_path / "clicks.parquet", table


@pytest.mark.parametrize("training", [True, False])
def test_logits_and_gradients_are_equal(clicks, training):
    path, table = clicks
    packed = din(table).train(training)
    padded = PaddedDIN(packed).train(training)
    batch = load_split(path, table=table, max_len=9, with_label=True).slice(0, 96)
    *columns, label = next(
        iter(padded_loader(PaddedClicks(path, table=table, max_len=9), batch_size=96, shuffle=False))
    )
    found, expected = packed(batch), padded(*columns)
    assert torch.equal(label, batch.label)
    assert torch.allclose(found, expected, atol=1e-5)
    for logits in (found, expected):
        smoothed_loss(logits, label, smoothing=0.01).backward()
    gradients = dict(padded.named_parameters())
    for name, weight in packed.named_parameters():
        assert torch.allclose(weight.grad.to_dense(), gradients[name].grad, atol=1e-5), name


def test_training_side_by_side_stays_together(clicks):
    path, table = clicks
    packed = din(table)
    padded = PaddedDIN(packed)
    split = load_split(path, table=table, with_label=True)
    rows = PaddedClicks(path, table=table)
    optimizers = [torch.optim.AdamW(model.parameters(), lr=1e-3) for model in (packed, padded)]
    for weight in packed.parameters():
        weight.grad = torch.zeros_like(weight)  # so that the sparse gradient of the items becomes a dense one
    for _ in range(5):
        order = torch.randperm(96, generator=torch.Generator().manual_seed(0))
        losses = []
        for batch in split.batches(32, order=order):
            losses.append(smoothed_loss(packed(batch), batch.label, smoothing=0.01))
            optimizers[0].zero_grad(set_to_none=False)
            losses[-1].backward()
            optimizers[0].step()
        for start in range(0, 96, 32):
            taken = order[start : start + 32]
            logits = padded(rows.history[taken], rows.target[taken], rows.likes[taken], rows.views[taken])
            loss = smoothed_loss(logits, rows.label[taken], smoothing=0.01)
            assert loss.item() == pytest.approx(losses[start // 32].item(), abs=1e-4)
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()

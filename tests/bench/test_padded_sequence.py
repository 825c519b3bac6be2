"""Each packed encoder and what it is measured beside are one function, forward and backward."""

import parts_sequence
import pytest
import torch
from real_shape import write_clicks

ROWS = 96
KINDS = ("target_attention", "multi_head", "transformer", "mean", "product", "similarity")


@pytest.fixture
def batch(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_sequence, "ROWS", ROWS)
    write_clicks(tmp_path / "train25k.parquet", ROWS)
    return parts_sequence.batch(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_equal(batch, kind):
    query, keys, row, padded, mask = batch
    ours, theirs = parts_sequence.pairs()[kind]
    found, expected = (
        ours(query.requires_grad_(), keys.requires_grad_(), row),
        theirs(query, padded.requires_grad_(), mask),
    )
    if kind == "similarity":  # a cosine on the edge of a range may be rounded to either side
        assert (found - expected).abs().gt(1e-5).sum() <= 2
        return
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    (of_query, of_keys), (query_there, padded_there) = (
        torch.autograd.grad(out.square().sum(), inputs, materialize_grads=True)
        for out, inputs in ((found, (query, keys)), (expected, (query, padded)))
    )
    torch.testing.assert_close(of_query, query_there, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(of_keys, padded_there[mask], atol=1e-5, rtol=1e-3)


def test_a_step_of_each_runs(batch):
    query, keys, row, padded, mask = batch
    for ours, theirs in parts_sequence.pairs().values():
        parts_sequence.step(ours, query, keys, row)()
        parts_sequence.step(theirs, query, padded, mask)()

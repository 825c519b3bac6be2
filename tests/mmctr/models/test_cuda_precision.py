"""The model's forward pass on CUDA tensors without memory: which numbers its products would get on a GPU."""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from without_gpu import Products, autocast_without_a_gpu

from mmctr.clicks.batch import Batch
from mmctr.models.architecture import MLP, TARGET_ATTENTION, Architecture
from mmctr.models.base import ClickModel

ROWS, ITEMS = 64, 300
DROPOUT = {"dropout": 0.1}
PARTS = {
    "sequence": [replace(TARGET_ATTENTION, options={**TARGET_ATTENTION.options, **DROPOUT})],
    "head": replace(MLP, options={**MLP.options, **DROPOUT}),
}


@pytest.mark.parametrize("training", [True, False])
def test_products_are_in_bfloat16_and_the_logit_in_float32(monkeypatch, training):
    monkeypatch.setattr("mmctr.models.layers.autocast", autocast_without_a_gpu)
    with FakeTensorMode(), torch.device("cuda"):
        model = ClickModel(Architecture(1000, 128, **PARTS)).train(training)
        batch = Batch(
            history=torch.ones(ITEMS, dtype=torch.int32),
            row=torch.zeros(ITEMS, dtype=torch.int64),
            target=torch.ones(ROWS, dtype=torch.int32),
            feature_ids=torch.ones(ROWS, 2, dtype=torch.int32),
            feature_numbers=torch.ones(ROWS, 0),
            label=None,
        )
        with autocast_without_a_gpu(model.device), Products() as products:
            logits = model(batch)
    assert logits.dtype == torch.float32
    assert logits.device.type == "cuda"
    *others, logit = products.found
    assert logit == {torch.float32}
    assert len(others) == 6  # two of the first attention layer, two of the rest, two of the tower
    assert all(dtypes == {torch.bfloat16} for dtypes in others)

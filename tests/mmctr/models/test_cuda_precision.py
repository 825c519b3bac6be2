"""The model's forward pass on CUDA tensors without memory: which numbers its products would get on a GPU."""

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from mmctr.clicks.batch import Batch
from mmctr.models.architecture import MLP, TARGET_ATTENTION, Architecture
from mmctr.models.base import ClickModel

ROWS, ITEMS = 64, 300
DROPOUT = {"dropout": 0.1}
PARTS = {
    "sequence": [replace(TARGET_ATTENTION, options={**TARGET_ATTENTION.options, **DROPOUT})],
    "head": replace(MLP, options={**MLP.options, **DROPOUT}),
}


@contextmanager
def autocast_without_a_gpu(device, *, enabled=True):
    """`mmctr.compute.numerics.autocast`, which PyTorch switches off where there is no GPU."""
    before = torch.is_autocast_enabled("cuda")
    torch.set_autocast_enabled("cuda", enabled and device.type == "cuda")
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", before)


class Products(TorchDispatchMode):
    """Keeps the precisions of the factors of each matrix product."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "mm" in str(function).split(".")[1]:
            self.found.append({value.dtype for value in args if isinstance(value, torch.Tensor)})
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("training", [True, False])
def test_products_are_in_bfloat16_and_the_logit_in_float32(monkeypatch, training):
    monkeypatch.setattr("mmctr.models.heads.mlp.autocast", autocast_without_a_gpu)
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

"""What a GPU would compute in which precision, found out without one: tensors on CUDA that have no memory."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode


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

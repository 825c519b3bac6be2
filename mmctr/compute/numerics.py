"""How numbers are computed: the precision of matrix products, and kernels that compute the same bits in every run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def autocast(device: torch.device, *, enabled: bool = True) -> torch.autocast:
    """bfloat16 for matrix products on CUDA, nothing on the CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled and device.type == "cuda")


@contextmanager
def deterministic() -> Iterator[None]:
    """Ask PyTorch for kernels without a random order of additions, and restore the setting afterwards.

    PyTorch would then fill every new tensor with NaN as well, so that a read of uninitialised memory is seen. No kernel
    here reads any, and the writing costs time, so that is switched off meanwhile.

    On CUDA it also needs `CUBLAS_WORKSPACE_CONFIG=:4096:8` in the environment before CUDA starts (PyTorch's notes on
    reproducibility).
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    filling: Any = torch.utils.deterministic
    filled = filling.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    filling.fill_uninitialized_memory = False
    try:
        yield
    finally:
        filling.fill_uninitialized_memory = filled
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def is_finite(tensor: Tensor) -> bool:
    """Whether no number of `tensor` is NaN or infinite; needs no memory beyond the tensor's own."""
    if tensor.numel() == 0:
        return True
    return bool(torch.stack(tensor.aminmax()).isfinite().all())

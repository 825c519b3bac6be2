"""The matrix products of a transformer's linear layers, in float32. For the CPU.

`int8` holds the same products in 8-bit integers.

Shapes: N rows, I inputs, O outputs.
"""

from typing import Protocol

import torch


class Product(Protocol):
    """x W^T + b for one weight (O, I) and bias (O,)."""

    def __call__(self, x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        """factor * (x W^T + b): float32 (N, I) to (N, O)."""

    def add_to(self, sums: torch.Tensor, x: torch.Tensor, *, factor: float = 1.0) -> None:
        """sums += factor * x W^T + b, in place: (N, O) and (N, I)."""


class Float32Product:
    """The product on the weight itself; nothing is copied."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._weight, self._bias = weight.t(), bias

    def __call__(self, x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        return torch.addmm(self._bias, x, self._weight, beta=factor, alpha=factor)

    def add_to(self, sums: torch.Tensor, x: torch.Tensor, *, factor: float = 1.0) -> None:
        sums.addmm_(x, self._weight, alpha=factor).add_(self._bias)

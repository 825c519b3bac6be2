"""The matrix products of a transformer's linear layers in float32, on the CPU.

Shapes: N rows, I inputs, O outputs.
"""

import torch


class Float32Product:
    """The product on the weight itself; nothing is copied."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._weight, self._bias = weight.t(), bias

    def __call__(self, x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        return torch.addmm(self._bias, x, self._weight, beta=factor, alpha=factor)

    def add_to(self, sums: torch.Tensor, x: torch.Tensor, *, factor: float = 1.0) -> None:
        sums.addmm_(x, self._weight, alpha=factor).add_(self._bias)


COMPONENT = Float32Product

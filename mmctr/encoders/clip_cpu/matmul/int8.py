"""The matrix products of a transformer's linear layers in 8-bit integers, on the CPU.

Shapes: N rows, I inputs, O outputs.
"""

import torch

WEIGHT_LEVELS = 64  # of 127: two products of a weight and a level of the inputs fit in 16 bits, as AVX2 adds them
INPUT_LEVELS = 127
ZERO = 128  # the level of 0 among the unsigned ones


class Int8Product:
    """The product of rounded inputs and weights, summed exactly in 32 bits.

    Each output of the weight and each row of the inputs has its own scale, taken from its largest magnitude. So a
    row's result does not depend on the other rows, and is the same on processors with and without instructions for it.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._scales = _largest(weight) / WEIGHT_LEVELS  # (O, 1)
        levels = (weight / self._scales).round_().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(levels, None)
        self._scales, self._bias = self._scales.flatten(), bias
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)

    def __call__(self, x: torch.Tensor, *, factor: float = 1.0) -> torch.Tensor:
        outputs, scales = self._multiply(x)
        return torch.addcmul(self._bias * factor, outputs, scales * factor)

    def add_to(self, sums: torch.Tensor, x: torch.Tensor, *, factor: float = 1.0) -> None:
        outputs, scales = self._multiply(x)
        sums.addcmul_(outputs, scales * factor).add_(self._bias)

    def _multiply(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """x W^T in units of the rows' scales, float32 (N, O), and these scales, (N, 1)."""
        scales = _largest(x) / INPUT_LEVELS
        half_up = torch.tensor(ZERO + 0.5)  # the conversion cuts the fraction off
        levels = torch.addcmul(half_up, x, 1 / scales).to(torch.uint8)
        outputs = torch.ops.onednn.qlinear_pointwise(
            *(levels, 1.0, ZERO),
            *(self._weight, self._scales, self._zeros),
            *(None, 1.0, 0, torch.float32, "none", [], ""),
        )
        return outputs, scales


def _largest(rows: torch.Tensor) -> torch.Tensor:
    """The largest magnitude of each row, (N, 1); of a row of zeros a very small number."""
    return rows.abs().amax(dim=1, keepdim=True).clamp_min_(1e-30)


COMPONENT = Int8Product

"""The matrix products that a training step needs, their operations, and how fast they run with nothing between them.

A linear layer from k to m on n rows needs three products of 2 n k m operations each: the output, the gradient of its
weights, and the gradient of its input where one is wanted. Everything else (lookups, activations, pooling, the
optimizer) counts as nothing here, so the share that a step reaches of the bare rate is what its other work costs.

Legend: B rows, N history items of all rows together, U different items among them, D item width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from mmctr.models.base import ClickModel
from mmctr.models.sequence.target_attention import PART

SQUARE = 2048


@dataclass(frozen=True)
class Linear:
    """`times` linear layers from `fan_in` to `fan_out` on `rows` rows each, forward and backward."""

    rows: int
    fan_in: int
    fan_out: int
    input_gradient: bool = True
    times: int = 1

    @property
    def operations(self) -> int:
        """Multiplications and additions of the two or three products."""
        return 2 * self.rows * self.fan_in * self.fan_out * self.times * (3 if self.input_gradient else 2)

    def bare(self) -> Callable[[], None]:
        """The products alone, on random matrices."""
        x, weight = torch.randn(self.rows, self.fan_in), torch.randn(self.fan_out, self.fan_in)
        y, grad_weight, grad_x = torch.randn(self.rows, self.fan_out), torch.empty_like(weight), torch.empty_like(x)

        def run() -> None:
            for _ in range(self.times):
                torch.mm(x, weight.T, out=y)
                torch.mm(y.T, x, out=grad_weight)
                if self.input_gradient:
                    torch.mm(y, weight, out=grad_x)

        return run


def din_layers(model: ClickModel, *, rows: int, items: int) -> list[Linear]:
    """Of a step of the challenge's baseline on B = `rows` and N = `items`; items that are frozen need no gradient."""
    dim, trained = model.items.content.embedding_dim, model.items.content.weight.requires_grad
    (attention,) = model.sequence
    hidden = [attention.first.out_features]
    hidden += [layer.out_features for layer in attention.rest if isinstance(layer, torch.nn.Linear)]
    tower = [layer for layer in model.head.tower if isinstance(layer, torch.nn.Linear)]
    widths = [tower[0].in_features, *(layer.out_features for layer in tower), 1]
    return [
        Linear(rows, dim, hidden[0], input_gradient=trained),
        Linear(items, 2 * dim, hidden[0], input_gradient=trained),  # k and q * k
        *(Linear(items, *pair) for pair in pairwise([*hidden, 1])),
        *(Linear(rows, *pair) for pair in pairwise(widths)),
    ]


def organisers_layers(model: ClickModel, *, rows: int, items: int, different: int) -> list[Linear]:
    """Of a step of the organisers' architecture, whose attention goes through about `PART` items at a time."""
    (attention,) = model.sequence
    parts = max(1, round(items / PART))
    of_rows, of_items = rows // parts, items // parts
    hidden = [attention.first.out_features, attention.rest[0].out_features]
    projection, item_width = model.items.projection, model.items.width
    tower = [layer for layer in model.head.tower if isinstance(layer, torch.nn.Linear)]
    widths = [tower[0].in_features, *(layer.out_features for layer in tower), 1]
    return [
        Linear(different, projection.in_features, projection.out_features, input_gradient=False),
        Linear(of_rows, item_width, hidden[0], times=parts),
        Linear(of_items, 2 * item_width, hidden[0], times=parts),  # k and q * k
        *(Linear(of_items, *pair, times=parts) for pair in pairwise([*hidden, 1])),
        *(Linear(rows, *pair) for pair in pairwise(widths)),
    ]


def operations(layers: Sequence[Linear]) -> int:
    """All multiplications and additions."""
    return sum(layer.operations for layer in layers)


def bare(layers: Sequence[Linear]) -> Callable[[], None]:
    """All products one after the other."""
    runs = [layer.bare() for layer in layers]

    def run() -> None:
        for one in runs:
            one()

    return run


def square(least: int) -> tuple[Callable[[], None], int]:
    """Products of two square matrices with at least this many operations, and how many they have."""
    a, b, out = torch.randn(SQUARE, SQUARE), torch.randn(SQUARE, SQUARE), torch.empty(SQUARE, SQUARE)
    times = -(-least // (2 * SQUARE**3))

    def run() -> None:
        for _ in range(times):
            torch.mm(a, b, out=out)

    return run, 2 * SQUARE**3 * times

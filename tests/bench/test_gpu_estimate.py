"""The counting behind the estimates for GPUs."""

import pytest
import torch
from gpu_estimate import GPUS, Estimate, counted


def test_a_product_is_counted_once_with_its_operations_and_bytes():
    x, weight = torch.randn(5, 7), torch.randn(7, 3)
    found = counted("product", lambda: x @ weight, count=5, unit="rows/s")
    assert (found.operations, found.bytes, found.kernels) == (2 * 5 * 7 * 3, 4 * (35 + 21 + 15), 1)


def test_a_lookup_reads_the_rows_it_gives_and_views_cost_nothing():
    table, rows = torch.randn(1000, 8), torch.arange(4)
    found = counted("lookup", lambda: table.index_select(0, rows).t(), count=4, unit="rows/s")
    assert (found.operations, found.bytes, found.kernels) == (0, 2 * 4 * 8 * 4, 1)


def test_an_optimizers_step_is_counted_though_it_gives_nothing():
    weight = torch.nn.Parameter(torch.randn(100))
    weight.grad = torch.randn(100)
    optimizer = torch.optim.AdamW([weight], fused=True)
    found = counted("step", optimizer.step, count=1, unit="steps/s")
    assert found.bytes >= 7 * 400  # weight, gradient and two moments in, weight and moments out


@pytest.mark.parametrize(
    ("operations", "size", "kernels", "bound"),
    [(10**15, 1, 1, "products"), (1, 10**13, 1, "memory"), (1, 1, 10, "kernel starts")],
)
def test_the_slowest_limit_decides(operations, size, kernels, bound):
    assert all(Estimate("x", 1, "rows/s", operations, size, kernels).seconds(gpu)[1] == bound for gpu in GPUS)

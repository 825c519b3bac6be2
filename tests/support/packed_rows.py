"""Packed histories of a few rows, and the sequence encoders at the options that the tests build them with."""

import torch

from mmctr.common.components import load_component

PACKAGE, DIM = "mmctr.models.sequence", 6
SEQUENCE = {
    "target_attention": {"hidden": (6, 5), "activation": "dice", "dropout": 0.2},
    "multi_head": {"heads": 3, "head_width": 2, "dropout": 0.2},
    "transformer": {"layers": 2, "heads": 2, "head_width": 2, "feedforward": 7, "positions": 3, "dropout": 0.2},
    "mean": {},
    "product": {},
    "similarity": {"bins": 6},
}
LENGTHS = (3, 0, 1, 5, 0, 3, 2)


def encoder(kind, *, dim=DIM, seed=0, **options):
    """An encoder in float64 with seeded weights that are none of their zeros and ones, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = load_component(PACKAGE, kind)(dim, **(SEQUENCE[kind] | options)).double().eval()
        with torch.no_grad():
            for weight in module.parameters():
                weight += 0.3 * torch.randn_like(weight)
    return module


def rows_of(lengths=LENGTHS, *, dim=DIM, seed=0, dtype=torch.float64):
    """Targets (B, D), history items (N, D) and the row of each, (N,)."""
    draws = torch.Generator().manual_seed(seed)
    query = torch.randn(len(lengths), dim, generator=draws, dtype=dtype)
    keys = torch.randn(sum(lengths), dim, generator=draws, dtype=dtype)
    return query, keys, torch.repeat_interleave(torch.tensor(lengths, dtype=torch.int64))


def histories(keys, row, *, rows):
    """(n, D) history items of each row."""
    return [keys[row == number] for number in range(rows)]


def by_row(plain, module, query, keys, row):
    """What `plain(module, target, history)` makes of each row with a history, and zeros of the others."""
    of_rows = zip(query, histories(keys, row, rows=len(query)), strict=True)
    return torch.stack([plain(module, q, k) if len(k) else 0 * q.sum() + q.new_zeros(module.width) for q, k in of_rows])


def assert_as_plain(plain, module, query, keys, row):
    """The output of `module` and all of its gradients are those of `plain`, row by row."""
    inputs = [query.requires_grad_(), keys.requires_grad_()]
    found, expected = module(query, keys, row), by_row(plain, module, query, keys, row)
    torch.testing.assert_close(found, expected)
    toward = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=found.dtype)
    wanted = [*inputs, *module.parameters()]
    options = {"allow_unused": True, "materialize_grads": True}
    gradients = (torch.autograd.grad(out, wanted, toward, **options) for out in (found, expected))
    for of_found, of_expected in zip(*gradients, strict=True):
        torch.testing.assert_close(of_found, of_expected)

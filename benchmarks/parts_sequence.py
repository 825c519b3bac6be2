"""Each sequence encoder beside its own padded version, on a batch of the challenge's shape."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from padded_sequence import (
    PaddedMean,
    PaddedMultiHead,
    PaddedProduct,
    PaddedSimilarity,
    PaddedTargetAttention,
    PaddedTransformer,
)
from real_shape import LENGTH, item_table, write_clicks
from side_by_side import Row, in_turn
from torch import Tensor, nn

from mmctr.clicks.split import load_split
from mmctr.compute.memory import kept_memory
from mmctr.compute.numerics import deterministic
from mmctr.models.sequence.mean import Mean
from mmctr.models.sequence.multi_head import MultiHeadAttention
from mmctr.models.sequence.product import Product
from mmctr.models.sequence.similarity import SimilarityHistogram
from mmctr.models.sequence.target_attention import TargetAttention
from mmctr.models.sequence.transformer import Transformer

ROWS, DIM, REPEATS = 4096, 128, 2
INNER = {"layers": 2, "heads": 4, "head_width": 32, "feedforward": 256, "positions": LENGTH}


def pairs() -> dict[str, tuple[nn.Module, nn.Module]]:
    """Each encoder at the defaults of its settings, and its padded version with the same weights."""
    torch.manual_seed(0)
    attention = TargetAttention(DIM, hidden=(80, 40), activation="dice", dropout=0.0)
    heads = MultiHeadAttention(DIM, heads=4, head_width=32, dropout=0.0)
    plain, dropping = Transformer(DIM, **INNER, dropout=0.0), Transformer(DIM, **INNER, dropout=0.1)
    similarity = SimilarityHistogram(DIM, bins=16)
    return {
        "target_attention": (attention, PaddedTargetAttention(attention)),
        "multi_head": (heads, PaddedMultiHead(heads)),
        "transformer": (plain, PaddedTransformer(plain)),
        "transformer, dropout 0.1": (dropping, PaddedTransformer(dropping)),
        "mean": (Mean(DIM), PaddedMean()),
        "product": (Product(DIM), PaddedProduct()),
        "similarity": (similarity, PaddedSimilarity(similarity)),
    }


def batch(folder: Path) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(B, D) targets; (N, D) items and (N,) rows; the same items padded, (B, L, D), and their (B, L) mask."""
    table = item_table()
    clicks = load_split(write_clicks(folder / "train25k.parquet", 25_000, seed=1), table=table, with_label=True)
    packed, vectors = clicks.slice(0, ROWS), torch.from_numpy(table.weights)
    mask = torch.arange(LENGTH) >= LENGTH - torch.bincount(packed.row, minlength=ROWS)[:, None]
    padded = torch.zeros(ROWS, LENGTH, DIM)
    padded[mask] = vectors[packed.history]
    return vectors[packed.target], vectors[packed.history], packed.row, padded, mask


def step(encoder: nn.Module, query: Tensor, keys: Tensor, where: Tensor) -> Callable[[], None]:
    """Forward and backward, to the gradients of the weights and of both inputs."""
    inputs = [query.clone().requires_grad_(), keys.clone().requires_grad_()]
    encoder.train()

    def run() -> None:
        out = encoder(*inputs, where)
        if out.requires_grad:
            torch.autograd.grad(out.square().sum(), [*inputs, *encoder.parameters()], allow_unused=True)

    return run


def sequence(folder: Path) -> list[Row]:
    """Rows that a second of the processor takes through a step's part in the encoder, 4,096 together.

    The processor's time, as a light encoder's few milliseconds would be lost in what else a machine does.
    """
    query, keys, row, padded, mask = batch(folder)
    rows = []
    with deterministic(), kept_memory():  # as an epoch has it
        for kind, (ours, peer) in pairs().items():
            works = step(ours, query, keys, row), step(peer, query, padded, mask)
            speeds = [ROWS / each for each in in_turn(*works, repeats=REPEATS, clock=time.process_time)]
            rows.append(Row(f"encoder {kind}", *speeds, "rows/CPU s", "the same, padded to 64", "5 x", REPEATS))
    return rows

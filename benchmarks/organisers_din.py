"""The organisers' architecture on packed histories, built from the library's parts.

Published configuration: an id embedding of 64, five tags of 64 averaged, the content vector projected to 128, levels of
64; attention MLP 512-256 with ReLU and dropout; tower 1024-512-256 with batch norm, ReLU and dropout; Adam, an L2 term
on the embeddings in the loss, gradient norm 10. `fuxictr_peer` holds the same model on FuxiCTR's padded layers.

Three things make it fast, and none of them changes a result: only real history items exist and the features of an item
are computed once a batch; attention goes through a few rows at a time, so that its (n, 512) tensors stay in the cache,
in the backward pass too; ReLU and dropout are one function with cheap random bits.

Legend: B rows, N history items of all rows together, U different items among them, V items, D = 256 item features.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.clicks.batch import Batch
from mmctr.models.sequence.target_attention import first_layer, pool

ID_DIM, CONTENT_DIM, TAGS, TAG_VOCABULARY, LEVEL_VOCABULARY = 64, 128, 5, 11_740, 11
ITEM_DIM = 2 * ID_DIM + CONTENT_DIM
ATTENTION, TOWER = (512, 256), (1024, 512, 256)
DROPOUT, EMBEDDING_L2, CLIP_NORM, LEARNING_RATE = 0.1, 1e-6, 10.0, 1e-3
CHUNK_ROWS = 512  # about 4,000 history items: 8 MB of hidden activations
INFINITY_BITS = 0x7F80_0000


@dataclass(frozen=True)
class ItemInfo:
    """Of each item: (V + 1, 5) int64 tags with 0 as padding, and (V + 1, 128) float32 content. Row 0 is zero."""

    tags: Tensor
    content: Tensor


def item_info(content: np.ndarray, *, seed: int = 0) -> ItemInfo:
    """Zero to five random tags for each row of `content`."""
    rng = np.random.default_rng(seed)
    tags = rng.integers(1, TAG_VOCABULARY, (len(content), TAGS))
    tags[np.arange(TAGS) >= rng.integers(0, TAGS + 1, len(content))[:, None]] = 0
    tags[0] = 0
    return ItemInfo(torch.from_numpy(tags), torch.from_numpy(content))


class OrganisersDIN(nn.Module):
    """(B,) logits of a `Batch`. Parameters are those of the plain layers."""

    def __init__(self, info: ItemInfo, *, dropout: float = DROPOUT) -> None:
        super().__init__()
        self.info = info
        self.id_emb = nn.Embedding(len(info.tags), ID_DIM, padding_idx=0, sparse=True)
        self.tag_emb = nn.EmbeddingBag(TAG_VOCABULARY, ID_DIM, padding_idx=0, mode="mean")
        self.project = nn.Linear(CONTENT_DIM, CONTENT_DIM, bias=False)
        self.likes_emb = nn.Embedding(LEVEL_VOCABULARY, ID_DIM, padding_idx=0)
        self.views_emb = nn.Embedding(LEVEL_VOCABULARY, ID_DIM, padding_idx=0)
        self.first = nn.Linear(4 * ITEM_DIM, ATTENTION[0])
        self.second = nn.Linear(*ATTENTION)
        self.last = nn.Linear(ATTENTION[1], 1)
        self.relu = ReLUDropout(dropout)
        widths = (2 * ID_DIM + 2 * ITEM_DIM, *TOWER)
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):  # noqa: RUF007
            layers += [nn.Linear(fan_in, fan_out), nn.BatchNorm1d(fan_out), ReLUDropout(dropout)]
        self.tower = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, batch: Batch) -> Tensor:
        rows, ids = len(batch.target), torch.cat([batch.target, batch.history])
        items, place = torch.unique(ids, return_inverse=True)
        target, keys = F.embedding(place, self.item_features(items)).split([rows, len(batch.history)])
        likes, views = batch.feature_ids.unbind(dim=1)
        levels = [self.likes_emb(likes), self.views_emb(views)]  # (B, 64) each
        features = torch.cat([*levels, target, self.interest(target, keys, batch.row)], dim=1)  # (B, 128 + 2 D)
        return self.tower(features).squeeze(1)

    def item_features(self, items: Tensor) -> Tensor:
        """(U, D) id, tags and content of (U,) items."""
        tags, content = self.info.tags[items], self.info.content[items]
        return torch.cat([self.id_emb(items), self.tag_emb(tags), self.project(content)], dim=1)

    def interest(self, target: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """(B, D) pooled history, `CHUNK_ROWS` rows at a time."""
        starts = torch.arange(0, len(target), CHUNK_ROWS)
        bounds = torch.searchsorted(row, torch.cat([starts, torch.tensor([len(target)])]))
        counts = bounds.diff().tolist()
        parts = zip(target.split(CHUNK_ROWS), keys.split(counts), row.split(counts), starts.tolist(), strict=True)
        return torch.cat([self.attend(q, k, r - start) for q, k, r, start in parts])

    def attend(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """As `TargetAttention.forward`, with ReLU and dropout for Dice."""
        hidden, keys = first_layer(self.first, query, keys, row)  # (n, 512)
        hidden = self.relu(self.second(self.relu(hidden)))  # (n, 256)
        return pool(self.last(hidden), keys, row, rows=len(query))


class ReLUDropout(nn.Module):
    """ReLU, and dropout while training, in one function that keeps its output only."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        assert 0 <= dropout < 0.49, "the threshold of `dropped` must be a normal number"
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        return _ReLUDropout.apply(x, self.dropout) if self.training and self.dropout else x.relu()


class _ReLUDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:
        ctx.scale = 1 / (1 - dropout)
        kept = torch.ops.aten.threshold_backward(x, random_patterns(x), threshold(dropout))
        out = kept.relu_().mul_(ctx.scale)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grad, out, 0).mul_(ctx.scale), None


def random_patterns(like: Tensor) -> Tensor:
    """float32 of every bit pattern with the same chance, in the shape of `like`.

    Drawn as 64-bit words, two at a time, from NumPy's fastest generator, which PyTorch's seeds: PyTorch's own takes
    twice as long for such words, and its `bernoulli_` ten times.
    """
    generator = np.random.SFC64(int(torch.randint(2**62, ())))
    words = torch.from_numpy(generator.random_raw((like.numel() + 1) // 2))
    return words.view(torch.float32)[: like.numel()].view_as(like)


def threshold(share: float) -> float:
    """The number that this share of all float32 patterns does not exceed.

    Patterns at or below `-x` are those of sign 1 and a magnitude from x to infinity, and magnitudes are ordered as
    integers; a NaN compares as greater. `share` is below 0.49 and is met to 2^-32.
    """
    magnitude = INFINITY_BITS + 1 - round(share * 2**32)
    return -struct.unpack("<f", struct.pack("<I", magnitude))[0]


class Trainer:
    """Steps of Adam on the loss with the L2 term of the embeddings, as FuxiCTR computes it."""

    def __init__(self, model: OrganisersDIN) -> None:
        self.model = model
        self.weights = list(model.parameters())
        embeddings = (model.id_emb, model.tag_emb, model.project, model.likes_emb, model.views_emb)
        self.penalised = [module.weight for module in embeddings]
        self.optimizer = torch.optim.Adam(self.weights, lr=LEARNING_RATE, fused=True)
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)  # a sparse gradient is added to a dense one in place

    def gradients(self, batch: Batch) -> Tensor:
        """Fill in the gradients of one batch and give its mean cross-entropy."""
        self.optimizer.zero_grad(set_to_none=False)
        loss = F.binary_cross_entropy_with_logits(self.model(batch), batch.label)
        loss.backward()
        with torch.no_grad():  # d/dw of l2 / 2 * |w|^2
            torch._foreach_add_([weight.grad for weight in self.penalised], self.penalised, alpha=EMBEDDING_L2)
        return loss.detach()

    def step(self, batch: Batch) -> Tensor:
        """Train on one batch."""
        loss = self.gradients(batch)
        nn.utils.clip_grad_norm_(self.weights, CLIP_NORM, foreach=True)
        self.optimizer.step()
        return loss

"""Titles as a tree of tokens, so that what several titles begin with is computed once.

Text attention is causal: what a token gets from a layer depends on the tokens before it only. So a token's vectors are
the same in all titles that agree up to it, and the tokens that differ from title to title are the nodes of a tree. Its
root is the start token, which all titles share. Nothing is padded; attention runs on the titles of one length together.

Shapes: n titles, T tokens of a title, N nodes, P tokens of all titles, W the width, H heads.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F


class TokenTree:
    """The distinct beginnings of titles, and for each title the way to its end.

    tokens, depths: int64 (N,), token and position of a node. ends: int64 (n,), the node of each title's end token.
    """

    def __init__(self, tokens: np.ndarray) -> None:
        """Build the tree of `tokens`, int64 (n, T): the end token has the highest number, what follows counts not."""
        lengths = tokens.argmax(axis=1) + 1  # (n,)
        paths, node_tokens, node_depths = _grow(tokens, lengths)
        order = np.argsort(lengths, kind="stable")
        self._lengths, self._sizes = np.unique(lengths, return_counts=True)
        packed = np.concatenate([paths[title, : lengths[title]] for title in order])  # (P,)
        _, first = np.unique(packed, return_index=True)
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        self.tokens, self.depths = torch.from_numpy(node_tokens), torch.from_numpy(node_depths)
        self.ends = torch.from_numpy(paths[np.arange(len(paths)), lengths - 1])
        self._packed = torch.from_numpy(packed)  # the nodes of every title, the shorter titles first
        self._first = torch.from_numpy(first)  # where in `_packed` each node stands first
        self._order, self._places = torch.from_numpy(order), torch.from_numpy(places)

    def attend(self, qkv: torch.Tensor, *, heads: int) -> torch.Tensor:
        """Causal attention of every node to the nodes before it: (N, 3 W) to (N, W)."""
        attended = []
        for _, rows in self._by_length(qkv, parts=3, heads=heads):
            q, k, v = rows  # each (titles, H, T, W / H)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            attended.append(mixed.transpose(1, 2).flatten(0, 1).flatten(1))  # (titles T, W)
        return torch.cat(attended).index_select(0, self._first)

    def attend_ends(self, q: torch.Tensor, kv: torch.Tensor, *, heads: int) -> torch.Tensor:
        """Attention of the end tokens only: queries (n, W) in the order of the titles, keys and values (N, 2 W)."""
        q = q.index_select(0, self._order)
        attended = []
        for titles, rows in self._by_length(kv, parts=2, heads=heads):
            k, v = rows
            query = q[titles].view(len(k), heads, 1, -1)
            attended.append(F.scaled_dot_product_attention(query, k, v).flatten(1))  # (titles, W)
        return torch.cat(attended).index_select(0, self._places)

    def _by_length(self, matrix: torch.Tensor, *, parts: int, heads: int) -> Iterator[tuple[slice, torch.Tensor]]:
        """For the titles of each length: which they are in `_order`, and their rows as (parts, titles, H, T, W / H)."""
        title = token = 0
        for length, size in zip(self._lengths.tolist(), self._sizes.tolist(), strict=True):
            nodes = self._packed[token : token + size * length]
            rows = matrix.index_select(0, nodes).view(size, length, parts, heads, -1)
            yield slice(title, title + size), rows.permute(2, 0, 3, 1, 4)
            title, token = title + size, token + size * length


def _grow(tokens: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the distinct beginnings, the shorter first: nodes of each title int64 (n, T), token and depth of each."""
    paths = np.zeros(tokens.shape, np.int64)
    base = int(tokens.max()) + 1
    node_tokens: list[np.ndarray] = []
    parents = np.zeros(len(tokens), np.int64)
    begun = 0
    for depth in range(int(lengths.max())):
        alive = np.flatnonzero(lengths > depth)
        nodes, places = np.unique(parents[alive] * base + tokens[alive, depth], return_inverse=True)
        parents[alive] = places
        paths[alive, depth] = begun + places
        node_tokens.append(nodes % base)
        begun += len(nodes)
    depths = np.repeat(np.arange(len(node_tokens)), [len(nodes) for nodes in node_tokens])
    return paths, np.concatenate(node_tokens), depths

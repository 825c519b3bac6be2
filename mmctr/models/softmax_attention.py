"""Softmax attention of one query a row over its packed items, without a product for each item.

Legend: B rows, N items of all rows together, D width of an item, H heads, W width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmctr.models.packed import Blocks


def attended(
    query: Tensor, items: Tensor, *, key_weight: Tensor, value_weight: Tensor, blocks: Blocks, dropout: float = 0.0
) -> Tensor:
    """`softmax(query . keys / sqrt(W)) values` of each row and head (Vaswani et al., NeurIPS 2017, section 3.2).

    Keys and values are linear in the items, so their matrices need not meet each item: the query goes through the
    transposed `key_weight`, and what the weights sum up goes through `value_weight`, once a row each. A bias of the
    keys would add one number to all scores of a row, which a softmax does not see.

    Args:
        query: (B, H, W), in the order of `blocks`.
        items: (N, D), in the order of `blocks`.
        key_weight: (H W, D).
        value_weight: (H W, D).
        blocks: the rows by length.
        dropout: probability of an attention weight.

    Returns:
        (B, H W) in the order of `blocks`; zero for a row without items.
    """
    heads, width = query.shape[1:]
    of_key, of_value = (weight.view(heads, width, -1) for weight in (key_weight, value_weight))
    asked = torch.einsum("bhw,hwd->bhd", query * width**-0.5, of_key)
    summed = []
    for q, k in zip(blocks.of_rows(asked), blocks.of_items(items), strict=True):  # (b, H, D), (b, L, D)
        weights = torch.bmm(q, k.mT).softmax(dim=2)  # (b, H, L)
        summed.append(torch.bmm(F.dropout(weights, dropout) if dropout else weights, k))
    return torch.einsum("bhd,hwd->bhw", torch.cat(summed), of_value).flatten(1)

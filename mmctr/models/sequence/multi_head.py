"""Multi-head softmax target attention over packed histories.

Legend: B rows, N history items of all rows together, D width of an item, H heads, W width of a head.
"""

from torch import Tensor, nn

from mmctr.models.packed import blocks, inverse, permuted
from mmctr.models.softmax_attention import attended


class MultiHeadAttention(nn.Module):
    """Each head weighs the history items for the target by a softmax and sums them up.

    Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.2, with the target item as the only query.
    The heads are not mixed by an output matrix, as the first layer of the model's head does that. The order of the
    history does not matter.

    Args:
        dim: D.
        heads: H.
        head_width: W.
        dropout: probability of an attention weight.
    """

    of_content = False

    def __init__(self, dim: int, *, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.width = heads * head_width
        self.query = nn.Linear(dim, self.width)
        self.key = nn.Linear(dim, self.width, bias=False)
        self.value = nn.Linear(dim, self.width, bias=False)

    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Sum up the history of each row.

        Args:
            query: (B, D) target items.
            keys: (N, D) history items, real ones only.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, H W), one head after the other; zero for a row without history.
        """
        by_length = blocks(row, rows=len(query))
        asked = self.query(permuted(query, by_length.rows)).unflatten(1, (self.heads, -1))  # (B, H, W)
        found = attended(
            asked,
            permuted(keys, by_length.items),
            key_weight=self.key.weight,
            value_weight=self.value.weight,
            blocks=by_length,
            dropout=self.dropout if self.training else 0.0,
        )
        return permuted(found, inverse(by_length.rows))


COMPONENT = MultiHeadAttention

"""The target times the mean of its packed history, number by number.

Legend: B rows, N history items of all rows together, D width of an item.
"""

from torch import Tensor, nn

from mmctr.models.packed import mean


class Product(nn.Module):
    """`query * mean(keys)`: what the target and its history have in common, in each of their numbers.

    The sum of these numbers is the mean inner product of the target with the items of the history, as in a factored
    item similarity model (Kabbur et al., FISM, KDD 2013); the head weighs them. Without it, hidden layers would have to
    learn to multiply.

    Args:
        dim: D.
    """

    of_content = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Multiply each row's target by the mean of its history.

        Args:
            query: (B, D) target items.
            keys: (N, D) history items, real ones only.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, D); zero for a row without history.
        """
        return query * mean(keys, row, rows=len(query))


COMPONENT = Product

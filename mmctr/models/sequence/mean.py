"""The mean of a packed history.

Legend: B rows, N history items of all rows together, D width of an item.
"""

from torch import Tensor, nn

from mmctr.models.packed import mean


class Mean(nn.Module):
    """The mean of the history items, whatever the target is (Covington et al., RecSys 2016, section 3.2).

    Args:
        dim: D.
    """

    of_content = False

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Average the history of each row.

        Args:
            query: (B, D) target items, whose number alone is read.
            keys: (N, D) history items, real ones only.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, D); zero for a row without history.
        """
        return mean(keys, row, rows=len(query))


COMPONENT = Mean

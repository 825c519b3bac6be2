"""How similar the content of a target is to that of its history, as a histogram.

Legend: B rows, N history items of all rows together, D width of a content vector.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmctr.models.packed import chunks


class SimilarityHistogram(nn.Module):
    """How many history items are in each range of cosine similarity with the target, as `log(1 + count)`.

    SimTier of Sheng et al., "Enhancing Taobao Display Advertising with Multimodal Representations", CIKM 2024
    (arXiv 2407.19467), section 3.3. A count does not say which items they are, so it holds for items that training has
    never seen. It has no weights and no gradient. Items without content (zero vectors) have no direction and are in no
    range; the order of the history does not matter.

    Args:
        dim: D.
        bins: ranges of equal width from -1 to 1.
    """

    of_content = True

    def __init__(self, dim: int, *, bins: int) -> None:  # noqa: ARG002 - as every encoder is built
        super().__init__()
        self.width = self.bins = bins

    @torch.no_grad()
    def forward(self, query: Tensor, keys: Tensor, row: Tensor) -> Tensor:
        """Count the history of each row.

        Args:
            query: (B, D) content vectors of target items.
            keys: (N, D) content vectors of history items, real ones only.
            row: (N,) int64, ascending; the row of `query` that each history item belongs to.

        Returns:
            (B, bins) float32, from the least similar to the most; zero for a row without history.
        """
        target = F.normalize(query.float(), dim=1)
        has_direction = query.any(dim=1)  # (B,)
        places = []
        for chunk in chunks(keys):
            k, r = keys[chunk].float(), row[chunk]
            cosine = torch.linalg.vecdot(target.index_select(0, r), k) / torch.linalg.vector_norm(k, dim=1)  # (n,)
            bin_of = ((cosine + 1) * (self.bins / 2)).long().clamp_(0, self.bins - 1)
            places.append((r * self.bins + bin_of)[cosine.isfinite() & has_direction[r]])
        counts = torch.bincount(torch.cat([row[:0], *places]), minlength=len(query) * self.bins)
        return counts.view(len(query), self.bins).float().log1p()


COMPONENT = SimilarityHistogram

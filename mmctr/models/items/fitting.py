"""What the training rows say of each item: how often they have it, and with which others. No label is read.

Apart from the encoder, as a model that scores has it already.
"""

import torch

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.history_vectors import history_vectors
from mmctr.models.items.encoder import ItemEncoder


@torch.no_grad()
def fit_item_encoder(items: ItemEncoder, train: ClickSplit) -> None:
    """Give `items` what its options read of the rows of `train`, whose items are rows of its tables."""
    rows, options = items.content.num_embeddings, items.options
    in_histories = torch.bincount(train.history, minlength=rows)
    if items.ids is not None:
        items.counts.copy_(in_histories + torch.bincount(train.target, minlength=rows))
    if options.history_width:
        vectors = history_vectors(train, items=rows - 1, width=options.history_width)
        items.history_vectors.copy_(torch.from_numpy(vectors))
    if options.history_count:
        logs = torch.log1p(in_histories.double())
        spread = logs[1:].std(correction=0) if len(logs) > 1 else logs.new_ones(())
        items.history_count.copy_((logs - logs[1:].mean()) / spread.clamp_min(1e-6))

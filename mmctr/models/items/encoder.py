"""What a model sees of an item, the same for a target and for the items of a history.

Legend: n items, V items of the table, D width of their vectors, E numbers of an encoded item.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.inputs.features import Feature
from mmctr.inputs.vocabulary import UNKNOWN
from mmctr.models.architecture import ItemOptions
from mmctr.models.feature_embedding import FeatureEmbedding

ID_STD = 0.05  # initial spread of id embeddings where there are no vectors whose spread they could have


class ItemEncoder(nn.Module):
    """An item as `[content, id, features, history vector, count]`, of which each may be left out.

    Embeddings have sparse gradients, as a batch touches few of their rows; added to a dense one they stay dense.

    Args:
        num_items: V; the tables have V + 1 rows. Row 0 of `content` is padding and stays zero, row 0 of `ids` is the
            embedding of unknown and of rare items, and is trained.
        dim: D.
        options: what is read.
        features: of items, with their sizes.
    """

    feature_ids: Tensor
    feature_numbers: Tensor
    counts: Tensor
    history_vectors: Tensor
    history_count: Tensor

    def __init__(self, num_items: int, dim: int, *, options: ItemOptions, features: Sequence[Feature]) -> None:
        super().__init__()
        self.options = options
        self.content = nn.Embedding(num_items + 1, dim, padding_idx=PADDING_IDX, sparse=True)
        self.content.weight.requires_grad_(options.content == "trained")
        has_projection = options.content != "none" and options.content_width > 0
        self.projection = nn.Linear(dim, options.content_width, bias=False) if has_projection else None
        self.ids = nn.Embedding(num_items + 1, options.id_width, sparse=True) if options.id_width else None
        self.features = FeatureEmbedding(features if options.features else ())
        self.dropout = nn.Dropout(options.dropout)
        content = {"none": 0}.get(options.content, options.content_width or dim)
        self.width = (
            content + options.id_width + self.features.width + options.history_width + options.history_count
        )  # E
        # What is known of an item is no weight: a checkpoint has it beside the item ids.
        ids = torch.zeros(num_items + 1, self.features.id_columns, dtype=torch.int32)
        numbers = torch.zeros(num_items + 1, self.features.number_columns)
        self.register_buffer("feature_ids", ids, persistent=False)
        self.register_buffer("feature_numbers", numbers, persistent=False)
        # What the training rows say of an item is a part of the model (`mmctr.models.items.fitting`).
        if options.id_width:
            self.register_buffer("counts", torch.zeros(num_items + 1))
        if options.history_width:
            self.register_buffer("history_vectors", torch.zeros(num_items + 1, options.history_width))
        if options.history_count:
            self.register_buffer("history_count", torch.zeros(num_items + 1))

    @property
    def is_table(self) -> bool:
        """Whether an item is its row of `content` and nothing else, so that it costs nothing to encode it twice."""
        return self.options.content != "none" and self.projection is None and self.width == self.content.embedding_dim

    @torch.no_grad()
    def set_table(self, table: ItemTable) -> None:
        """Start from the vectors of `table`, id embeddings with their spread, and take the features of its items."""
        self.content.weight.copy_(torch.from_numpy(table.weights))
        self._reset_ids(None)
        self.set_features(table)

    def reset(self, generator: torch.Generator) -> None:
        """Draw the embeddings of ids and of features anew, as they began."""
        self._reset_ids(generator)
        self.features.reset(generator)

    @torch.no_grad()
    def _reset_ids(self, generator: torch.Generator | None) -> None:
        if self.ids is None:
            return
        vectors = self.content.weight[1:]
        spread = float(vectors.std()) if vectors.numel() > 1 else 0.0
        drawn = torch.randn(self.ids.weight.shape, generator=generator) * (spread if spread > 0 else ID_STD)
        drawn[UNKNOWN] = 0
        self.ids.weight.copy_(drawn)

    def set_features(self, table: ItemTable) -> None:
        """Take the features of the items of `table`, whose rows are those of the model.

        Raises:
            ValueError: they are not those of the architecture.
        """
        if not self.options.features:
            return
        for name in ("feature_ids", "feature_numbers"):
            own, found = getattr(self, name), torch.from_numpy(getattr(table, name))
            if own.shape != found.shape:
                raise ValueError(f"item_{name} must be {tuple(own.shape)} numbers, the table has {tuple(found.shape)}")
            own.copy_(found)

    def forward(self, items: Tensor) -> Tensor:
        """(n, E) of the items in (n,) rows of the item table."""
        parts = []
        if self.options.content != "none":
            content = self.content(items)  # (n, D)
            parts.append(content if self.projection is None else self.projection(content))
        if self.ids is not None:
            parts.append(self.ids(self._id_rows(items)))  # (n, id_width)
        if self.features.width:
            ids, numbers = (known.index_select(0, items) for known in (self.feature_ids, self.feature_numbers))
            parts.append(self.features(ids, numbers))
        if self.options.history_width:
            parts.append(self.history_vectors.index_select(0, items))
        if self.options.history_count:
            parts.append(self.history_count.index_select(0, items).unsqueeze(1))
        return self.dropout(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))

    def _id_rows(self, items: Tensor) -> Tensor:
        """(n,) rows of `ids`: that of an unknown item where an item is rare, and by chance while training."""
        options, counts = self.options, self.counts.index_select(0, items)
        known = counts >= options.id_min_count
        if self.training and (options.id_dropout or options.id_mask_count):
            masked = options.id_mask_count / (options.id_mask_count + counts).clamp_min(1e-6)
            kept = (1 - options.id_dropout) * (1 - masked)
            known &= torch.rand(len(items), device=items.device) < kept
        return torch.where(known, items, UNKNOWN)

"""The organisers' DIN on FuxiCTR 2.3.7's own layers: the peer of the preset `organisers`.

FuxiCTR comes from PyPI and nothing of it is copied: embedding, attention, tower, loss, regulariser and training step
are the package's. This module joins them as the organisers' published configuration says, and feeds padded batches.
Their loader looks each item up in a pandas frame; here an item is one row of a tensor, which is faster. FuxiCTR's `fit`
and `evaluate` do not run on NumPy 2 (`np.Inf`) and today's scikit-learn (`eps` of `log_loss`); `train_step` does, and
is what is measured.
"""

from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from organisers import LEVEL_VOCABULARY, PRESET, TAGS
from side_by_side import MissingPeer
from torch import Tensor

from mmctr.clicks.batch import Batch
from mmctr.clicks.item_table import ItemTable

LENGTH = 64
MODEL, TRAIN = PRESET["model"], PRESET["train"]
ATTENTION, TOWER = MODEL["sequence"][0], MODEL["head"]
ID_DIM, CONTENT_DIM = MODEL["item"]["id_width"], MODEL["item"]["content_width"]
ITEM_DIM = 2 * ID_DIM + CONTENT_DIM  # id, tags, content


def packages() -> tuple[ModuleType, ModuleType, ModuleType]:
    """FuxiCTR's feature map, layers and models.

    Raises:
        MissingPeer: FuxiCTR is not installed.
    """
    try:
        from fuxictr import features
        from fuxictr.pytorch import layers, models
    except ImportError as error:
        raise MissingPeer(f"FuxiCTR 2.3.7 (pip install '.[bench]'): {error}") from None
    return features, layers, models


def peer(table: ItemTable, *, folder: Path, dropout: float | None = None, l2: tuple[float, float] | None = None) -> Any:
    """The organisers' model, a FuxiCTR `BaseModel`, with an optimizer. It writes nothing to `folder`.

    Args:
        table: items with tags, as `organisers.tagged` makes them.
        folder: where it could write.
        dropout: of all layers; None has the published ones.
        l2: embedding_regularizer and net_regularizer; None has the published ones.

    Raises:
        MissingPeer: FuxiCTR is not installed.
    """
    features, layers, models = packages()
    embedding_l2, net_l2 = l2 or (TRAIN["embedding_l2"], 0)

    class PeerDIN(models.BaseModel):
        def __init__(self) -> None:
            super().__init__(
                feature_map(features, items=len(table.weights)),
                model_id="DIN",
                gpu=-1,
                embedding_regularizer=embedding_l2,
                net_regularizer=net_l2,
                verbose=0,
                model_root=str(folder),
                metrics=["AUC"],
            )
            self.embedding_layer = layers.FeatureEmbedding(self.feature_map, ID_DIM)
            self.attention_layers = layers.DIN_Attention(
                ITEM_DIM,
                attention_units=ATTENTION["hidden"],
                hidden_activations="ReLU",
                dropout_rate=ATTENTION["dropout"] if dropout is None else dropout,
            )
            self.dnn = layers.MLP_Block(
                input_dim=2 * ID_DIM + 2 * ITEM_DIM,
                output_dim=1,
                hidden_units=TOWER["hidden"],
                hidden_activations="ReLU",
                output_activation=self.output_activation,
                dropout_rates=TOWER["dropout"] if dropout is None else dropout,
                batch_norm=True,
            )
            self.compile("adam", "binary_crossentropy", TRAIN["learning_rate"])
            self.reset_parameters()
            self._max_gradient_norm = TRAIN["clip_norm"]  # the default of `fit`

        def features(self, inputs: dict[str, Any]) -> Tensor:
            """(B, 640): levels, target, interest."""
            rows = len(inputs["mask"])
            levels = self.embedding_layer(inputs["levels"], flatten_emb=True)
            items = self.embedding_layer(inputs["items"], flatten_emb=True).view(rows, -1, ITEM_DIM)
            target, history = items[:, -1], items[:, :-1]
            return torch.cat([levels, target, self.attention_layers(target, history, inputs["mask"])], dim=1)

        def forward(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
            return {"y_pred": self.dnn(self.features(inputs))}

        def logits(self, inputs: dict[str, Any]) -> Tensor:
            """(B,) what the sigmoid sees."""
            return self.dnn.mlp[:-1](self.features(inputs)).squeeze(1)

    return PeerDIN()


def feature_map(features: ModuleType, *, items: int) -> Any:
    """The published features, as FuxiCTR's preprocessing would describe them."""
    level = {"source": "", "type": "categorical", "padding_idx": 0, "vocab_size": LEVEL_VOCABULARY}
    made = features.FeatureMap("MicroLens_1M_x1", "")
    made.labels = ["label"]
    made.default_emb_dim = ID_DIM
    made.features = OrderedDict(
        likes_level=level,
        views_level=level,
        item_id={"source": "item", "type": "categorical", "padding_idx": 0, "vocab_size": items},
        item_tags={
            "source": "item",
            "type": "sequence",
            "feature_encoder": "layers.MaskedAveragePooling()",
            "padding_idx": 0,
            "max_len": TAGS.max_tags,
            "vocab_size": TAGS.size,
        },
        item_emb_d128={"source": "item", "type": "embedding", "embedding_dim": CONTENT_DIM},
    )
    return made


def padded(batch: Batch, table: ItemTable) -> dict[str, Any]:
    """The same rows for `peer`: histories left-padded to 64, and the features of all 65 items of each row."""
    rows = len(batch.target)
    lengths = torch.bincount(batch.row, minlength=rows)
    ends = lengths.cumsum(0)
    ids = torch.zeros(rows, LENGTH + 1, dtype=torch.int64)
    ids[batch.row, torch.arange(len(batch.row)) - ends[batch.row] + LENGTH] = batch.history.long()
    ids[:, -1] = batch.target
    flat = ids.flatten()
    tags, content = (torch.from_numpy(known)[flat] for known in (table.feature_ids, table.weights))
    return {
        "levels": dict(zip(("likes_level", "views_level"), batch.feature_ids.unbind(dim=1), strict=True)),
        "items": {"item_id": flat, "item_tags": tags.long(), "item_emb_d128": content},
        "mask": ids[:, :-1] > 0,
        "label": batch.label,
    }

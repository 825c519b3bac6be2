"""FuxiCTR 2.3.7's DIN on the inputs of a data set: its layers, its loss, its training step; padded batches.

Its `fit` and `evaluate` do not run on NumPy 2, so `train_step` runs in a loop here, with its rule of stopping: the rate
goes down tenfold after an epoch without a better AUC on valid, and after three such epochs in a row it stops.
"""

import time
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from fuxictr_peer import packages
from quality_data import Opened
from quality_model import BATCH_ROWS, Outcome
from torch import Tensor

from mmctr.clicks.batch import Batch
from mmctr.evaluation.metrics import auc
from mmctr.inputs.features import Feature

# The sizes are FuxiCTR's defaults of its DIN, but for the width, which is that of our features; the preset `organisers`
# is the DIN that the challenge's organisers made of the same layers.
WIDTH = 16  # of an embedding, and of a tag's
ATTENTION, TOWER = [64], [512, 128, 64]
LEARNING_RATE, CLIP_NORM = 1e-3, 10.0
LENGTH = 32  # most recent items of a history, as padding costs as much as items do; one history of a hundred is longer
EPOCHS, PATIENCE, DECAY = 100, 3, 0.1


def fuxictr_din(data: Opened, *, seed: int) -> Outcome:
    """Train it, stopped early, and score both splits by its best epoch.

    Raises:
        MissingPeer: FuxiCTR is not installed.
    """
    features, layers, models = packages()
    torch.manual_seed(seed)
    model = _model(features, layers, models, data)
    batch_size, started = data.config.train.batch_size, time.perf_counter()
    best, best_auc, worse, epoch, best_epoch = {}, 0.0, 0, 0, 0
    cpu = time.process_time()
    labels = data.valid.label.numpy()
    while epoch < EPOCHS and worse < PATIENCE:
        epoch += 1
        model.train()
        for batch in data.train.batches(batch_size, order=torch.randperm(len(data.train))):
            model.train_step(padded(batch, data, model.length))
        found = auc(labels, _logits(model, data, data.valid))
        if found > best_auc:
            best = {name: value.clone() for name, value in model.state_dict().items()}
            best_auc, best_epoch, worse = found, epoch, 0
        else:
            worse += 1
            for group in model.optimizer.param_groups:
                group["lr"] *= DECAY
    model.load_state_dict(best)
    took = {"seconds": time.perf_counter() - started, "best_epoch": float(best_epoch)}
    took["cpu_seconds"] = time.process_time() - cpu
    took["rows_per_second"] = epoch * len(data.train) / took["cpu_seconds"]
    took["parameters"] = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return Outcome(_logits(model, data, data.valid), _logits(model, data, data.test), took)


def _model(features: ModuleType, layers: ModuleType, models: ModuleType, data: Opened) -> Any:
    """A `BaseModel` of FuxiCTR with its optimizer."""
    made = _feature_map(features, data)
    of_item = [name for name, spec in made.features.items() if spec["source"] == "item"]
    item_width = WIDTH * (len(of_item) - 1) + data.items.weights.shape[1]  # a vector keeps its width
    row_width = WIDTH * (len(made.features) - len(of_item))

    class PeerDIN(models.BaseModel):
        def __init__(self) -> None:
            super().__init__(
                made,
                model_id="DIN",
                gpu=-1,
                embedding_regularizer=0,
                net_regularizer=0,
                verbose=0,
                model_root=str(Path("unused")),
                metrics=["AUC"],
            )
            self.length = min(LENGTH, data.config.train.max_len)
            self.embedding_layer = layers.FeatureEmbedding(self.feature_map, WIDTH)
            self.attention_layers = layers.DIN_Attention(
                item_width, attention_units=ATTENTION, hidden_activations="Dice"
            )
            self.dnn = layers.MLP_Block(
                input_dim=row_width + 2 * item_width,
                output_dim=1,
                hidden_units=TOWER,
                hidden_activations="ReLU",
                output_activation=self.output_activation,
            )
            self.compile("adam", "binary_crossentropy", LEARNING_RATE)
            self.reset_parameters()
            self._max_gradient_norm = CLIP_NORM  # the default of `fit`

        def hidden(self, inputs: dict[str, Any]) -> Tensor:
            """(B, W): features of the row, the target, the interest."""
            rows = len(inputs["mask"])
            items = self.embedding_layer(inputs["items"], flatten_emb=True).view(rows, -1, item_width)
            target, history = items[:, -1], items[:, :-1]
            parts = [target, self.attention_layers(target, history, inputs["mask"])]
            if inputs["row"]:
                parts.insert(0, self.embedding_layer(inputs["row"], flatten_emb=True))
            return torch.cat(parts, dim=1)

        def forward(self, inputs: dict[str, Any]) -> dict[str, Tensor]:
            return {"y_pred": self.dnn(self.hidden(inputs))}

        def logits(self, inputs: dict[str, Any]) -> Tensor:
            """(B,) what the sigmoid sees."""
            return self.dnn.mlp[:-1](self.hidden(inputs)).squeeze(1)

    return PeerDIN()


def _feature_map(features: ModuleType, data: Opened) -> Any:
    """The features as FuxiCTR's preprocessing would describe them."""
    made = features.FeatureMap("quality", "")
    made.labels, made.default_emb_dim = ["label"], WIDTH
    specs = {f"row_{one.column}": _spec(one, source="") for one in data.row_encoding.sized}
    specs["id"] = _spec(Feature("id", "category", size=len(data.items.weights)), source="item")
    specs |= {f"item_{one.column}": _spec(one, source="item") for one in data.item_encoding.sized}
    specs["vector"] = {"source": "item", "type": "embedding", "embedding_dim": data.items.weights.shape[1]}
    made.features = OrderedDict(specs)
    return made


def _spec(feature: Feature, *, source: str) -> dict[str, Any]:
    if feature.kind == "number":
        return {"source": source, "type": "numeric"}
    spec = {"source": source, "padding_idx": 0, "vocab_size": feature.size}
    if feature.kind == "category":
        return {**spec, "type": "categorical"}
    pooling = "layers.MaskedAveragePooling()"
    return {**spec, "type": "sequence", "feature_encoder": pooling, "max_len": feature.max_tags}


def padded(batch: Batch, data: Opened, length: int) -> dict[str, Any]:
    """The same rows for FuxiCTR: histories left-padded to `length`, and the features of all items of each row."""
    rows = len(batch.target)
    ends = torch.bincount(batch.row, minlength=rows).cumsum(0)
    place = torch.arange(len(batch.row)) - ends[batch.row] + length
    kept = place >= 0
    ids = torch.zeros(rows, length + 1, dtype=torch.int64)
    ids[batch.row[kept], place[kept]] = batch.history[kept].long()
    ids[:, -1] = batch.target
    flat = ids.flatten()
    known = torch.from_numpy(data.items.feature_ids)[flat], torch.from_numpy(data.items.feature_numbers)[flat]
    items = {"id": flat, "vector": torch.from_numpy(data.items.weights)[flat]}
    items |= _values(data.item_encoding.sized, *known, prefix="item_")
    row = _values(data.row_encoding.sized, batch.feature_ids, batch.feature_numbers, prefix="row_")
    return {"row": row, "items": items, "mask": ids[:, :-1] > 0, "label": batch.label}


def _values(features: tuple[Feature, ...], ids: Tensor, numbers: Tensor, *, prefix: str) -> dict[str, Tensor]:
    found, at, number_at = {}, 0, 0
    for feature in features:
        own = ids[:, at : at + feature.id_columns]
        value = own.squeeze(1) if feature.kind == "category" else own
        found[f"{prefix}{feature.column}"] = numbers[:, number_at] if feature.kind == "number" else value.long()
        at, number_at = at + feature.id_columns, number_at + feature.number_columns
    return found


@torch.no_grad()
def _logits(model: Any, data: Opened, split: Any) -> np.ndarray:
    model.eval()
    batches = split.batches(min(1024, BATCH_ROWS))
    return torch.cat([model.logits(padded(batch, data, model.length)) for batch in batches]).numpy()

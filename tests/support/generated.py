"""Small generated tables and click logs for the tests."""

import numpy as np
import torch
from torch import Tensor

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.split import split_from_lists
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.models.architecture import Architecture, ItemOptions, Part
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint import Checkpoint

DIM = 8


def item_table(rng: np.random.Generator, *, items: int = 50, dim: int = DIM) -> ItemTable:
    """Items with ids that are neither dense nor sorted."""
    item_ids = rng.permutation(np.arange(1, 3 * items, 3))[:items].astype(np.int64)
    weights = np.zeros((items + 1, dim), dtype=np.float32)
    weights[1:] = rng.normal(size=(items, dim)) / np.sqrt(dim)
    return ItemTable(ids=Vocabulary(item_ids), weights=weights)


def click_split(
    rng: np.random.Generator, table: ItemTable, *, rows: int = 64, longest: int = 9, planted: bool = False
) -> ClickSplit:
    """Rows with histories of 0 to `longest` items; with `planted` the label tells which side a target lies on."""
    lengths = rng.integers(0, longest + 1, rows)
    histories = [rng.choice(table.ids.values, length).tolist() for length in lengths]
    target = rng.choice(table.ids.values, rows)
    likes, views = rng.integers(1, 11, (2, rows))
    columns = {"item_seq": histories, "item_id": target, "likes_level": likes, "views_level": views}
    split = split_from_lists(columns, table=table, max_len=64)
    label = (rng.random(rows) < 0.5).astype(np.float32)
    if planted:
        label = (table.weights[table.lookup(target)][:, 0] > 0).astype(np.float32)
    return ClickSplit(**{**vars(split), "label": torch.from_numpy(label)})


def architecture(table: ItemTable, *, dropout: float = 0.0, freeze: bool = False) -> Architecture:
    """A DIN of a few hundred parameters."""
    return Architecture(
        num_items=len(table.ids),
        dim=table.weights.shape[1],
        item=ItemOptions(content="frozen" if freeze else "trained"),
        sequence=(Part("target_attention", {"hidden": (6, 5), "activation": "dice", "dropout": dropout}),),
        head=Part("mlp", {"hidden": (7, 4), "activation": "dice", "batch_norm": False, "dropout": dropout}),
    )


def din(table: ItemTable, *, seed: int = 0, dropout: float = 0.0, freeze: bool = False) -> ClickModel:
    """A small DIN on `table` with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClickModel(architecture(table, dropout=dropout, freeze=freeze))
    model.set_items(table)
    return model


def checkpoint(table: ItemTable, *, weights: dict[str, Tensor] | None = None, **metrics: float) -> Checkpoint:
    """A small DIN on `table` as a checkpoint, untrained where it gets no `weights`."""
    weights = din(table).state_dict() if weights is None else weights
    return Checkpoint(architecture(table), weights, max_len=64, ids=table.ids, metrics=metrics)

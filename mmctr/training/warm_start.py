"""Initial weights from an earlier model: what it learned of items goes to the same items, whatever their rows.

Legend: V items of the new table, D embedding width.
"""

import torch

from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.common.errors import InputError
from mmctr.models.checkpoint import Checkpoint
from mmctr.models.din import DIN

TABLE = "items.weight"


@torch.no_grad()
def start_from(model: DIN, table: ItemTable, earlier: Checkpoint) -> int:
    """Copy an earlier model into `model`, whose rows are those of `table`; returns how many of its items were known.

    Every weight but the item table is copied as it is. Of the table (V + 1, D), rows of items that the earlier model
    knew are copied by item id; new items keep the rows that they have, which must be in the same space: reduce with the
    PCA of the earlier model. A frozen table is left as it is.

    Raises:
        InputError: the two models differ in a width.
    """
    own = model.state_dict()
    for name, weight in earlier.weights.items():
        if name not in own or (name != TABLE and own[name].shape != weight.shape) or own[name].ndim != weight.ndim:
            raise InputError(_differs(name))
    if own.keys() != earlier.weights.keys() or own[TABLE].shape[1] != earlier.weights[TABLE].shape[1]:
        raise InputError(_differs(TABLE))
    rows = torch.from_numpy(earlier.table.lookup(table.item_ids)).long()  # (V,)
    known = rows != PADDING_IDX
    for name, weight in earlier.weights.items():
        if name != TABLE:
            own[name].copy_(weight)
        elif model.items.weight.requires_grad:
            own[TABLE][1:][known] = weight[rows[known]].to(own[TABLE].device)
    return int(known.sum())


def _differs(name: str) -> str:
    return (
        f"a warm start needs a model of the earlier one's widths, {name} has others; use the earlier model's "
        "`attention_hidden`, `tower_hidden` and `dim`, or start from fresh weights with `earlier=None`"
    )

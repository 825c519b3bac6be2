"""Initial weights from an earlier model: what it learned of items and of values goes to the same ones, whatever their
rows.

Legend: V items of the new table, D embedding width.
"""

import torch

from mmctr.clicks.feature_encoding import FeatureEncoding, FittedFeature
from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.common.errors import InputError
from mmctr.common.text import shown_names
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.models.base import ClickModel
from mmctr.models.checkpoint import TABLE, Checkpoint

IDS, HISTORY_VECTORS = "items.ids.weight", "items.history_vectors"
OF_TRAIN = ("items.counts", "items.history_count")  # what the training rows say of items: those of the new ones
FEATURES = {"row_features": "row_features", "item_features": "items.features"}  # where a model has their tables


@torch.no_grad()
def start_from(
    model: ClickModel,
    table: ItemTable,
    earlier: Checkpoint,
    *,
    row_encoding: FeatureEncoding,
    item_encoding: FeatureEncoding,
) -> int:
    """Copy an earlier model into `model`, whose rows are those of `table`; returns how many of its items were known.

    Rows of items and of values that the earlier model knew are copied by id and by value, whatever their rows; new ones
    keep the rows that they have. Those of items must be in the same space: reduce with the PCA of the earlier model. A
    frozen item table is left as it is, as is what the model has of its own training rows; every other weight is copied.

    Raises:
        InputError: the two models differ in a width, or in their features as declared.
    """
    maps = {name: _rows(earlier.ids, table.ids) for name in (TABLE, IDS, HISTORY_VECTORS)}
    for name, ours, theirs in (
        ("row_features", row_encoding, earlier.row_encoding),
        ("item_features", item_encoding, earlier.item_encoding),
    ):
        _check_same(name, ours, theirs)
        embedded = [pair for pair in zip(ours.features, theirs.features, strict=True) if _has_table(pair[0])]
        for number, (later, former) in enumerate(embedded):
            if later.vocabulary is not None and former.vocabulary is not None:
                maps[f"{FEATURES[name]}.tables.{number}.weight"] = _rows(former.vocabulary, later.vocabulary)
    own = model.state_dict()
    for name, weight in earlier.weights.items():
        by_row = name in maps or name in OF_TRAIN
        fits = name in own and own[name].ndim == weight.ndim
        if not fits or own[name].shape[by_row:] != weight.shape[by_row:]:
            raise InputError(_differs(name))
    if own.keys() != earlier.weights.keys():
        raise InputError(_differs(min(own.keys() - earlier.weights.keys())))
    for name, weight in earlier.weights.items():
        if name in OF_TRAIN:
            continue
        if name not in maps:
            own[name].copy_(weight)
        elif name != TABLE or model.items.content.weight.requires_grad:
            known = maps[name] != PADDING_IDX
            if name == HISTORY_VECTORS:  # those of these rows have other axes
                own[name].zero_()
            own[name][known] = weight[maps[name][known]].to(own[name].device)
    return int((maps[TABLE] != PADDING_IDX).sum())


def _rows(earlier: Vocabulary, later: Vocabulary) -> torch.Tensor:
    """(V + 1,) int64 row that each row of a later table had in the earlier one; 0 for what is new, and for row 0."""
    rows = torch.zeros(len(later) + 1, dtype=torch.int64)
    rows[1:] = torch.from_numpy(earlier.lookup(later.values))
    return rows


def _has_table(fitted: FittedFeature) -> bool:
    return fitted.feature.kind != "number"


def _check_same(name: str, ours: FeatureEncoding, theirs: FeatureEncoding) -> None:
    if ours.declared != theirs.declared:
        known, found = (shown_names([one.column for one in each.declared]) for each in (theirs, ours))
        raise InputError(
            f"a warm start needs the `{name}` of the earlier model, of the same kinds, widths and sizes; it has "
            f"{known}, this one {found}; declare the same ones, or start from fresh weights with `earlier=None`"
        )


def _differs(name: str) -> str:
    return (
        f"a warm start needs a model of the earlier one's widths, {name} has others; use the earlier model's "
        "`architecture` and `dim`, or start from fresh weights with `earlier=None`"
    )

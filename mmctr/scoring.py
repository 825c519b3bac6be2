"""How good a trained model is on clicks with labels, whichever data it was trained on."""

from dataclasses import dataclass
from pathlib import Path

from mmctr.checkpoint import Checkpoint, restore_model
from mmctr.click_split import load_split
from mmctr.metrics import auc, logloss
from mmctr.placement import placed
from mmctr.prediction import predict_logits


@dataclass(frozen=True)
class Score:
    """Figures on one split."""

    auc: float
    logloss: float


def score_checkpoint(checkpoint: Checkpoint, clicks: Path, *, device: str, batch_size: int = 8192) -> Score:
    """AUC and logloss of `checkpoint` on the click log in the parquet file `clicks`, which has labels of both classes.

    The model is served as it would be in production: with its own id map, so that items it does not know are unknown.

    Raises:
        InputError: the file cannot be read, or the checkpoint's weights do not fit its architecture.
    """
    split = load_split(clicks, table=checkpoint.table, max_len=checkpoint.max_len, with_label=True)
    assert split.label is not None
    labels = split.label.numpy()
    model = restore_model(checkpoint).to(device)
    logits = predict_logits(model, placed(split, model.device), batch_size=batch_size)
    return Score(auc=auc(labels, logits), logloss=logloss(labels, logits))

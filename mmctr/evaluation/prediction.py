"""Logits and probabilities of a split."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.placement import StreamedSplit
from mmctr.compute.memory import kept_memory
from mmctr.compute.numerics import autocast, deterministic


@torch.inference_mode()
def predict_logits(model: nn.Module, split: ClickSplit | StreamedSplit, *, batch_size: int) -> npt.NDArray[np.float32]:
    """(R,) float32 logits of every row of `split`, whose batches are on the model's device, in its order."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    with kept_memory(), deterministic(), autocast(device):
        for batch in split.batches(batch_size):
            parts.append(model(batch))
    return torch.cat(parts).cpu().numpy() if parts else np.zeros(0, dtype=np.float32)


def predict_probabilities(
    model: nn.Module, split: ClickSplit | StreamedSplit, *, batch_size: int
) -> npt.NDArray[np.float32]:
    """(R,) float32 probabilities of a click, strictly as the sigmoid of the logits."""
    return probabilities_of(predict_logits(model, split, batch_size=batch_size))


def probabilities_of(logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(R,) float32 probabilities of a click from (R,) logits: the one sigmoid."""
    return torch.sigmoid(torch.from_numpy(logits)).numpy()

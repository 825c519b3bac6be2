"""Logits and probabilities of a split."""

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mmctr.click_split import ClickSplit


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for matrix products on CUDA, nothing on the CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


@torch.inference_mode()
def predict_logits(model: nn.Module, split: ClickSplit, *, batch_size: int) -> npt.NDArray[np.float32]:
    """(R,) float32 logits of every row of `split`, which lies on the model's device, in its order."""
    model.eval()
    device = split.target.device
    parts = []
    for batch in split.batches(batch_size):
        with autocast(device):
            parts.append(model(batch).float())
    return torch.cat(parts).cpu().numpy() if parts else np.zeros(0, dtype=np.float32)


def predict_probabilities(model: nn.Module, split: ClickSplit, *, batch_size: int) -> npt.NDArray[np.float32]:
    """(R,) float32 probabilities of a click, strictly as the sigmoid of the logits."""
    return torch.sigmoid(torch.from_numpy(predict_logits(model, split, batch_size=batch_size))).numpy()

"""Where a split is while a model reads it: on the device if it fits there, otherwise on the host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmctr.clicks.batch import Batch, ClickSplit, mapped, size_bytes

RESIDENT_SHARE = 0.5  # of the device's free memory; the rest is for the model and its activations


@dataclass(frozen=True)
class StreamedSplit:
    """A split that stays on the host: each batch is gathered there and copied through pinned memory.

    The copy does not block: the host gathers the next batch while the device computes.
    """

    split: ClickSplit
    device: torch.device

    def __len__(self) -> int:
        return len(self.split)

    @property
    def label(self) -> Tensor | None:
        """(R,) float32 on the host, or None."""
        return self.split.label

    @property
    def user(self) -> Tensor | None:
        """(R,) int32 on the host, or None."""
        return self.split.user

    def batches(
        self, batch_size: int, *, order: Tensor | None = None, ends: Sequence[int] | None = None
    ) -> Iterator[Batch]:
        """The batches of `ClickSplit.batches`, on the device."""
        for batch in self.split.batches(batch_size, order=order, ends=ends):
            yield mapped(batch, self._moved)

    def _moved(self, tensor: Tensor) -> Tensor:
        on_cuda = self.device.type == "cuda"
        return tensor.pin_memory().to(self.device, non_blocking=True) if on_cuda else tensor


def placed(split: ClickSplit, device: torch.device, *, free_bytes: int | None = None) -> ClickSplit | StreamedSplit:
    """`split` as the model on `device` can read it; `placed_together` for one split alone."""
    return placed_together([split], device, free_bytes=free_bytes)[0]


def placed_together(
    splits: Sequence[ClickSplit], device: torch.device, *, free_bytes: int | None = None
) -> list[ClickSplit | StreamedSplit]:
    """Splits that are read in turn: resident, the first ones first, while they need half of the free memory in all.

    Args:
        splits: on the host.
        device: of the model.
        free_bytes: what is free on the device; None asks CUDA, and on the CPU everything fits.
    """
    if free_bytes is None and device.type == "cuda":
        free_bytes, _ = torch.cuda.mem_get_info(device)
    left = float("inf") if free_bytes is None else RESIDENT_SHARE * free_bytes
    found: list[ClickSplit | StreamedSplit] = []
    for split in splits:
        fits = size_bytes(split) <= left
        left -= size_bytes(split) if fits else 0
        found.append(split.to(device) if fits else StreamedSplit(split, device))
    return found

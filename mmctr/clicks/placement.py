"""Where a split lies while a model reads it: on the device if it fits there, otherwise on the host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mmctr.clicks.split import Batch, ClickSplit

BATCH_TENSORS = ("history", "row", "target", "likes", "views")  # the label may be missing
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

    def batches(self, batch_size: int, *, order: Tensor | None = None) -> Iterator[Batch]:
        """The batches of `ClickSplit.batches`, on the device."""
        for batch in self.split.batches(batch_size, order=order):
            label = None if batch.label is None else _moved(batch.label, self.device)
            others = {name: _moved(getattr(batch, name), self.device) for name in BATCH_TENSORS}
            yield Batch(**others, label=label)


def placed(split: ClickSplit, device: torch.device, *, free_bytes: int | None = None) -> ClickSplit | StreamedSplit:
    """`split` as the model on `device` can read it; `placed_together` for one split alone."""
    return placed_together([split], device, free_bytes=free_bytes)[0]


def placed_together(
    splits: Sequence[ClickSplit], device: torch.device, *, free_bytes: int | None = None
) -> list[ClickSplit | StreamedSplit]:
    """Splits that are read in turn: resident, the first ones first, while they take half of the free memory in all.

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


def size_bytes(split: ClickSplit) -> int:
    """Bytes of a split's tensors."""
    return sum(value.nbytes for value in (getattr(split, field.name) for field in fields(split)) if value is not None)


def _moved(value: Tensor, device: torch.device) -> Tensor:
    return value.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else value

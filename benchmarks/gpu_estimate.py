"""What a GPU needs at least, from counted operations, bytes and kernels: an estimate where none is there to measure.

Each kernel that PyTorch would start is counted on the CPU with the precisions of CUDA, with what it reads and writes,
as if every tensor went to memory. A step then takes the longest of three times: its matrix products at the peak of the
tensor cores, its bytes at the peak of the memory, and the starts of its kernels. Nothing of this runs on a GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from parts_embed import untrained
from parts_model import BATCH, TRAIN_ROWS, stepping
from real_shape import item_table, write_clicks
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mmctr.clicks.split import load_split
from mmctr.compute.numerics import deterministic
from mmctr.training.loop import train_step
from mmctr.training.recipe import Recipe

LAUNCH_SECONDS = 5e-6  # of one kernel from Python, the usual order of magnitude
IMAGES, TITLES, TOKENS = 256, 256, 22
READS_OWN_ROWS = ("embedding", "index_select", "index")  # of a table as many rows as they give
ADDS_ROWS = ("index_add_", "scatter_add_")


@dataclass(frozen=True)
class Gpu:
    """Peaks of a GPU as its data sheet gives them: dense bfloat16 operations and bytes a second."""

    name: str
    operations: float
    bandwidth: float


GPUS = (Gpu("RTX 4090", 165e12, 1.008e12), Gpu("H100 SXM", 989e12, 3.35e12))


@dataclass(frozen=True)
class Estimate:
    """A piece of work: `count` units of `unit` take these operations, bytes and kernels."""

    part: str
    count: int
    unit: str
    operations: int
    bytes: int
    kernels: int

    def seconds(self, gpu: Gpu) -> tuple[float, str]:
        """The least time, and what bounds it."""
        times = {
            "products": self.operations / gpu.operations,
            "memory": self.bytes / gpu.bandwidth,
            "kernel starts": self.kernels * LAUNCH_SECONDS,
        }
        bound = max(times, key=lambda name: times[name])
        return times[bound], bound

    def as_dict(self) -> dict[str, Any]:
        """For results.json, with the rate on each GPU."""
        rates = {}
        for gpu in GPUS:
            seconds, bound = self.seconds(gpu)
            rates[gpu.name] = {"rate": self.count / seconds, "bound": bound}
        return {**asdict(self), "gpus": rates}


class Traffic(TorchDispatchMode):
    """Counts kernels, and the bytes they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.bytes = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        written = sum(_nbytes(value) for value in _tensors(out))
        if out is None:  # an optimizer's step and the like
            fields = zip(function._schema.arguments, args, strict=False)
            changed = [value for field, value in fields if field.alias_info and field.alias_info.is_write]
            written = sum(_nbytes(value) for value in _tensors(changed))
        if function.is_view or not written or name in ("empty", "empty_like", "new_empty", "_sparse_coo_tensor_unsafe"):
            return out
        read = sum(_nbytes(value) for value in _tensors((args, kwargs)))
        if name in READS_OWN_ROWS:
            read = written
        elif name in ADDS_ROWS:
            read = written = 2 * _nbytes(args[3])
        self.kernels += 1
        self.bytes += read + written
        return out


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _nbytes(value: Tensor) -> int:
    return value._values().nbytes if value.is_sparse else value.nbytes


def counted(part: str, work: Callable[[], object], *, count: int, unit: str) -> Estimate:
    """Count a second call of `work`, which does `count` units of `unit`."""
    work()  # what only the first call does
    with FlopCounterMode(display=False) as products, Traffic() as traffic:
        work()
    return Estimate(part, count, unit, products.get_total_flops(), traffic.bytes, traffic.kernels)


def _bfloat16(device: torch.device, *, enabled: bool = True) -> AbstractContextManager[None]:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def estimates(folder: Path) -> list[Estimate]:
    """A training step, a batch of predictions, and CLIP's own towers as a GPU runs them."""
    table, recipe = item_table(), Recipe(batch_size=BATCH)
    split = load_split(write_clicks(folder / "train200k.parquet", TRAIN_ROWS), table=table, with_label=True)
    batch, found = split.take(torch.randperm(TRAIN_ROWS, generator=torch.Generator().manual_seed(0))[:BATCH]), []
    with (
        mock.patch("mmctr.models.din.autocast", _bfloat16),
        mock.patch("mmctr.training.loop.autocast", _bfloat16),
        mock.patch("mmctr.models.sequence.target_attention.PIECE", len(batch.history)),
    ):
        for freeze in (False, True):
            model, optimizer = stepping(table, recipe=recipe, freeze=freeze)

            def step(model: Any = model, optimizer: Any = optimizer) -> Tensor:
                with deterministic():  # as an epoch has it
                    return train_step(model, batch, optimizer, recipe=recipe)

            name = f"train step, {'frozen' if freeze else 'trained'} items"
            found.append(counted(name, step, count=BATCH, unit="rows/s"))
        model.eval()
        with torch.inference_mode(), _bfloat16(model.device):
            found.append(counted("predict", lambda: model(batch), count=BATCH, unit="rows/s"))
    pixels = torch.zeros(IMAGES, 3, 224, 224, dtype=torch.float16, device="meta")
    tokens = torch.zeros(TITLES, TOKENS, dtype=torch.int64, device="meta")
    with torch.device("meta"):
        half = untrained().half()
    with torch.inference_mode():
        found.append(counted("image tower, ViT-B/32", lambda: half.encode_image(pixels), count=IMAGES, unit="images/s"))
        name = f"text tower, titles of {TOKENS} tokens"
        found.append(counted(name, lambda: half.encode_text(tokens), count=TITLES, unit="titles/s"))
    return found

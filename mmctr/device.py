"""Which device to compute on, and how many of the machine's cores this process may use."""

import os
from contextlib import suppress
from pathlib import Path

from mmctr.errors import InputError


def usable_cores(*, groups: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores that this process may use: of those it is bound to, what the quota of a container or batch job allows.

    `groups` lists the process's control groups, `mount` is where they are described, in version 1 or 2. A quota of
    a part of a core counts as one.
    """
    return max(1, int(min([bound_cores(), *_quotas(groups, mount)])))


def bound_cores() -> int:
    """Cores that this process may run on, however little of their time it gets."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(groups: Path, mount: Path) -> list[float]:
    """Cores that each control group around this process allows; none where the system does not tell."""
    quotas = []
    with suppress(OSError, ValueError):
        for line in groups.read_text(errors="replace").splitlines():
            _, kinds, place = line.split(":", 2)
            if kinds and "cpu" not in kinds.split(","):
                continue
            base = next((mount / name for name in (kinds, "cpu") if kinds and (mount / name).is_dir()), mount)
            inner = base.joinpath(*Path(place).parts[1:])
            quotas += [quota for folder in (inner, *inner.parents) if (quota := _quota(folder)) is not None]
    return quotas


def _quota(folder: Path) -> float | None:
    """What one control group allows: `cpu.max` of version 2, two files of version 1; None for no limit."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = (folder / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        allowed, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(allowed) / int(period) if int(allowed) > 0 else None
    return None


def resolve_device(name: str) -> str:
    """`auto` becomes `cuda` when there is a CUDA device and `cpu` otherwise; other names are verified.

    Raises:
        InputError: the name is unknown, or the device is not there.
    """
    import torch  # seconds that a run which computes nothing need not spend

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"device must be auto, cpu, cuda or cuda:N, found {name!r}") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device must be auto, cpu, cuda or cuda:N, found {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device {name} is not there, PyTorch sees {torch.cuda.device_count()} CUDA devices; use auto")
    return name

"""How many of the machine's cores this process may use."""

import os
from contextlib import suppress
from pathlib import Path


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
    """Cores that each control group around this process allows; none where the system does not say."""
    quotas = []
    with suppress(OSError, ValueError):
        for line in groups.read_text(errors="replace").splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds and "cpu" not in kinds.split(","):
                continue
            base = next((mount / name for name in (kinds, "cpu") if kinds and (mount / name).is_dir()), mount)
            inner = base.joinpath(*Path(path).parts[1:])
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

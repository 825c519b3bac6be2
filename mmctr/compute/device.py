"""Which device to compute on."""

from mmctr.common.errors import InputError


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

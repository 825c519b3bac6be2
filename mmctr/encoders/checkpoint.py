"""A model's weights out of a checkpoint's bytes, checked before anything is built from them.

The bytes are read once: what is hashed and checked is what is loaded. A state_dict is read without running code; a
TorchScript file is a program, and loading it may run some of it, so it must be one of OpenAI's or be allowed.
"""

import hashlib
import io
import pickle
import warnings
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.text import first_line, shown_value

Weights = dict[str, torch.Tensor]
ROOM = (b"c__builtin__\nbytearray\n", b"cbuiltins\nbytearray\n")  # PyTorch's reader makes one of any size that is named


class UnusableError(Exception):
    """The bytes are no checkpoint of CLIP; the message says why."""


def read_checkpoint(path: Path, *, sha256: str | None) -> bytes:
    """The bytes of a checkpoint, which must have `sha256` where one is given. Raises InputError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise_if_of_the_machine(error, path=path)
        raise InputError(
            f"A CLIP checkpoint must be readable, and {path} is not: {first_line(error)}.\nGive another file."
        ) from error
    if sha256 is not None and (found := digest_of(content)) != sha256:
        raise InputError(
            f"A CLIP checkpoint must stay as it is while it is used; {path} had the sha256 {sha256} and now has "
            f"{found}.\nRun again when nothing writes to it."
        )
    return content


def digest_of(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def checked_weights(content: bytes, *, name: str, trusted: Collection[str], allow_torchscript: bool) -> Weights:
    """CLIP's named tensors in `content`, all of them whole and finite; `trusted` are digests of programs that may run.

    Raises InputError with `name`, and UnusableError where the bytes are something else than such tensors.
    """
    if _is_torchscript(content):
        digest = digest_of(content)
        if digest not in trusted and not allow_torchscript:
            raise InputError(
                f"A TorchScript checkpoint is a program, so it must be one of OpenAI's; {name} has the sha256 "
                f"{digest}, which is none of theirs.\nGive the weights as a state_dict (torch.save of "
                "model.state_dict()), or allow it with `allow_torchscript=True` if you trust whoever made it."
            )
        weights = _checked_names(_load(content, script=True))
    else:
        weights = read_weights(content)
    check_weights(weights, name=name, dtype=torch.float16)
    return weights


def read_weights(content: bytes, *, safetensors: bool = False) -> Weights:
    """The named tensors in `content`, or in its `state_dict` where a training was saved; no code is run.

    Raises UnusableError where the bytes are something else.
    """
    if safetensors:
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return dict(load(content))
        except (SafetensorError, ValueError, KeyError) as error:
            raise UnusableError(f"{type(error).__name__}: {first_line(error)}") from error
    if _is_torchscript(content):
        raise UnusableError("it is a TorchScript program")
    saved = _load(content, script=False)
    if isinstance(saved, dict) and isinstance(saved.get("state_dict"), dict):
        saved = saved["state_dict"]
    weights = _checked_names(saved)
    _check_storage(weights, len(content))
    return weights


def check_weights(weights: Weights, *, name: str, dtype: torch.dtype) -> None:
    """Refuse weights that are not finite in the precision `dtype`. Raises InputError with `name`."""
    words = {torch.float16: " of half precision", torch.float32: ""}[dtype]
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.to(dtype).isfinite().all()):
            bad = int((~tensor.to(dtype).isfinite()).sum())
            raise InputError(
                f"The weights of a CLIP model must be finite numbers{words}, and {bad} of the "
                f"{tensor.numel()} in {shown_value(key)} of {name} are not.\nFetch the checkpoint again, or take one "
                "from before its training diverged."
            )


def _is_torchscript(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return False
    return any(name.rpartition("/")[2] == "constants.pkl" or "/code/" in f"/{name}" for name in names)


def _load(content: bytes, *, script: bool) -> Any:
    try:
        if not script and zipfile.is_zipfile(io.BytesIO(content)):
            _check_archive(content)
        if not script and any(name in content for name in ROOM):
            raise UnusableError("it asks for room that it does not fill")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.load.* is deprecated", FutureWarning)
            warnings.simplefilter("ignore", UserWarning)  # an unusual pickle protocol is warned of before it is refused
            if script:
                return torch.jit.load(io.BytesIO(content), map_location="cpu").eval().state_dict()
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (MemoryError, torch.OutOfMemoryError, UnusableError):
        raise
    except pickle.UnpicklingError as error:
        raise UnusableError("it holds other objects than plain tensors, or is damaged") from error
    except Exception as error:  # bytes that are something else can fail anywhere
        raise UnusableError(f"{type(error).__name__}: {first_line(error)}") from error


def _checked_names(weights: object) -> Weights:
    """Tensors by name. Raises UnusableError where they are something else."""
    if not isinstance(weights, dict) or not weights or not all(isinstance(key, str) for key in weights):
        raise UnusableError(f"it holds {shown_value(weights)}")
    for key, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise UnusableError(f"{shown_value(key)} is {shown_value(value)}, no tensor")
    return dict(weights)


def _check_archive(content: bytes) -> None:
    """Refuse what does not have its checksums, which PyTorch does not compare, or is packed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > len(content):
            raise UnusableError("it is compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise UnusableError(f"{shown_value(damaged)} does not have its checksum")


def _check_storage(weights: Weights, size: int) -> None:
    """Refuse tensors whose numbers are not all in the file: expanded ones ask for any amount of memory."""
    total = 0
    for key, tensor in weights.items():
        dense = tensor.layout == torch.strided and tensor.device.type == "cpu"
        plain = dense and not tensor.is_quantized and not tensor.is_complex()
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise UnusableError(f"{shown_value(key)} is no plain tensor")
        total += tensor.numel() * tensor.element_size()
    if total > size:
        raise UnusableError(f"its tensors have {total} bytes, and the file has {size}")

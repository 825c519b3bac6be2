"""Tensors and plain values as one file, which `torch.load(path, weights_only=True)` reads too.

Such a file may describe far more than it holds: tensors that repeat one number a billion times, or that have no memory
at all. So the description is read first, with sizes in place of tensors, and PyTorch builds only what is whole and
plain: each tensor dense, in the order of its dimensions, and over exactly the bytes of a record of its own. What a file
needs in memory is then about its size.
"""

import io
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

from mmctr.common.errors import raise_if_of_the_machine
from mmctr.common.files import replacing
from mmctr.common.text import first_line, shown_value

DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DESCRIPTION = "data.pkl"
MAX_DESCRIPTION = 4 << 20  # bytes; the figures of ten thousand epochs have one million
MAX_VALUES, MAX_DEPTH = 500_000, 10


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values with `torch.save`; the same content makes the same bytes."""
    with replacing(path) as partial, partial.open("wb") as stream:
        torch.save(content, stream)  # to a stream: the archive's inner folder would be named after a path


def load_tensors(path: Path, *, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Read what `save_tensors` wrote: tensors and plain values only, in about as much memory as the file has bytes.

    Raises:
        ValueError: the file is damaged, or holds something else, such as code or tensors that are no plain ones.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, path)
        with warnings.catch_warnings():  # an unusual pickle protocol is warned of before it is refused
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(path, map_location=device, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} must hold plain values and plain tensors only: {first_line(error)}") from error
    except Exception as error:  # a damaged file can raise nearly anything in zipfile, pickle and torch.load
        raise_if_of_the_machine(error, path=path)  # the file may be good
        raise ValueError(f"{path} is not a whole file of tensors: {first_line(error)}") from error
    assert isinstance(content, dict)
    return content


def _check(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive that would unpack to more than it has bytes, is damaged, or describes what must not be built.

    Raises:
        ValueError, pickle.UnpicklingError: in words for a user.
    """
    members = archive.infolist()
    sizes = {member.filename: member.file_size for member in members}
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or len(sizes) != len(members) or sum(sizes.values()) > path.stat().st_size:
        raise ValueError("its records must be stored as they are, each once")
    damaged = archive.testzip()  # PyTorch does not compare the checksums that it writes
    if damaged is not None:
        raise ValueError(f"{shown_value(damaged)} does not have its checksum")
    folder = members[0].filename.partition("/")[0] if members else ""
    if sizes.get(f"{folder}/{DESCRIPTION}", 0) > MAX_DESCRIPTION:
        raise ValueError(f"{DESCRIPTION} must be at most {MAX_DESCRIPTION:,} bytes")
    description = archive.read(f"{folder}/{DESCRIPTION}")
    for operation, argument, _ in pickletools.genops(description):
        if "PUT" in operation.name and isinstance(argument, int) and argument > len(description):
            raise ValueError("it numbers its values beyond their count")  # C's unpickler makes room for that number
    records = {name.removeprefix(f"{folder}/data/"): size for name, size in sizes.items()}
    content = _Description(description, records).load()
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f"it holds a {type(content).__name__}, not named values")
    _check_plain(content)


class _Named(dict[Any, Any]):
    """In place of an OrderedDict, which begins empty; its attributes (`_metadata` of a state dict) do not matter."""

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: object) -> None:
        pass


@dataclass(frozen=True)
class _Storage:
    """In place of a tensor's memory: `count` numbers in a record of the archive."""

    count: int

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("memory of a tensor has no attributes")


@dataclass(frozen=True)
class _Sized:
    """In place of a tensor."""

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("a plain tensor has no attributes")


class _Description(pickle.Unpickler):
    """Reads a description: plain values as they are, and `_Sized` for each tensor whose record is what it says."""

    def __init__(self, description: bytes, records: dict[str, int]) -> None:
        super().__init__(io.BytesIO(description))
        self._records = records
        self._seen: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """What may be named in a file; nothing is imported."""
        if (module, name) == ("collections", "OrderedDict"):
            return _Named
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _sized
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"found {shown_value(f'{module}.{name}')}")

    def persistent_load(self, pid: Any) -> _Storage:
        """The memory that a tensor refers to; it must be its own, and as large as its record."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(key) is not str or type(count) is not int:
            raise pickle.UnpicklingError(f"found memory described as {shown_value(pid)}")
        if key in self._seen:
            raise pickle.UnpicklingError("two of its tensors share their memory")
        self._seen.add(key)
        if count < 0 or self._records.get(key) != count * dtype.itemsize:
            raise pickle.UnpicklingError(f"a tensor of {shown_value(count)} numbers does not have the bytes for them")
        return _Storage(count)


def _sized(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Sized:
    """In place of the tensor of these sizes, if it is `storage` whole, in the order of its dimensions."""
    if not isinstance(storage, _Storage) or not _is_sizes(shape) or not _is_sizes(strides) or type(offset) is not int:
        raise pickle.UnpicklingError("a tensor is described in no known way")
    if offset != 0 or len(shape) != len(strides) or prod(shape) != storage.count or not _is_dense(shape, strides):
        raise pickle.UnpicklingError(
            f"a tensor of shape {shown_value(shape)} and strides {shown_value(strides)} must be the {storage.count} "
            "numbers of its record, one after the other"
        )
    return _Sized()


def _is_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) <= 64 and all(type(n) is int and 0 <= n < 2**63 for n in value)


def _is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether the strides are those of row-major order; that of a dimension of one does not matter."""
    expected = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return prod(shape) == 0 or all(
        n == 1 or found == right for n, found, right in zip(shape, strides, expected, strict=True)
    )


def _check_plain(content: dict[Any, Any]) -> None:
    """Refuse values other than plain ones, nesting that nobody needs, and more values than a training has.

    A value that is in many positions counts once for each, so what is small only by sharing is refused too.
    """
    waiting: list[tuple[Any, int]] = [(content, 0)]
    left = MAX_VALUES
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list | tuple):
            left -= len(value)
            if left < 0 or depth > MAX_DEPTH:
                raise pickle.UnpicklingError(f"found over {MAX_VALUES:,} values, or over {MAX_DEPTH} levels of them")
            if isinstance(value, dict) and not all(type(name) in (str, int) for name in value):
                raise pickle.UnpicklingError("names must be text or whole numbers")
            waiting += [(part, depth + 1) for part in (value.values() if isinstance(value, dict) else value)]
        elif not (value is None or isinstance(value, _Sized | bool | int | float | str)):
            raise pickle.UnpicklingError(f"found a {type(value).__name__}")

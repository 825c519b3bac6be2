"""Vectors kept by the digest of the content they were computed from, so that no content is computed twice.

A store is a folder of shards `000000.npz`, `000001.npz`, ..., each written whole. A run that was interrupted goes on
after its last shard, and new content is added as new shards. Processes that write to a store at once take different
numbers; what both compute is there twice. Whatever else is in the folder is left alone; a file with a shard's name that
is none, or damaged, gets another name.

Shapes: n keys, D the vectors' length. A shard holds `keys` bytes (n,) of 64 hexadecimal digits, `vectors` float32
(n, D) and `reasons` str (n,). Content without a vector is kept as a row of NaN with a reason, else the reason is "".
"""

import io
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from mmctr.common.files import is_file, replacing

logger = logging.getLogger(__name__)

KEY_DTYPE = np.dtype("S64")
SET_ASIDE = ".not-a-shard"
LAST_NUMBER = 10**12 - 1
_NAME = re.compile(rf"([0-9]{{6,12}})\.npz({re.escape(SET_ASIDE)})?", re.ASCII)


@dataclass(frozen=True)
class Lookup:
    """What a store holds for n keys, row by row."""

    found: np.ndarray  # bool (n,): there is a vector
    vectors: np.ndarray  # float32 (n, D): zeros where not found
    reasons: list[str]  # why the content has no vector; "" where there is one or the store knows nothing


class VectorShards:
    """The store in `folder`, for vectors of length `dim`. Shards that are damaged or of another kind are set aside."""

    def __init__(self, folder: Path, *, dim: int) -> None:
        self.folder = folder
        self.dim = dim
        self._rows: dict[str, tuple[int, int]] = {}  # key -> (shard in `_vectors`, row in it)
        self._vectors: list[np.ndarray] = []
        self._reasons: dict[str, str] = {}
        for path in _shard_paths(folder):
            try:
                keys, vectors, reasons = _read_shard(path)
                if vectors.shape[1] != dim:
                    raise ShardError(f"vectors of length {vectors.shape[1]}, not {dim}")
            except OSError as error:
                logger.warning("%s cannot be read; its rows are computed again (%s)", path, error.strerror)
            except ShardError as error:
                _set_aside(path, error)
            else:
                self._add(keys, vectors, reasons)

    def __len__(self) -> int:
        return len(self._rows)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The distinct keys of which the store knows nothing, in the order of their first occurrence."""
        return [key for key in dict.fromkeys(keys) if key not in self._rows]

    def append(self, keys: Sequence[str], vectors: np.ndarray, *, reasons: Sequence[str] | None = None) -> None:
        """Write one new shard: `vectors` float32 (n, D) and `reasons` (n,) of the distinct new `keys`.

        A row that is not finite needs a reason and is kept as NaN. No keys make no shard.
        """
        if not keys:
            return
        reasons = [""] * len(keys) if reasons is None else list(reasons)
        if vectors.dtype != np.float32 or vectors.shape != (len(keys), self.dim) or len(reasons) != len(keys):
            raise ValueError(f"{len(keys)} keys need float32 vectors ({len(keys)}, {self.dim}), not {vectors.shape}")
        failed = np.array([reason != "" for reason in reasons], bool)
        if not np.array_equal(failed, ~np.isfinite(vectors).all(axis=1)):
            raise ValueError("a row is finite if and only if it has no reason")
        if len(self.missing(keys)) != len(keys) or any(len(key) != KEY_DTYPE.itemsize for key in keys):
            raise ValueError("keys must be distinct, new and 64 digits long")
        vectors = np.where(failed[:, None], np.float32(np.nan), vectors)
        while not self._write(keys, vectors, reasons):
            pass  # another process has just taken the number
        self._add(list(keys), vectors, reasons)

    def lookup(self, keys: Sequence[str | None]) -> Lookup:
        """What the store holds for each of `keys`; None is a row without content."""
        found = np.zeros(len(keys), bool)
        vectors = np.zeros((len(keys), self.dim), np.float32)
        reasons = [self._reasons.get(key, "") if key is not None else "" for key in keys]
        for row, key in enumerate(keys):
            if key in self._rows and not reasons[row]:
                shard, shard_row = self._rows[key]
                vectors[row] = self._vectors[shard][shard_row]
                found[row] = True
        return Lookup(found, vectors, reasons)

    def _write(self, keys: Sequence[str], vectors: np.ndarray, reasons: Sequence[str]) -> bool:
        """Write a shard under the next number; False where another process has it by then."""
        try:
            with (
                replacing(self.folder / f"{_next_number(self.folder):06d}.npz", only_new=True) as partial,
                partial.open("wb") as stream,
            ):
                np.savez(stream, keys=np.array(keys, KEY_DTYPE), vectors=vectors, reasons=np.array(reasons, np.str_))
        except FileExistsError:
            return False
        return True

    def _add(self, keys: Sequence[str], vectors: np.ndarray, reasons: Sequence[str]) -> None:
        for row, (key, reason) in enumerate(zip(keys, reasons, strict=True)):
            if key not in self._rows:
                self._rows[key] = (len(self._vectors), row)
                if reason:
                    self._reasons[key] = reason
        self._vectors.append(vectors)


def stored_dim(folder: Path) -> int | None:
    """The length of the vectors in `folder`, as most of them have it; None where there is no shard."""
    rows: Counter[int] = Counter()
    for path in _shard_paths(folder):
        try:
            with zipfile.ZipFile(path) as shard, shard.open("vectors.npy") as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                count, dim = read(stream)[0]
        except Exception:  # noqa: S112 - zipfile and NumPy raise nearly every type on bytes that are not theirs
            continue
        rows[dim] += count
    return max(rows, key=lambda dim: (rows[dim], -dim)) if rows else None


class ShardError(Exception):
    """A file among the shards is none, or not whole."""


def _shard_paths(folder: Path) -> list[Path]:
    """Files with a shard's name, by their number."""
    named = {path: match for path in folder.glob("*.npz") if (match := _NAME.fullmatch(path.name))}
    paths = sorted((path for path in named if is_file(path)), key=lambda path: int(named[path][1]))
    for other in named.keys() - set(paths):
        logger.warning("%s has the name of a shard and is no file; it is left alone", other)
    return paths


def _next_number(folder: Path) -> int:
    """A number behind all that any name in `folder` has, whatever it names; a free one where the last is taken."""
    taken = {int(match[1]) for path in folder.glob("*") if (match := _NAME.fullmatch(path.name))}
    behind = max(taken, default=-1) + 1
    return behind if behind <= LAST_NUMBER else next(number for number in count() if number not in taken)


def _set_aside(path: Path, error: ShardError) -> None:
    """Rename a file: it may be someone's, and its number is not used again."""
    logger.warning("%s is no whole shard and is set aside; its rows are computed again (%s)", path, error)
    try:
        path.rename(path.with_name(path.name + SET_ASIDE))
    except OSError as problem:
        logger.warning("%s cannot be renamed and is left alone: %s", path, problem.strerror)


def _read_shard(path: Path) -> tuple[list[str], np.ndarray, list[str]]:
    """Keys, vectors and reasons of a shard. The zip's CRC covers every array. Raises ShardError, or OSError."""
    content = path.read_bytes()
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as shard:
            keys, vectors, reasons = shard["keys"], shard["vectors"], shard["reasons"]
        names = [key.decode("ascii") for key in keys.tolist()]
    except MemoryError:
        raise
    except Exception as error:  # zipfile and NumPy raise nearly every type on bytes that are not theirs
        raise ShardError(f"{type(error).__name__}: {error}") from error
    if keys.dtype != KEY_DTYPE or vectors.dtype != np.float32 or reasons.dtype.kind != "U":
        raise ShardError("unexpected types")
    if vectors.ndim != 2 or keys.shape != (len(vectors),) or reasons.shape != (len(vectors),):
        raise ShardError("unexpected shapes")
    if not np.array_equal(np.isfinite(vectors).all(axis=1), reasons == ""):
        raise ShardError("vectors and reasons disagree")
    return names, vectors, reasons.tolist()

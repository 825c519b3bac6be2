"""Users of a click log as numbers, so that rows of one user are known as such; which number it is means nothing.

Legend: R rows.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown
from mmctr.inputs.files import Files
from mmctr.inputs.hashes import GOLDEN, hash_texts, mixed
from mmctr.inputs.numbers import without_dictionary
from mmctr.inputs.tables import column_names

Keys = npt.NDArray[np.int64]


def has_column(files: Files, name: str) -> bool:
    """Whether a click log has the column `name`; an empty name is that of none.

    Raises:
        InputError: its first file cannot be read.
    """
    return bool(name) and name in column_names(files)


def check_users_known(known: bool, *, pairwise_weight: float) -> None:
    """Refuse to compare rows of a user where it is not `known` whose a row is.

    Raises:
        InputError: a pairwise loss would compare them.
    """
    if pairwise_weight and not known:
        raise InputError(
            f"a pairwise loss (`pairwise_weight = {pairwise_weight:g}`) compares rows of one user, and the training "
            "clicks do not say whose a row is; name their column of users (`user`), or set `pairwise_weight = 0`"
        )


def user_keys(column: pa.Array, *, name: str, first_row: int) -> Keys:
    """(R,) int64, equal for rows of one user: an integer id itself, the 64-bit hash of any other as a text.

    A row without a user (a null, a NaN, an empty text) is of one of its own. That two users meet in a hash has a chance
    of one in ten million with a million of them, and would make them one.

    Args:
        column: ids.
        name: of the column.
        first_row: number of its first row in the split.

    Raises:
        InputError: the column holds lists or the like, or a text is no UTF-8.
    """
    try:
        keys, present = _keys(without_dictionary(column))
    except (InputError, pa.ArrowException) as error:
        raise InputError(
            f"the column of users (`user`) must hold integers or texts, {shown(name)} does not: {first_line(error)}; "
            "name another column, or none"
        ) from error
    if not present.all():
        rows = np.flatnonzero(~present)
        keys[rows] = mixed((rows + first_row + 1).astype(np.uint64) * GOLDEN).view(np.int64)
    return keys


def _keys(column: pa.Array) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """The keys of rows, and which of them have a user."""
    if pa.types.is_integer(column.type):
        present = column.is_valid().to_numpy(zero_copy_only=False)
        return np.array(column.fill_null(0).to_numpy(zero_copy_only=False)).astype(np.int64, copy=False), present
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    texts = column.cast(pa.large_string())
    present = pc.fill_null(pc.not_equal(texts, ""), False).to_numpy(zero_copy_only=False)
    return hash_texts(texts).view(np.int64), present


def numbered(keys: Keys) -> npt.NDArray[np.int32]:
    """(R,) int32 number of each row's user, counted from 0 as they first appear."""
    indices = pa.array(keys).dictionary_encode().indices
    return np.array(indices.to_numpy(zero_copy_only=False), dtype=np.int32)

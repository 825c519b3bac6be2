"""Which rows of train are the held-out ones, where a data set has no click log to choose by.

The rule: a user is held out where splitmix64(h + seed * G) is below `share` of 2^64. G is 2^64 / the golden ratio, and
h the sum of splitmix64(byte + position * G) over the bytes of the user's id as text in UTF-8. So all rows of a user are
in one part; the integer 7 and the text "7" are one user; and the same users are held out on every machine, in every
order of the rows, whatever other users there are.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.inputs.columns import ids_of
from mmctr.inputs.hashes import GOLDEN, hash_texts, mixed
from mmctr.inputs.layout import HeldOut
from mmctr.inputs.numbers import is_text, value_type

BITS = 53  # of a hash that a float64 holds


def kept_rows(users: pa.Array, held: HeldOut) -> npt.NDArray[np.bool_]:
    """(R,) whether each row belongs to the part that `held` means.

    Args:
        users: (R,) ids of users, integers or texts, none of them null.
        held: the rule, and the part.
    """
    if not is_text(value_type(users.type)):
        users = pc.cast(pa.array(ids_of(users)), pa.large_string())
    seed = np.array([held.seed], dtype=np.uint64) * GOLDEN
    position = mixed(hash_texts(users) + seed) >> np.uint64(64 - BITS)
    held_out = position.astype(np.float64) < held.share * 2**BITS
    return held_out if held.part == "valid" else ~held_out

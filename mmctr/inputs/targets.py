"""Whether a model knows the target items of a click log."""

import numpy as np
import numpy.typing as npt

from mmctr.common.errors import InputError


def check_targets_known(known: npt.NDArray[np.bool_], *, min_known_targets: float) -> None:
    """Refuse target items that a model does not know: its answers would mean nothing.

    Args:
        known: (R,) whether the target of each row is among the model's items.
        min_known_targets: of the rows, whose target must be.

    Raises:
        InputError: fewer are.
    """
    count = int(known.sum())
    if count < min_known_targets * len(known):
        raise InputError(
            f"the model must know at least {min_known_targets:.0%} of the target items, it knows {count:,} of "
            f"{len(known):,}; use data or a model of the same items, or lower `min_known_targets`"
        )

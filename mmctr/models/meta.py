"""A model without memory for its weights, which says what they would be, however large they are."""

import torch
from torch import Tensor

from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown_value
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel


def weights_of(architecture: Architecture) -> dict[str, Tensor]:
    """The state dict of a model of this architecture, of tensors that have a shape and a dtype and no numbers.

    Raises:
        ValueError: no model can be built of it.
    """
    try:
        with torch.device("meta"):
            return ClickModel(architecture).state_dict()
    except (InputError, TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise ValueError(f"no model can be built of this architecture: {first_line(error)}") from error


def parameters_of(architecture: Architecture) -> int:
    """How many numbers a model of this architecture learns or keeps.

    Raises:
        ValueError: no model can be built of it.
    """
    return sum(weight.numel() for weight in weights_of(architecture).values())


def check_fit(architecture: Architecture, weights: dict[str, Tensor]) -> None:
    """Refuse weights that a model of this architecture does not have, before it is built.

    Raises:
        ValueError: names the weight.
    """
    own = weights_of(architecture)
    for name in [*own, *weights]:
        shape, found = (tuple(each[name].shape) if name in each else None for each in (own, weights))
        if shape != found:
            has = f"must be {shape or 'absent'}, the weights have {'none' if found is None else found}"
            raise ValueError(f"the weights do not fit the architecture: {shown_value(name)} {has}")

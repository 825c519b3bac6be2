"""Parts of a model by their kind: a module of `sequence` or of `heads`, whose COMPONENT is the class.

A sequence encoder is a module `(query (B, W), keys (N, W), row (N,) int64, ascending) -> (B, encoder.width)`. Keys are
those of the rows one after the other, the most recent of a row last; a row may have none. With `of_content` set it
reads the vectors of the items, else the encoded items. A head is a module `(B, width) -> (B,) float32` logits.
"""

from torch import nn

from mmctr.common.components import load_component
from mmctr.models.architecture import HEADS, SEQUENCE, Part


def sequence_encoder(part: Part, *, item_width: int, content_width: int) -> nn.Module:
    """An encoder of histories with fresh weights.

    Raises:
        InputError: there is no part of this kind.
        TypeError, ValueError: its options are others.
    """
    component = load_component(SEQUENCE, part.kind)
    return component(content_width if component.of_content else item_width, **part.options)


def head(part: Part, *, width: int) -> nn.Module:
    """A head with fresh weights for rows of `width` numbers.

    Raises:
        InputError, TypeError, ValueError: as `sequence_encoder` has it.
    """
    return load_component(HEADS, part.kind)(width, **part.options)

"""What a model reads of a row or of an item beside ids and vectors: columns that are declared, each of one kind.

Imports nothing of the library, as the settings read their defaults here.
"""

from dataclasses import dataclass
from typing import Literal

LEVELS = 20  # popularity levels (likes_level, views_level), 0..19; this release uses 1..10, and 0 is padding
MAX_LEN = 64  # most recent history items that are kept of a row, as in the challenge's baseline
Kind = Literal["category", "tags", "number"]


@dataclass(frozen=True)
class Feature:
    """A column that a model reads.

    Attributes:
        column: its name, in the click log for a feature of rows, in the item table for one of items.
        kind: `category`, one value of many; `tags`, a list of such values, which are averaged; `number`, standardised.
        width: of the embedding of a value; a number has none.
        size: of a category whose values are whole numbers from 0 to `size` - 1, each its own row of the embedding
            table, 0 for unknown. None: the values are those of train, and others are unknown.
        max_tags: of a row's tags, the first that are read.
    """

    column: str
    kind: Kind
    width: int = 16
    size: int | None = None
    max_tags: int = 8

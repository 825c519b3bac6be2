"""What a model reads of a row or of an item beside ids and vectors: columns that are declared, each of one kind.

Imports nothing of the library, as the settings read their defaults here.
"""

from dataclasses import dataclass
from typing import Literal

FLAGGED = 2  # columns of a number: its value, and 1 where it is missing
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
            table, 0 for unknown. None: the values are those of train, and others are unknown. Once these are known, as
            an `Architecture` has it, it is the number of rows of the table, of tags as well.
        max_tags: of a row's tags, the first that are read.
        separator: between tags that are written as one text.
    """

    column: str
    kind: Kind
    width: int = 16
    size: int | None = None
    max_tags: int = 8
    separator: str = " "

    @property
    def id_columns(self) -> int:
        """Numbers of embedding rows that it has in a row of the data."""
        return {"category": 1, "tags": self.max_tags, "number": 0}[self.kind]

    @property
    def number_columns(self) -> int:
        """Numbers that it has in a row of the data."""
        return FLAGGED if self.kind == "number" else 0

    @property
    def output_width(self) -> int:
        """Numbers that a model reads of it."""
        return FLAGGED if self.kind == "number" else self.width

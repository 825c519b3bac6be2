"""What the numbers of item vectors mean: vectors and models of two spaces are never mixed, however wide they are."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from mmctr.common.text import shown, shown_names

Source = Literal["clip", "columns"]


@dataclass(frozen=True)
class Space:
    """Where vectors come from, and how their parts are fused.

    Attributes:
        source: an encoder of titles and images, or columns of the item table.
        content: of an encoder the weights, by their official name or their SHA-256, behind the name of what reads
            them where that does not follow; of columns their names, as JSON.
        fuse: `mean` or `concat`.
        fit: of a PCA, whether it is of the `whole` vector or of its `parts`.
    """

    source: Source
    content: str
    fuse: str
    fit: str = "whole"

    def dumps(self) -> str:
        """The space as text, by which `loads` knows it again."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> "Space":
        """What `dumps` returned."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        how = f", fused by {self.fuse}{', with a PCA for each part' if self.fit == 'parts' else ''}"
        if self.source == "columns":
            return f"the columns {shown_names(json.loads(self.content))}{how}"
        head, _, digest = self.content.rpartition(" ")
        is_digest = len(digest) == 64 and set(digest) <= set("0123456789abcdef")
        model = f"{head} with SHA-256 {digest[:12]}...".strip() if is_digest else shown(self.content)
        return f"titles and images by {model or 'a model that is not known'}{how}"


def space_of_columns(columns: Sequence[str], *, fuse: str) -> Space:
    """The space of vectors that are read from columns, in their order."""
    return Space("columns", json.dumps(list(columns)), fuse)


def space_of_model(reader: str, weights: str, *, fuse: str) -> Space:
    """The space of vectors by an encoder: `ModelName.reader`, and the weights' official name or SHA-256."""
    return Space("clip", f"{reader} {weights}".strip(), fuse)

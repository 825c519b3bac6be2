"""Names of models, as users write them: `ViT-B/32`, `/models/tiny.pt`, `open_clip:ViT-B-32/laion2b_s34b_b79k`."""

from dataclasses import dataclass, replace
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.files import is_file
from mmctr.common.text import shown_value

CLIP, OPEN_CLIP = "clip", "open_clip"
PREFIX = f"{OPEN_CLIP}:"


@dataclass(frozen=True)
class ModelName:
    """A model by its name.

    Attributes:
        kind: of encoder, a module of `mmctr.encoders.kinds`.
        architecture: the network's name where the weights do not say it, else empty.
        weights: the path of a file, or the name under which they are published.
    """

    kind: str
    architecture: str
    weights: str

    @property
    def prefix(self) -> str:
        """What stands before the weights."""
        return f"{PREFIX}{self.architecture}/" if self.kind == OPEN_CLIP else ""

    def __str__(self) -> str:
        return f"{self.prefix}{self.weights}"

    @property
    def file(self) -> Path | None:
        """The file that the weights are named by; None where they are named otherwise."""
        try:
            path = Path(self.weights).expanduser()
        except RuntimeError:  # no such user
            return None
        return path if is_file(path) else None

    @property
    def reader(self) -> str:
        """What the vectors depend on beside the bytes of the weights: how they are read. Empty for CLIP."""
        if self.kind == CLIP:
            return ""
        return f"{PREFIX}{self.architecture}" if self.file else str(self)

    def with_weights(self, weights: str | Path) -> "ModelName":
        """The same model with weights from elsewhere."""
        return replace(self, weights=str(weights))


def parse_model(model: str) -> ModelName:
    """The parts of a model's name.

    Raises:
        InputError: it has no weights, or no architecture where it needs one.
    """
    if not model.startswith(PREFIX):
        return ModelName(CLIP, "", model)
    architecture, slash, weights = model.removeprefix(PREFIX).partition("/")
    if not architecture or not slash or not weights:
        raise InputError(
            f"a model of open_clip is written {PREFIX}MODEL/TAG or {PREFIX}MODEL/PATH, such as "
            f"{PREFIX}ViT-B-32/laion2b_s34b_b79k; found {shown_value(model)}"
        )
    return ModelName(OPEN_CLIP, architecture, weights)

"""OpenAI's CLIP by an official name or from a checkpoint file."""

from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.common.text import shown_value
from mmctr.encoders.base import Encoder, space_of
from mmctr.encoders.names import ModelName


class Clip:
    """The kind of `mmctr.encoders.clip`, which is imported where it is needed: that takes seconds."""

    def weights(self, model: ModelName, *, download: bool) -> Path | None:  # noqa: ARG002 an official name says which
        """The checkpoint; None for an official name, whose weights have a known SHA-256."""
        if model.file:
            return model.file
        from mmctr.encoders.clip_official import official_models

        if model.weights not in official_models():
            raise InputError(
                f"`model` must be the path of a checkpoint, one of {', '.join(official_models())}, or "
                f"open_clip:MODEL/TAG; found {shown_value(model.weights)}, and no such file"
            )
        return None

    def width(self, model: ModelName, *, allow_torchscript: bool) -> int | None:
        """E; None for official weights that are not downloaded yet."""
        from mmctr.encoders.clip import clip_width

        return clip_width(str(model.file or model.weights), allow_torchscript=allow_torchscript)

    def identity(self, model: ModelName, *, sha256: str | None, device: str) -> str:
        """Weights are fp16 on a GPU, and the pixels follow from them."""
        return space_of(sha256 or model.weights, "fp32" if device.split(":")[0] == "cpu" else "fp16")

    def load(
        self,
        model: ModelName,
        *,
        file: Path | None,
        sha256: str | None,
        device: str,
        image_precision: str,
        allow_torchscript: bool,
    ) -> Encoder:
        """As `load_clip` has it."""
        from mmctr.encoders.clip import load_clip

        return load_clip(
            str(file or model.weights),
            device=device,
            image_precision=image_precision,
            allow_torchscript=allow_torchscript,
            sha256=sha256,
        )


COMPONENT = Clip()

"""Models of the package open_clip, such as SigLIP and MobileCLIP: `open_clip:MODEL/TAG` or `open_clip:MODEL/PATH`."""

from pathlib import Path

from mmctr.encoders.base import Encoder, space_of
from mmctr.encoders.names import ModelName


class OpenClip:
    """The kind of `mmctr.encoders.open_clip`, which is imported where it is needed: the package may be absent."""

    def weights(self, model: ModelName, *, download: bool) -> Path | None:
        """The file of the weights, also of a tag: what is published under one may change."""
        from mmctr.encoders.open_clip_weights import architecture_config, tagged_weights

        architecture_config(model.architecture)
        return model.file or tagged_weights(model, download=download)

    def width(self, model: ModelName, *, allow_torchscript: bool) -> int | None:  # noqa: ARG002 never a program
        """E, as the package's own configuration of the model says it."""
        from mmctr.encoders.open_clip_weights import architecture_config

        return int(architecture_config(model.architecture)["embed_dim"])

    def identity(self, model: ModelName, *, sha256: str | None, device: str) -> str:  # noqa: ARG002 fp32 everywhere
        """A tag counts beside the weights, as it says how pixels are normalised and resized."""
        return space_of(model.reader, sha256 or "", "fp32")

    def load(
        self,
        model: ModelName,
        *,
        file: Path | None,
        sha256: str | None,
        device: str,
        image_precision: str,
        allow_torchscript: bool,  # noqa: ARG002 no program is ever run
    ) -> Encoder:
        """As `load_open_clip` has it."""
        from mmctr.encoders.open_clip import load_open_clip

        assert file is not None, "`weights` finds a file or raises"
        return load_open_clip(model, file=file, sha256=sha256, device=device, image_precision=image_precision)


COMPONENT = OpenClip()

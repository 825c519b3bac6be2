"""The sections of the stages that make the items' vectors: extract, embed, reduce."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mmctr.common.errors import InputError
from mmctr.embedding.options import EmbedOptions, Fit, Fuse
from mmctr.encoders.names import CLIP, parse_model
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from tasks.settings.base import Component, RunsOnly, Section


class ExtractConfig(Section):
    """Stage 1: images out of an archive, or the list of those in a folder."""

    password_env: Annotated[str | None, RunsOnly()] = Field(
        None, description="name of the environment variable that holds the password of a RAR"
    )
    max_member_mib: int = Field(
        MAX_MEMBER_BYTES >> 20,
        ge=1,
        le=4096,
        description="largest image that is unpacked or used in place, in MiB",
    )
    max_total_gib: int = Field(
        MAX_TOTAL_BYTES >> 30,
        ge=1,
        le=65536,
        description="most that is unpacked or used in place, in all, in GiB",
    )


def _encoder_of(model: str) -> str:
    """The kind of encoder that a model's name means, a module of `mmctr.encoders.kinds`."""
    return parse_model(model).kind


class EmbedConfig(Section):
    """Stage 2: vectors of the items, of their titles and images or given ones."""

    source: Annotated[Literal["clip", "columns", "none"], Component("mmctr.embedding.sources")] = Field(
        "clip",
        description="clip: vectors of titles and images by the model; columns: vectors that the item table has; none: "
        "small random vectors, so that ids are learned from clicks alone",
    )
    columns: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(
        (), max_length=64, description="columns of the item table with vectors, for source columns"
    )
    fuse: Fuse = Field(
        "mean",
        description="mean: of the vectors that an item has, which need one width; concat: the vectors side by side",
    )
    # The model itself counts, as an input of its own, not where it is
    model: Annotated[str, RunsOnly(), Component("mmctr.encoders.kinds", module=_encoder_of)] = Field(
        "ViT-B/32",
        description="an OpenAI CLIP model's name, the path of a checkpoint, or open_clip:MODEL/TAG or "
        "open_clip:MODEL/PATH of the extra open_clip",
    )
    allow_torchscript: Annotated[bool, RunsOnly()] = Field(  # whether it may run does not change what comes out
        EmbedOptions.allow_torchscript,
        description="load a TorchScript checkpoint, which is a program, also if it is none of OpenAI's",
    )
    # Batches may decide a vector's last digits, as the device may: docs/decisions/0009-batching-is-no-part-of-a-key.md
    image_batch: Annotated[int, RunsOnly()] = Field(
        EmbedOptions.batch_size, ge=1, le=8192, description="images a step of the encoder"
    )
    token_batch: Annotated[int, RunsOnly()] = Field(
        EmbedOptions.token_batch, ge=1, le=1_000_000, description="tokens of titles a step of the encoder, about"
    )
    shard_size: Annotated[int, RunsOnly()] = Field(
        EmbedOptions.shard_size, ge=1, le=1_000_000, description="titles or images after which work is saved"
    )
    max_pixels: int = Field(EmbedOptions.max_pixels, ge=1, description="largest image that is decoded, in pixels")
    image_precision: Annotated[Literal["float32", "int8"], Component("mmctr.encoders.clip_cpu.matmul")] = Field(
        EmbedOptions.image_precision,
        description="of the image tower's products on a CPU; int8 is faster, vectors at a cosine of about 0.9999",
    )
    jpeg_draft: bool = Field(
        EmbedOptions.jpeg_draft,
        description="decode large JPEGs at a part of their size: twice as fast, pixels a level or two off",
    )
    max_failure_share: float = Field(
        EmbedOptions.max_failure_share, ge=0, le=1, description="share of unreadable images above which the stage stops"
    )
    workers: Annotated[int | None, RunsOnly()] = Field(
        EmbedOptions.workers,
        ge=0,
        le=256,
        description="processes that decode images; by default one less than the cores it may use",
    )

    @field_validator("model")
    @classmethod
    def _check_model(cls, model: str) -> str:
        try:
            parse_model(model)
        except InputError as error:
            raise ValueError(str(error)) from None
        return model

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("embed.columns must name each column once")
        is_whole = {"source", "columns"} <= self.model_fields_set  # else BASE_PATH/mmctr.toml may set the other one
        if is_whole and self.source == "columns" and not self.columns:
            raise ValueError('embed.source = "columns" needs embed.columns, the names of the columns with vectors')
        if is_whole and self.source != "columns" and self.columns:
            raise ValueError('embed.columns is read where embed.source = "columns"; set that, or remove embed.columns')
        return self

    def chosen(self) -> dict[str, str]:
        """Only what the source, and of encoders the model, makes use of."""
        chosen = super().chosen()
        if self.source != "clip":
            return {"source": chosen["source"]} if self.source == "columns" else {}
        return chosen if parse_model(self.model).kind == CLIP else {name: chosen[name] for name in ("source", "model")}

    def keyed(self) -> dict[str, Any]:
        """Of a model what its weights do not say, and nothing of encoders where there is none."""
        keyed = super().keyed()
        if self.source != "clip":
            return {name: value for name, value in keyed.items() if name in ("revision", "source", "columns", "fuse")}
        reader = parse_model(self.model).reader
        return {**keyed, "reader": reader} if reader else keyed


class ReduceConfig(Section):
    """Stage 3: PCA."""

    n_components: int = Field(128, ge=1, le=1024, description="dimensions that are kept")
    fit: Fit = Field(
        "whole",
        description="whole: one PCA of the fused vectors; parts: with embed.fuse concat, one for each part and equally "
        "many dimensions, the first part those that are left over",
    )
    pca: Annotated[Literal["refit", "reuse"], RunsOnly()] = Field(  # a model that is reused counts as an input
        "refit",
        description="refit: fit PCA to the items of this run; reuse: the champion's PCA, so that items keep their "
        "vectors and only new ones get new vectors",
    )

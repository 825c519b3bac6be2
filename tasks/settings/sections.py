"""The configuration: one frozen tree, a section for each stage. Defaults that the library has are the library's.

A field marked with `RunsOnly` says how a stage does its work and not what comes out, so changing it reruns nothing.
Other fields count in a cache key where they differ from their default, beside the section's revision.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from mmctr.common.errors import InputError
from mmctr.embedding.options import EmbedOptions, Fit, Fuse
from mmctr.encoders.names import CLIP, parse_model
from mmctr.images.sizes import MAX_MEMBER_BYTES, MAX_TOTAL_BYTES
from tasks.settings.base import Component, RunsOnly, Section
from tasks.settings.data import DataConfig
from tasks.settings.model import ModelConfig
from tasks.settings.train import TrainConfig


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


class PredictConfig(Section):
    """Stage 6: predictions and the submission."""

    batch_size: int = Field(8192, ge=1, le=1_000_000, description="rows a step")
    min_known_targets: float = Field(
        0.5, ge=0, le=1, description="share of the target items that the model must know, below which the stage stops"
    )


class PromoteConfig(Section):
    """After training: which model is the champion."""

    registered_model: Annotated[str, RunsOnly()] = Field(
        "mmctr-din", pattern=r"^[\w.-]+$", max_length=200, description="name in MLflow's model registry"
    )
    margin: Annotated[float, RunsOnly()] = Field(
        0.0, ge=0, lt=1, description="validation AUC by which a model must be better than the champion to replace it"
    )
    policy: Annotated[Literal["better", "newer"], RunsOnly()] = Field(
        "better",
        description="better: a new model becomes champion if it is better by more than the margin; newer: unless it is "
        "worse by more than the tolerance and by more than chance",
    )
    tolerance: Annotated[float, RunsOnly()] = Field(
        0.005, ge=0, lt=1, description="with policy newer: validation AUC by which a new model may always be worse"
    )
    publish: Annotated[Literal["champion", "latest"], RunsOnly()] = Field(
        "champion", description="whose files a run puts into BASE_PATH: the champion's, or those of its own model"
    )


Rules = Literal["free", "task1", "task2", "task12"]
StageName = Literal["extract", "embed", "reduce", "build_weights", "train", "predict"]


class RunConfig(Section):
    """How stages are run and run again; nothing in it changes a result."""

    retries: Annotated[int, RunsOnly()] = Field(
        2, ge=0, le=20, description="times that a stage is tried again after an error of a disk, a network or a store"
    )
    retry_delay: Annotated[float, RunsOnly()] = Field(
        10.0, ge=0, le=3600, description="seconds before the first retry; each later one waits twice as long"
    )
    timeout: Annotated[dict[StageName, Annotated[float, Field(gt=0)]], RunsOnly()] = Field(
        default_factory=dict, description="seconds after which a stage is stopped, by its name; no entry, no limit"
    )


class PipelineConfig(Section):
    """Everything a run of the pipeline depends on."""

    base_path: Path = Field(description="data folder: the challenge's files, or others as its mmctr.toml says")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N; auto is CUDA when there is one")
    experiment: str = Field(
        "mmctr", pattern=r"^\w[\w .-]*$", max_length=200, description="name of the MLflow experiment, and of its folder"
    )
    preset: Annotated[str, RunsOnly()] = Field(
        "mission",
        max_length=4096,
        description="settings beneath these, by a name of `mmctr presets`, or a TOML file such as ./mine.toml; what is "
        "set here goes over them",
    )
    rules: Annotated[Rules, RunsOnly()] = Field(
        "free",
        description="of the challenge, for one of its tasks: what they forbid is refused before anything runs",
    )
    data: DataConfig = Field(default_factory=DataConfig)
    extract: ExtractConfig = Field(default_factory=ExtractConfig)
    embed: EmbedConfig = Field(default_factory=EmbedConfig)
    reduce: ReduceConfig = Field(default_factory=ReduceConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    predict: PredictConfig = Field(default_factory=PredictConfig)
    promote: PromoteConfig = Field(default_factory=PromoteConfig)
    run: RunConfig = Field(default_factory=RunConfig)

    @field_validator("base_path")
    @classmethod
    def _make_absolute(cls, path: Path) -> Path:
        if path == Path():
            raise ValueError("name the data folder (deployments read it from MMCTR_BASE_PATH when they are deployed)")
        try:
            return home_expanded(path).absolute()
        except InputError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _check_fit(self) -> Self:
        fuse_is_set = "fuse" in self.embed.model_fields_set  # else BASE_PATH/mmctr.toml may set it
        if self.reduce.fit == "parts" and fuse_is_set and self.embed.fuse != "concat":
            raise ValueError('reduce.fit = "parts" needs embed.fuse = "concat": a mean has no parts')
        if self.embed.source == "none" and self.reduce.pca == "reuse":
            raise ValueError('reduce.pca = "reuse" is for vectors; embed.source = "none" has none')
        return self

    @model_validator(mode="after")
    def _check_warm_start(self) -> Self:
        pca_is_set = "pca" in self.reduce.model_fields_set  # else BASE_PATH/mmctr.toml may set it
        if self.train.warm_start and pca_is_set and self.reduce.pca != "reuse":
            raise ValueError(
                'train.warm_start needs reduce.pca = "reuse": after another fit the item vectors have other axes than '
                "the weights they would meet"
            )
        return self


def home_expanded(path: Path) -> Path:
    """`path` with ~ and ~user replaced.

    Raises:
        InputError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(f"a path that begins with ~ must name a user of this machine; found {path}") from None

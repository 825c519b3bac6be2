"""The configuration: one frozen tree, a section for each stage. Defaults that the library has are the library's.

A field marked with `RunsOnly` says how a stage does its work and not what comes out, so changing it reruns nothing.
Other fields count in a cache key where they differ from their default, beside the section's revision.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from mmctr.common.errors import InputError
from tasks.settings.base import RunsOnly, Section
from tasks.settings.data import DataConfig
from tasks.settings.items import EmbedConfig, ExtractConfig, ReduceConfig
from tasks.settings.model import ModelConfig
from tasks.settings.train import TrainConfig


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

"""The configuration: one frozen tree, a section for each stage.

A field marked with `RunsOnly` says how a stage does its work and not what comes out, so changing it reruns nothing.
"""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mmctr.errors import InputError, first_line, shown_value
from mmctr.files import is_file


class RunsOnly:
    """Marks a field whose value never changes a result; it takes no part in cache keys."""


Width = Annotated[int, Field(ge=1, le=8192)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of all sections: frozen, and unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def keyed(self) -> dict[str, Any]:
        """The fields that a stage's result depends on, as JSON values."""
        fields = type(self).model_fields.items()
        skipped = {name for name, field in fields if any(isinstance(mark, RunsOnly) for mark in field.metadata)}
        return self.model_dump(mode="json", exclude=skipped)


class ExtractConfig(Section):
    """Stage 1: images out of the RAR archive."""

    password_env: Annotated[str | None, RunsOnly()] = Field(
        None, description="name of the environment variable that holds the archive's password"
    )
    max_member_mib: int = Field(64, ge=1, le=4096, description="largest image that is unpacked, in MiB")
    max_total_gib: int = Field(256, ge=1, le=65536, description="most that is unpacked in all, in GiB")


class EmbedConfig(Section):
    """Stage 2: CLIP embeddings of titles and images."""

    model: Annotated[str, RunsOnly()] = Field(  # the model itself counts, as an input of its own, not where it lies
        "ViT-B/32", description="an OpenAI CLIP model's name, or the path of a checkpoint"
    )
    # Batches may decide a vector's last digits, as the device may: docs/decisions/0009-batching-is-no-part-of-a-key.md
    image_batch: Annotated[int, RunsOnly()] = Field(256, ge=1, le=8192, description="images a step of the encoder")
    token_batch: Annotated[int, RunsOnly()] = Field(
        4096, ge=1, le=1_000_000, description="tokens of titles a step of the encoder, about"
    )
    shard_size: Annotated[int, RunsOnly()] = Field(
        1024, ge=1, le=1_000_000, description="titles or images after which work is saved"
    )
    max_pixels: int = Field(100_000_000, ge=1, description="largest image that is decoded, in pixels")
    image_precision: Literal["float32", "int8"] = Field(
        "float32",
        description="of the image tower's products on a CPU; int8 is faster, vectors at a cosine of about 0.9999",
    )
    jpeg_draft: bool = Field(
        False, description="decode large JPEGs at a part of their size: twice as fast, pixels a level or two off"
    )
    max_failure_share: float = Field(
        0.2, ge=0, le=1, description="share of unreadable images above which the stage stops"
    )
    workers: Annotated[int | None, RunsOnly()] = Field(
        None, ge=0, le=256, description="processes that decode images; by default one less than the cores"
    )


class ReduceConfig(Section):
    """Stage 3: PCA."""

    n_components: int = Field(128, ge=1, le=1024, description="dimensions that are kept")


class BuildWeightsConfig(Section):
    """Stage 4: the embedding table. It has no settings of its own."""


class TrainConfig(Section):
    """Stage 5: the deep interest network."""

    max_len: int = Field(64, ge=1, le=100_000, description="most recent history items that are kept")
    attention_hidden: tuple[Width, ...] = Field((80, 40), min_length=1, description="widths of the attention MLP")
    tower_hidden: tuple[Width, ...] = Field((256, 128), min_length=1, description="widths of the tower")
    dropout: Probability = Field(0.0, description="probability after each hidden layer")
    freeze: bool = Field(False, description="keep the item embeddings as CLIP and PCA give them")
    epochs: int = Field(20, ge=1, le=10_000, description="most epochs")
    batch_size: int = Field(4096, ge=2, le=1_000_000, description="rows a step")
    learning_rate: float = Field(1e-3, gt=0, le=1, description="AdamW's learning rate at the start")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="AdamW's weight decay")
    label_smoothing: float = Field(0.01, ge=0, lt=0.5, description="labels become this and 1 minus this")
    clip_norm: float = Field(5.0, gt=0, description="bound on the gradient's L2 norm")
    patience: int = Field(3, ge=1, le=10_000, description="epochs without a better validation AUC before stopping")
    plateau_factor: float = Field(0.5, gt=0, lt=1, description="the learning rate is multiplied by this on a plateau")
    plateau_patience: int = Field(1, ge=0, le=10_000, description="epochs without a better AUC that are no plateau yet")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of initial weights, order and dropout")


class PredictConfig(Section):
    """Stage 6: predictions and the submission."""

    batch_size: int = Field(8192, ge=1, le=1_000_000, description="rows a step")


class PipelineConfig(Section):
    """Everything a run of the pipeline depends on."""

    base_path: Path = Field(description="folder with item_feature.parquet, item_images_2.rar and MicroLens_1M_x1/")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N; auto takes CUDA when there is one")
    experiment: str = Field(
        "mmctr", pattern=r"^\w[\w .-]*$", max_length=200, description="name of the MLflow experiment, and of its folder"
    )
    extract: ExtractConfig = Field(default_factory=ExtractConfig)
    embed: EmbedConfig = Field(default_factory=EmbedConfig)
    reduce: ReduceConfig = Field(default_factory=ReduceConfig)
    build_weights: BuildWeightsConfig = Field(default_factory=BuildWeightsConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    predict: PredictConfig = Field(default_factory=PredictConfig)

    @field_validator("base_path")
    @classmethod
    def _make_absolute(cls, path: Path) -> Path:
        try:
            return home_expanded(path).absolute()
        except InputError as error:
            raise ValueError(str(error)) from None


CONFIG_NAME = "mmctr.toml"
SHOWN_PROBLEMS, SHOWN_NAME = 20, 60


def load_config(
    base_path: Path, *, config_file: Path | None = None, overrides: list[str] | None = None, device: str | None = None
) -> PipelineConfig:
    """The configuration of a run: defaults, then a TOML file, then overrides.

    Args:
        base_path: the data folder.
        config_file: a TOML file with the sections above; by default `base_path/mmctr.toml` where there is one.
        overrides: settings such as `train.epochs=3`, values as in TOML, or bare text.
        device: takes the place of `device` in the file.

    Raises:
        InputError: the file cannot be read, or a setting is unknown or out of range; all of them in one message.
    """
    for text in (str(base_path), *(overrides or [])):
        _check_text(text)
    base_path = home_expanded(base_path).absolute()
    if config_file is None and is_file(base_path / CONFIG_NAME):
        config_file = base_path / CONFIG_NAME
    values: dict[str, Any] = {} if config_file is None else _read_toml(config_file)
    if config_file is not None:
        _resolve_model(values, folder=config_file.absolute().parent)
    for override in overrides or []:
        _apply_override(values, override)
    if "base_path" in values:
        raise InputError("BASE_PATH is what a run is started with, not a setting; remove base_path from the settings")
    if device is not None:
        values["device"] = device
    try:
        return PipelineConfig.model_validate({**values, "base_path": base_path})
    except ValidationError as error:
        raise InputError(f"the configuration cannot be used:\n{_describe(error)}") from None


def _check_text(text: str) -> None:
    """Refuse arguments that are no UTF-8: they cannot be written down in a run's records."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError(f"paths and settings must be valid UTF-8; found {shown_value(text)}")


def archive_password(config: ExtractConfig) -> str | None:
    """The archive's password, out of the environment variable that the configuration names.

    Raises:
        InputError: the variable is not set.
    """
    if config.password_env is None:
        return None
    password = os.environ.get(config.password_env)
    if password is None:
        raise InputError(
            f"extract.password_env names the environment variable {shown_value(config.password_env)}, which is not "
            "set; set it to the archive's password"
        )
    return password


def home_expanded(path: Path) -> Path:
    """`path` with ~ and ~user replaced.

    Raises:
        InputError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(f"a path that begins with ~ must name a user of this machine; found {path}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no configuration file at {path}; give the path of a TOML file with --config") from None
    except (ValueError, OSError, RecursionError) as error:  # whole numbers of thousands of digits are a ValueError
        raise InputError(f"{path} is not a readable TOML file: {first_line(error)}") from None


def _resolve_model(values: dict[str, Any], *, folder: Path) -> None:
    """A checkpoint's path in a file is meant from that file's folder."""
    embed = values.get("embed")
    if isinstance(embed, dict) and isinstance(embed.get("model"), str) and is_file(folder / embed["model"]):
        embed["model"] = str(folder / embed["model"])


def _apply_override(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts) or len(parts) > 2:
        raise InputError(
            f"a setting is written section.field=value, such as train.epochs=3; found {shown_value(override)}"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    section = values
    for part in parts[:-1]:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise InputError(f"{part} is not a section of the configuration; found {shown_value(override)}")
    section[parts[-1]] = value


def _describe(error: ValidationError) -> str:
    lines = []
    problems = error.errors()
    for problem in problems[:SHOWN_PROBLEMS]:
        name = ".".join(str(part) for part in problem["loc"])[:SHOWN_NAME]
        known = "" if problem["type"] != "extra_forbidden" else f"; known are {', '.join(_fields(problem['loc'][:-1]))}"
        lines.append(f"  {name} = {shown_value(problem['input'])}: {problem['msg']}{known}")
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return "\n".join(lines)


def _fields(location: tuple[int | str, ...]) -> list[str]:
    section: Any = PipelineConfig
    for part in location:
        section = section.model_fields[str(part)].annotation
    return list(section.model_fields)

"""The section `train`: the recipe. Defaults are those of `mmctr.training.recipe.Recipe`."""

from typing import Annotated

from pydantic import Field

from mmctr.inputs.features import MAX_LEN
from mmctr.training.recipe import Recipe, Schedule
from tasks.settings.base import RunsOnly, Section


class TrainConfig(Section):
    """Stage 5: how the click model is trained."""

    revision = 2  # what the model is built of went to the section `model`

    max_len: int = Field(MAX_LEN, ge=1, le=100_000, description="most recent history items that are kept")
    epochs: int = Field(Recipe.epochs, ge=1, le=10_000, description="most epochs")
    batch_size: int = Field(Recipe.batch_size, ge=2, le=1_000_000, description="rows a step")
    learning_rate: float = Field(Recipe.learning_rate, gt=0, le=1, description="AdamW's learning rate at the start")
    weight_decay: float = Field(
        Recipe.weight_decay, ge=0, le=1, description="AdamW's decoupled weight decay; 0 is plain Adam"
    )
    net_l2: float = Field(
        Recipe.net_l2, ge=0, le=1, description="half of it times the sum of squares of dense weights joins the loss"
    )
    embedding_l2: float = Field(
        Recipe.embedding_l2, ge=0, le=1, description="the same of embedding tables, as FuxiCTR has both"
    )
    label_smoothing: float = Field(
        Recipe.label_smoothing, ge=0, lt=0.5, description="labels become this and 1 minus this"
    )
    pairwise_weight: float = Field(
        Recipe.pairwise_weight,
        ge=0,
        le=1000,
        description="of the pairwise loss within a user's rows, beside cross-entropy; needs the column data.user",
    )
    clip_norm: float = Field(Recipe.clip_norm, gt=0, description="bound on the gradient's L2 norm")
    ema_decay: float = Field(
        Recipe.ema_decay,
        ge=0,
        lt=1,
        description="of the moving average of weights over steps, which is evaluated and kept; 0 for none",
    )
    reset_embeddings: bool = Field(
        Recipe.reset_embeddings, description="draw embeddings of ids and features anew as each later epoch begins"
    )
    patience: int = Field(
        Recipe.patience, ge=1, le=10_000, description="validations without a better AUC before stopping"
    )
    schedule: Schedule = Field(
        Recipe.schedule,
        description="of the learning rate; plateau: falls where validation gets no better; cosine: falls to 0 over all "
        "epochs; constant: stays",
    )
    plateau_factor: float = Field(
        Recipe.plateau_factor, gt=0, lt=1, description="the learning rate is multiplied by this on a plateau"
    )
    plateau_patience: int = Field(
        Recipe.plateau_patience, ge=0, le=10_000, description="validations without a better AUC that are no plateau yet"
    )
    warmup_steps: int = Field(
        Recipe.warmup_steps, ge=0, le=1_000_000_000, description="steps over which the learning rate rises from 0"
    )
    validate_steps: int = Field(
        Recipe.validate_steps,
        ge=0,
        le=1_000_000_000,
        description="steps of an epoch after each of which to validate, too; 0 validates at the end of epochs alone",
    )
    seed: int = Field(Recipe.seed, ge=0, le=2**31 - 1, description="of initial weights, order and dropout")
    warm_start: Annotated[bool, RunsOnly()] = Field(  # the checkpoint counts as an input
        False, description="start from the champion's weights, mapped by item id; needs reduce.pca = reuse"
    )

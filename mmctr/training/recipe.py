"""How a click model is trained."""

from dataclasses import dataclass
from typing import Literal

Schedule = Literal["plateau", "cosine", "constant"]


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the challenge's baseline, in which every other part is off.

    L2 comes in two kinds. `net_l2` and `embedding_l2` are terms of the loss: their gradient is clipped with the rest
    and divided by Adam's running spread. `weight_decay` is AdamW's: apart from the gradient, each step makes every
    trained weight smaller by that times the learning rate; 0 is plain Adam.

    Attributes:
        epochs: upper bound.
        batch_size: rows a step.
        learning_rate, weight_decay: of AdamW (Loshchilov and Hutter, ICLR 2019).
        net_l2, embedding_l2: half of this times the sum of squares joins the loss, of the dense weights and of the
            embedding tables (`L2`).
        label_smoothing: e; the loss sees `label * (1 - 2 e) + e`.
        pairwise_weight: of the pairwise loss within a user's rows, which joins the loss (`pairwise_loss`).
        clip_norm: bound on the gradient's L2 norm.
        ema_decay: of the moving average of weights, which is evaluated and kept; with 0 the weights themselves are.
        reset_embeddings: draw trained embeddings of ids and features anew as each later epoch begins (MEDA, Liu et al.,
            arXiv 2407.01607).
        patience: validations without a better AUC after which training stops.
        schedule: plateau multiplies the rate by `plateau_factor` after more than `plateau_patience` such validations;
            cosine lets it fall to 0 over all epochs that are allowed; constant leaves it.
        warmup_steps: over which the rate first rises from 0, in a straight line.
        validate_steps: validate after each so many steps of an epoch, too; 0 validates at the end of each epoch alone.
        seed: of the order of rows, of dropout, and of embeddings that are drawn anew.
    """

    epochs: int = 20
    batch_size: int = 4096
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    net_l2: float = 0.0
    embedding_l2: float = 0.0
    label_smoothing: float = 0.01
    pairwise_weight: float = 0.0
    clip_norm: float = 5.0
    ema_decay: float = 0.0
    reset_embeddings: bool = False
    patience: int = 3
    schedule: Schedule = "plateau"
    plateau_factor: float = 0.5
    plateau_patience: int = 1
    warmup_steps: int = 0
    validate_steps: int = 0
    seed: int = 0

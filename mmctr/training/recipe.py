"""How a deep interest network is trained."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the challenge's baseline.

    Attributes:
        epochs: upper bound.
        batch_size: rows a step.
        learning_rate, weight_decay: of AdamW (Loshchilov and Hutter, ICLR 2019).
        label_smoothing: e; the loss sees `label * (1 - 2 e) + e`.
        clip_norm: bound on the gradient's L2 norm.
        patience: epochs without a better validation AUC after which training stops.
        plateau_factor, plateau_patience: the rate is multiplied by the factor after more than this many such epochs.
        seed: of the order of rows and of dropout.
    """

    epochs: int = 20
    batch_size: int = 4096
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.01
    clip_norm: float = 5.0
    patience: int = 3
    plateau_factor: float = 0.5
    plateau_patience: int = 1
    seed: int = 0

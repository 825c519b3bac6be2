"""Plots for the MLflow run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmctr.reduction import load_pca
from mmctr.training_state import Epoch


def auc_figure(history: Sequence[Epoch]) -> Figure:
    """Validation AUC and training loss over the epochs."""
    figure, (left, right) = _pair()
    epochs = [epoch.epoch for epoch in history]
    left.plot(epochs, [epoch.valid_auc for epoch in history], marker="o")
    left.set(title="validation AUC", xlabel="epoch", ylabel="AUC")
    right.plot(epochs, [epoch.train_loss for epoch in history], marker="o", label="train (smoothed labels)")
    right.plot(epochs, [epoch.valid_logloss for epoch in history], marker="o", label="valid")
    right.set(title="cross-entropy", xlabel="epoch", ylabel="nats a row")
    right.legend()
    return figure


def explained_variance_figure(pca_file: Path) -> Figure:
    """Share of the variance of each component, and of all up to it."""
    ratio = load_pca(pca_file).explained_variance_ratio_
    figure, (left, right) = _pair()
    components = np.arange(1, len(ratio) + 1)
    left.bar(components, ratio, width=1.0)
    left.set(title="explained variance", xlabel="component", ylabel="share", yscale="log")
    right.plot(components, ratio.cumsum())
    right.set(title=f"cumulative: {ratio.sum():.1%} kept", xlabel="components", ylabel="share", ylim=(0, 1))
    return figure


def _pair() -> tuple[Figure, tuple[Axes, Axes]]:
    """Two axes side by side, without a window or pyplot's global state."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure, (left, right)

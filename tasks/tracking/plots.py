"""Plots for the MLflow run, as PNG: the same on every machine, whatever its user has set for figures of their own."""

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # importing Matplotlib reads the user's settings
    from matplotlib.axes import Axes

    from mmctr.training.state import Epoch


def auc_plot(history: Sequence["Epoch"]) -> bytes:
    """Validation AUC, gAUC where there is one, and training loss, over the epochs or the steps."""
    places = [epoch.number for epoch in history]
    axis = "step" if history and history[0].step is not None else "epoch"

    def draw(left: "Axes", right: "Axes") -> None:
        left.plot(places, [epoch.valid_auc for epoch in history], marker="o", label="AUC")
        left.set(title="validation AUC", xlabel=axis, ylabel="AUC")
        gaucs = [epoch.valid_gauc for epoch in history if epoch.valid_gauc is not None]
        if gaucs and len(gaucs) == len(places):
            left.plot(places, gaucs, marker="o", label="gAUC")
            left.legend()
        right.plot(places, [epoch.train_loss for epoch in history], marker="o", label="train (smoothed labels)")
        right.plot(places, [epoch.valid_logloss for epoch in history], marker="o", label="valid")
        right.set(title="cross-entropy", xlabel=axis, ylabel="nats a row")
        right.legend()

    return _drawn(draw)


def explained_variance_plot(pca_file: Path) -> bytes:
    """Share of the variance of each component, and of all up to it."""
    from mmctr.embedding.pca import load_pca

    ratio = load_pca(pca_file).explained_variance_ratio_
    components = np.arange(1, len(ratio) + 1)

    def draw(left: "Axes", right: "Axes") -> None:
        left.bar(components, ratio, width=1.0)
        left.set(title="explained variance", xlabel="component", ylabel="share", yscale="log")
        right.plot(components, ratio.cumsum())
        right.set(title=f"cumulative: {ratio.sum():.1%} kept", xlabel="components", ylabel="share", ylim=(0, 1))

    return _drawn(draw)


def _drawn(draw: Callable[["Axes", "Axes"], None]) -> bytes:
    """PNG of two axes side by side, drawn without a window, pyplot's global state or a backend of the user's."""
    with _own_settings():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        for axes in (left, right):
            axes.grid(alpha=0.3)
        draw(left, right)
        content = io.BytesIO()
        FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()


@contextmanager
def _own_settings() -> Iterator[None]:
    """Matplotlib with its defaults.

    Importing it fails where MPLBACKEND names a backend that is not installed here, as a notebook's does, and it warns
    of settings files and folders that it cannot use; neither concerns a PNG.
    """
    logger, user_backend = logging.getLogger("matplotlib"), os.environ.get("MPLBACKEND")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    os.environ["MPLBACKEND"] = "agg"
    try:
        import matplotlib
    finally:
        if user_backend is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = user_backend
        logger.setLevel(level)
    logger.setLevel(logging.CRITICAL)
    defaults: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with matplotlib.rc_context(defaults):
                yield
    finally:
        logger.setLevel(level)

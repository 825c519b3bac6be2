"""One training of a preset, as `mmctr run` would do it, and what its scores say.

Legend: R rows of a split.
"""

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from quality_data import Opened

from mmctr.evaluation.metrics import auc, figures_of
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.architecture import Architecture
from mmctr.models.checkpoint import restore_model
from mmctr.training.loop import train_model
from mmctr.training.recipe import Recipe

BATCH_ROWS = 8192  # of a prediction


@dataclass(frozen=True)
class Outcome:
    """(R,) logits of valid and of test, and what the training took."""

    valid: npt.NDArray[np.floating]
    test: npt.NDArray[np.floating]
    took: dict[str, float]


def trained(data: Opened, *, seed: int) -> Outcome:
    """Train on the settings of `data` and score both splits by the best validation."""
    settings = data.config.train
    recipe = Recipe(
        **{name: getattr(settings, name) for name in Recipe.__dataclass_fields__ if name != "seed"}, seed=seed
    )
    architecture = Architecture(
        num_items=len(data.items.ids),
        dim=data.items.weights.shape[1],
        row_features=data.row_encoding.sized,
        item_features=data.item_encoding.sized,
        **data.config.model.parts,
    )
    started, started_cpu = time.perf_counter(), time.process_time()
    best, history = train_model(
        data.items,
        data.train,
        data.valid,
        architecture=architecture,
        recipe=recipe,
        device="cpu",
        max_len=settings.max_len,
        columns=data.columns,
        row_encoding=data.row_encoding,
        item_encoding=data.item_encoding,
        progress=False,
    )
    took = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - started_cpu}
    epochs = len({one.epoch for one in history})
    took["rows_per_second"] = epochs * len(data.train) / took["cpu_seconds"]
    took["best_epoch"] = float(best.metrics["epoch"])
    model = restore_model(best)
    took["parameters"] = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    valid, test = (predict_logits(model, split, batch_size=BATCH_ROWS) for split in (data.valid, data.test))
    return Outcome(valid, test, took)


def figures(
    labels: npt.NDArray[np.generic],
    logits: npt.NDArray[np.floating],
    *,
    user: npt.NDArray[np.int64],
    cold: npt.NDArray[np.bool_] | None = None,
) -> dict[str, float | None]:
    """AUC, gAUC, logloss, normalised entropy, and the AUC of rows with a cold target where they are known."""
    found = figures_of(labels, logits, user=user)
    result = {"auc": found.auc, "gauc": found.gauc, "logloss": found.logloss, "entropy": found.normalised_entropy}
    if cold is not None:
        both = len(np.unique(labels[cold])) == 2
        result |= {"cold_auc": auc(labels[cold], logits[cold]) if both else None, "cold_rows": int(cold.sum())}
    return result

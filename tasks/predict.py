"""Stage 6: predictions for the test split and the submission."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from mmctr.common.errors import InputError
from mmctr.common.text import first_line, shown, shown_value
from mmctr.inputs.layout import ClickColumns, Submission
from tasks.cache.results import Predicted
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import STORED, FileRef, PartsRef
from tasks.settings.model import ModelParts
from tasks.settings.sections import PredictConfig

if TYPE_CHECKING:  # they are loaded when there is something to predict
    import numpy as np
    import numpy.typing as npt


@stage
def predict(
    context: RunContext,
    *,
    config: PredictConfig,
    columns: ClickColumns,
    test: PartsRef,
    checkpoint: FileRef,
    parts: ModelParts,  # noqa: ARG001 the code of the model's parts counts in the key
    row_id: str,
    submission: Submission,
    task1: FileRef | None,
    task2: FileRef | None,
) -> Predicted:
    """Write `prediction.csv` and `prediction.zip`.

    `columns` are those of the click log, of which the features of the checkpoint are read. `row_id` is the column that
    names a row in the prediction, empty where rows are numbered, and `submission` says how it is written. `task1` and
    `task2` are the checkpoints that fill the challenge's columns of these names, which are 0 without one; `parts` are
    those of all models.
    """
    return make_submission(
        context,
        own_folder(context.workspace),
        config=config,
        columns=columns,
        test=test,
        checkpoint=checkpoint,
        row_id=row_id,
        submission=submission,
        others={column: ref for column, ref in (("Task1", task1), ("Task2", task2)) if ref is not None},
    )


def make_submission(
    context: RunContext,
    folder: Path,
    *,
    config: PredictConfig,
    columns: ClickColumns,
    test: PartsRef,
    checkpoint: FileRef,
    row_id: str,
    submission: Submission,
    others: Mapping[str, FileRef] = MappingProxyType({}),
) -> Predicted:
    """Write `prediction.csv` and `prediction.zip` to `folder`; where test has labels, return its figures too.

    `others` are checkpoints that fill further columns of the submission; the figures are those of `checkpoint`.
    """
    from mmctr.evaluation.prediction import probabilities_of
    from mmctr.inputs.columns import read_ids
    from mmctr.submission.forms import FORMS
    from mmctr.submission.packed import zip_prediction

    workspace, form = context.workspace, FORMS[submission]
    filled: dict[str, npt.NDArray[np.float32]] = {}
    with workspace.reading_table(test) as clicks:
        logits = _logits(context, checkpoint, clicks=clicks, columns=columns, config=config)
        for column, other in others.items():
            try:
                found = _logits(context, other, clicks=clicks, columns=columns, config=config)
            except InputError as error:
                raise InputError(f"{column}: {error}") from error
            filled[column] = probabilities_of(found)
        ids = read_ids(clicks, row_id=row_id)
        auc, logloss = _figures(clicks, logits, label=columns.label)
    extra = {"others": filled} if filled else {}
    form.write(ids, probabilities_of(logits), folder / STORED["csv"], **extra)
    zip_prediction(folder / STORED["csv"], folder / STORED["archive"])
    rows = form.check(folder / STORED["archive"], test_ids=ids)
    return Predicted(
        csv=workspace.file_ref(folder / STORED["csv"]),
        archive=workspace.file_ref(folder / STORED["archive"]),
        rows=rows,
        auc=auc,
        logloss=logloss,
    )


def _logits(
    context: RunContext, checkpoint: FileRef, *, clicks: Sequence[Path], columns: ClickColumns, config: PredictConfig
) -> "npt.NDArray[np.float32]":
    """(R,) logits of the model in a checkpoint.

    Raises:
        InputError: it cannot be read, or knows too few of the targets.
    """
    from mmctr.compute.device import resolve_device
    from mmctr.evaluation.scoring import answer
    from mmctr.inputs.targets import check_targets_known
    from mmctr.models.checkpoint import load_checkpoint

    with context.workspace.reading(checkpoint) as path:
        trained = load_checkpoint(path)
    found = answer(
        trained, clicks, device=resolve_device(context.device), columns=columns, batch_size=config.batch_size
    )
    check_targets_known(found.known, min_known_targets=config.min_known_targets)
    return found.logits


def _figures(
    clicks: Sequence[Path], logits: "npt.NDArray[np.float32]", *, label: str
) -> tuple[float | None, float | None]:
    """AUC and logloss where the rows have labels, 0 and 1 and both of them; a model that predicts needs none."""
    import numpy as np

    from mmctr.evaluation.metrics import auc, logloss
    from mmctr.inputs.columns import labels_of
    from mmctr.inputs.tables import column_names, read_chunks

    if label not in column_names(clicks):
        return None, None
    try:
        labels = np.concatenate([labels_of(chunk.column(label)) for chunk in read_chunks(clicks, columns=[label])])
        classes = np.unique(labels).tolist()
    except InputError as error:
        classes = [first_line(error)]
    if classes != [0, 1]:
        logger().warning(
            "no figures of test: column %s must have 0 and 1, found %s", shown(label), shown_value(classes)
        )
        return None, None
    return auc(labels, logits), logloss(labels, logits)

"""Stage 6: predictions for the test split and the submission."""

from pathlib import Path

from tasks.cache.results import Predicted
from tasks.cache.stage import RunContext, own_folder, stage
from tasks.cache.workspace import FileRef
from tasks.settings.sections import PredictConfig


@stage
def predict(context: RunContext, *, config: PredictConfig, test: FileRef, checkpoint: FileRef) -> Predicted:
    """Write `prediction.csv` and `prediction.zip`."""
    return make_submission(context, own_folder(context.workspace), config=config, test=test, checkpoint=checkpoint)


def make_submission(
    context: RunContext, folder: Path, *, config: PredictConfig, test: FileRef, checkpoint: FileRef
) -> Predicted:
    """Write `prediction.csv` and `prediction.zip` to `folder`."""
    from mmctr.clicks.item_table import PADDING_IDX
    from mmctr.clicks.placement import placed
    from mmctr.clicks.split import load_split
    from mmctr.compute.device import resolve_device
    from mmctr.evaluation.prediction import predict_probabilities
    from mmctr.inputs.columns import read_ids
    from mmctr.inputs.layout import CSV_FILE, ZIP_FILE
    from mmctr.inputs.targets import check_targets_known
    from mmctr.models.checkpoint import load_checkpoint, restore_model
    from mmctr.submission.challenge import check_submission, write_prediction
    from mmctr.submission.packed import zip_prediction

    workspace = context.workspace
    with workspace.reading(checkpoint) as checkpoint_file:
        trained = load_checkpoint(checkpoint_file)
    device = resolve_device(context.device)
    model = restore_model(trained).to(device)
    with workspace.reading(test) as clicks:
        split = load_split(clicks, table=trained.table, max_len=trained.max_len, with_label=False)
        ids = read_ids(clicks, row_id="ID")
    check_targets_known(split.target.numpy() != PADDING_IDX, min_known_targets=config.min_known_targets)
    probabilities = predict_probabilities(model, placed(split, model.device), batch_size=config.batch_size)
    write_prediction(ids, probabilities, folder / CSV_FILE)
    zip_prediction(folder / CSV_FILE, folder / ZIP_FILE)
    rows = check_submission(folder / ZIP_FILE, test_ids=ids)
    return Predicted(
        csv=workspace.file_ref(folder / CSV_FILE),
        archive=workspace.file_ref(folder / ZIP_FILE),
        rows=rows,
    )

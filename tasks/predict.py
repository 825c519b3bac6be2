"""Stage 6: predictions for the test split and the submission."""

from pathlib import Path

from tasks.config import PredictConfig
from tasks.references import FileRef
from tasks.results import Predicted
from tasks.stage import Place, current_key, stage


@stage
def predict(place: Place, *, config: PredictConfig, test: FileRef, checkpoint: FileRef) -> Predicted:
    """Write `prediction.csv` and `prediction.zip`."""
    folder = place.workspace.store("predict", current_key())
    return make_submission(place, folder, config=config, test=test, checkpoint=checkpoint)


def make_submission(
    place: Place, folder: Path, *, config: PredictConfig, test: FileRef, checkpoint: FileRef
) -> Predicted:
    """Write `prediction.csv` and `prediction.zip` to `folder`."""
    from mmctr.checkpoint import load_checkpoint, restore_model
    from mmctr.click_split import load_split
    from mmctr.device import resolve_device
    from mmctr.list_columns import read_ids
    from mmctr.placement import placed
    from mmctr.prediction import check_targets_known, predict_probabilities
    from mmctr.submission import check_submission, write_prediction, zip_prediction

    workspace = place.workspace
    with workspace.reading(checkpoint) as checkpoint_file:
        trained = load_checkpoint(checkpoint_file)
    device = resolve_device(place.device)
    model = restore_model(trained).to(device)
    with workspace.reading(test) as clicks:
        split = load_split(clicks, table=trained.table, max_len=trained.max_len, with_label=False)
        ids = read_ids(clicks)
    check_targets_known(split, min_share=config.min_known_targets)
    probabilities = predict_probabilities(model, placed(split, model.device), batch_size=config.batch_size)
    write_prediction(ids, probabilities, folder / "prediction.csv")
    zip_prediction(folder / "prediction.csv", folder / "prediction.zip")
    rows = check_submission(folder / "prediction.zip", test_ids=ids)
    return Predicted(
        csv=workspace.file_ref(folder / "prediction.csv"),
        archive=workspace.file_ref(folder / "prediction.zip"),
        rows=rows,
    )

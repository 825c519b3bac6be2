"""A prediction for any layout: the data's own names, the model's features, figures where the rows have labels."""

import polars as pl
import pytest
from featured import CLICKS, open_shop, write_shop
from prefect.logging import disable_run_logger

from mmctr.common.errors import InputError
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.prediction import predict_logits, probabilities_of
from mmctr.models.checkpoint import load_checkpoint, restore_model, save_checkpoint
from mmctr.training.recipe import Recipe
from tasks.cache.stage import RunContext
from tasks.cache.workspace import Workspace
from tasks.predict import make_submission
from tasks.settings.sections import PredictConfig


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    shop = open_shop(folder)
    save_checkpoint(shop.trained(Recipe(epochs=2, batch_size=50, learning_rate=0.01)), folder / "c.pt")
    return shop


@pytest.fixture
def predicted(shop, tmp_path):
    """Predicts a frame of clicks in two files; returns the result and the rows of the CSV."""

    def predict(frame, *, columns=CLICKS, row_id="", submission="plain"):
        workspace = Workspace(tmp_path)
        parts = [tmp_path / "part-0.parquet", tmp_path / "part-1.parquet"]
        for part, rows in zip(parts, (frame[:150], frame[150:]), strict=True):
            rows.write_parquet(part)
        with disable_run_logger():
            found = make_submission(
                RunContext(workspace=workspace, device="cpu"),
                tmp_path,
                config=PredictConfig(),
                columns=columns,
                test=workspace.parts_ref(parts),
                checkpoint=workspace.file_ref(shop.folder / "c.pt"),
                row_id=row_id,
                submission=submission,
            )
        return found, pl.read_csv(workspace.path(found.csv))

    return predict


@pytest.fixture
def clicks(shop):
    return pl.read_parquet(shop.folder / "valid.parquet")


@pytest.fixture(scope="module")
def logits(shop):
    """Those of the model for the clicks as the training read them."""
    return predict_logits(restore_model(load_checkpoint(shop.folder / "c.pt")), shop.valid, batch_size=100)


def test_rows_with_labels_have_figures_and_are_numbered_where_they_have_no_id(shop, logits, predicted, clicks):
    found, rows = predicted(clicks)
    assert rows.columns == ["row", "probability"]
    assert rows["row"].to_list() == list(range(len(clicks)))
    assert rows["probability"].to_list() == pytest.approx(probabilities_of(logits).tolist(), abs=1e-6)
    assert found.rows == len(clicks)
    labels = shop.valid.label.numpy()
    assert found.auc == pytest.approx(auc(labels, logits), abs=1e-6)
    assert found.logloss == pytest.approx(logloss(labels, logits), abs=1e-6)


def test_columns_may_have_other_names_than_those_that_the_model_was_trained_with(shop, logits, predicted, clicks):
    names = {"seen": "earlier", "shown": "offered", "bought": "sold"}
    columns = type(CLICKS)(history="earlier", target="offered", label="sold", padding="none", features=())
    ids = pl.Series("id", [f"row {number}" for number in range(len(clicks))])
    found, rows = predicted(
        clicks.rename(names).with_columns(ids), columns=columns, row_id="id", submission="challenge"
    )
    assert rows["ID"].to_list() == ids.to_list()
    assert rows["Task1&2"].to_list() == pytest.approx(probabilities_of(logits).tolist(), abs=1e-6)
    assert found.auc == pytest.approx(auc(shop.valid.label.numpy(), logits), abs=1e-6)


@pytest.mark.parametrize("labels", ["none", "of one class", "others", "words"])
def test_rows_without_good_labels_are_predicted_without_figures(predicted, clicks, labels):
    made = {"of one class": pl.lit(1), "others": pl.col("bought") + 1, "words": pl.lit("?")}
    frame = clicks.drop("bought") if labels == "none" else clicks.with_columns(bought=made[labels])
    found, rows = predicted(frame)
    assert (found.auc, found.logloss) == (None, None)
    assert len(rows) == len(clicks)


def test_a_feature_that_the_rows_do_not_have_is_named(predicted, clicks):
    with pytest.raises(InputError, match="column device is missing; it has seen, shown, hour"):
        predicted(clicks.drop("device"))

"""A model's answers for a click log, whichever part of it and whatever its columns are called."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from featured import CLICKS, open_shop, write_shop

from mmctr.evaluation.metrics import auc
from mmctr.evaluation.scoring import answer, score_checkpoint
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import HeldOut
from mmctr.inputs.vocabulary import texts
from mmctr.training.recipe import Recipe


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return open_shop(folder)


def test_the_part_of_users_who_are_held_out_is_scored_alone(shop, tmp_path):
    checkpoint = shop.trained(Recipe(epochs=1, batch_size=100))
    frame = pl.read_parquet(shop.folder / "valid.parquet")
    frame = frame.with_columns(user=pl.Series([f"user {row % 40}" for row in range(len(frame))]))
    frame.rename({"shown": "offered"}).write_parquet(tmp_path / "clicks.parquet")
    held = HeldOut(user="user", share=0.5, seed=1, part="valid")
    kept = kept_rows(texts(frame["user"].to_list()), held)
    columns = replace(CLICKS, target="offered", features=())
    whole = answer(checkpoint, tmp_path / "clicks.parquet", device="cpu", columns=columns, with_label=True)
    options = {"device": "cpu", "columns": columns, "held_out": held}
    part = answer(checkpoint, tmp_path / "clicks.parquet", with_label=True, **options)
    assert whole.known.all()
    assert np.allclose(part.logits, whole.logits[kept], atol=1e-5)
    assert np.array_equal(part.labels, frame["bought"].to_numpy()[kept])
    score = score_checkpoint(checkpoint, tmp_path / "clicks.parquet", **options)
    assert score.auc == auc(part.labels, part.logits)
    assert 50 < len(part.logits) < 350


def test_targets_that_the_model_does_not_know_are_told(shop, tmp_path):
    checkpoint = shop.trained(Recipe(epochs=1, batch_size=100))
    frame = pl.read_parquet(shop.folder / "valid.parquet").head(3)
    frame.with_columns(shown=pl.Series(["new", "sku/001", "sku/1"])).write_parquet(tmp_path / "clicks.parquet")
    found = answer(checkpoint, tmp_path / "clicks.parquet", device="cpu")
    assert found.known.tolist() == [False, True, False]
    assert found.labels is None

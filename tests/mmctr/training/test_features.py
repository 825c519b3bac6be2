"""What a declared feature knows reaches the logit, of rows and of items that no training has seen."""

import pytest
from featured import THINGS, open_shop, write_shop

from mmctr.clicks.item_table import PADDING_IDX
from mmctr.training.recipe import Recipe

RECIPE = Recipe(epochs=12, batch_size=64, learning_rate=0.04, patience=12, plateau_patience=12)


@pytest.mark.parametrize("signal", ["hour", "device", "words", "dwell", "brand", "genres", "price"])
def test_a_planted_signal_is_learned_and_holds_for_items_that_train_does_not_have(tmp_path, signal):
    write_shop(tmp_path, signal=signal)
    shop = open_shop(tmp_path)
    assert not set(shop.valid.target.tolist()) & set(shop.train.target.tolist())
    assert PADDING_IDX not in shop.valid.target.tolist()
    assert shop.trained(RECIPE).metrics["valid_auc"] > 0.9


def test_without_the_feature_there_is_nothing_to_learn(tmp_path):
    write_shop(tmp_path, signal="brand")
    shop = open_shop(tmp_path)
    shop.table.feature_ids[:, 0] = 0
    assert THINGS[0].column == "brand"
    assert shop.trained(RECIPE).metrics["valid_auc"] < 0.75

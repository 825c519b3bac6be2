"""The demo data's signal is in the content: a target that was never seen is ranked by its embedding, or not at all."""

import numpy as np
import polars as pl
import pytest
from content_signal import cold_and_all_aucs, shuffled

from mmctr.clicks.item_table import ItemTable
from mmctr.embedding.options import EmbedOptions
from mmctr.embedding.reduction import reduce_embeddings
from mmctr.embedding.sources.clip import embed_items
from mmctr.images.extract import extract_images
from mmctr.inputs.columns import read_items
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.training.recipe import Recipe


@pytest.fixture(scope="module")
def table(demo_original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("content")
    extract_images(demo_original / "item_images_2.rar", folder / "images", progress=False)
    items, _ = embed_items(
        read_items(demo_original / "item_feature.parquet"),
        pl.read_parquet(folder / "images/manifest.parquet"),
        images_folder=folder / "images",
        model=str(demo_original / "tiny_clip.pt"),
        device="cpu",
        shards=folder / "vectors",
        options=EmbedOptions(workers=1),
        progress=False,
    )
    vectors = reduce_embeddings(items.vectors, n_components=128).vectors
    weights = np.vstack([np.zeros((1, 128), dtype=np.float32), vectors])
    return ItemTable(ids=Vocabulary(items.item_ids.to_numpy()), weights=weights)


def test_cold_targets_are_lost_when_embeddings_are_shuffled(demo_original, table):
    recipe = Recipe(batch_size=128, epochs=2)
    own = cold_and_all_aucs(demo_original, table, recipe=recipe)
    others = [cold_and_all_aucs(demo_original, shuffled(table, seed=seed), recipe=recipe) for seed in range(3)]
    assert own["cold"] > 0.75
    assert 0.35 < np.mean([other["cold"] for other in others]) < 0.65
    assert all(other["cold"] < own["cold"] - 0.1 for other in others)

"""Where the demo data's signal lies: AUC with the items' embeddings, and with the same ones shuffled between items.

    python benchmarks/content_signal.py data/demo

The folder must have been run through the pipeline. A model is trained on its item embeddings, then on the same vectors
given to other items; both are scored on the test rows, all of them and those whose target is never one in train.
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mmctr.clicks.item_table import ItemTable, build_item_table
from mmctr.clicks.split import load_split
from mmctr.evaluation.metrics import auc
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel
from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe


def cold_and_all_aucs(base_path: Path, table: ItemTable, *, recipe: Recipe) -> dict[str, float]:
    """Train on `table` and score the test split: AUC of all rows and of those with a cold target."""
    clicks = base_path / "MicroLens_1M_x1"
    train, valid = (load_split(clicks / f"{name}.parquet", table=table, with_label=True) for name in ("train", "valid"))
    torch.manual_seed(recipe.seed)
    model = ClickModel(Architecture(len(table.ids), table.weights.shape[1]))
    model.set_items(table)
    done = fit(model, train, valid, recipe=recipe)
    model.load_state_dict(done.best_weights)
    test = load_split(clicks / "test.parquet", table=table, with_label=False)
    truth = pl.read_parquet(base_path / "demo_truth.parquet")
    label, cold = truth["label"].to_numpy(), truth["cold"].to_numpy()
    logits = predict_logits(model, test, batch_size=4096)
    return {"all": auc(label, logits), "cold": auc(label[cold], logits[cold])}


def shuffled(table: ItemTable, *, seed: int) -> ItemTable:
    """The same vectors, each given to another item."""
    order = np.random.default_rng(seed).permutation(len(table.ids)) + 1
    return ItemTable(table.ids, np.vstack([table.weights[:1], table.weights[order]]))


def main() -> None:
    """Print both figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("base_path", type=Path)
    options.add_argument("--seeds", type=int, default=3)
    arguments = options.parse_args()
    embeddings = pl.read_parquet(arguments.base_path / "item_emb_task1_clip.parquet")
    table = build_item_table(embeddings, column="item_emb_d128")
    print("test AUC                          all rows   cold targets")
    for seed in range(arguments.seeds):
        recipe = Recipe(batch_size=512, seed=seed)
        for name, items in (("own embeddings", table), ("shuffled embeddings", shuffled(table, seed=seed))):
            found = cold_and_all_aucs(arguments.base_path, items, recipe=recipe)
            print(f"seed {seed}, {name:<24}{found['all']:10.4f}{found['cold']:15.4f}", flush=True)


if __name__ == "__main__":
    main()

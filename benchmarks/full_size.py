"""One run at the challenge's size: 3.6 million train rows and 379,142 test rows, what each step takes.

python benchmarks/full_size.py        # two to three minutes on two cores, after the data was written
"""

import flows.process.environment  # noqa: F401  the settings that a run has

import resource
import tempfile
from pathlib import Path

from real_shape import item_table, write_clicks
from side_by_side import seconds

from mmctr.clicks.split import load_split
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.architecture import Architecture, ItemOptions
from mmctr.models.base import ClickModel
from mmctr.training.epoch import train_epoch
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch
from mmctr.training.step import Learner

TRAIN_ROWS, TEST_ROWS = 3_600_000, 379_142


def main() -> None:
    """Print a line for each step."""
    folder, table = Path(tempfile.gettempdir()) / "mmctr-bench", item_table()
    train = write_clicks(folder / "train3600k.parquet", TRAIN_ROWS, seed=9)
    test = write_clicks(folder / "test379k.parquet", TEST_ROWS, seed=2)
    told("load 3.6 M rows", seconds(lambda: load_split(train, table=table, with_label=True)))
    split, held_out = load_split(train, table=table, with_label=True), load_split(test, table=table, with_label=False)
    for freeze in (False, True):
        item = ItemOptions(content="frozen" if freeze else "trained")
        model = ClickModel(Architecture(len(table.ids), 128, item=item))
        model.set_items(table)
        learner = Learner(model, recipe=Recipe())
        name = f"epoch, {'frozen' if freeze else 'trained'} item embeddings"
        took = seconds(lambda m=model, o=learner: train_epoch(m, split, o, recipe=Recipe(), partial=PartialEpoch(1)))
        told(name, took, rows=TRAIN_ROWS)
    told("predict", seconds(lambda: predict_logits(model, held_out, batch_size=8192)), rows=TEST_ROWS)


def told(step: str, took: float, *, rows: int | None = None) -> None:
    """Print what a step took and the peak memory so far."""
    speed = "" if rows is None else f"{rows / took:10,.0f} rows/s"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{step:<32}{took:8.1f} s  peak {peak:.2f} GB {speed}", flush=True)


if __name__ == "__main__":
    main()

"""One run at the challenge's size: 3.6 million train rows and 379,142 test rows, what each step takes with each preset.

python benchmarks/full_size.py mission strong        # some minutes on two cores, after the data was written
"""

import flows.process.environment  # noqa: F401  the settings that a run has

import argparse
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

from real_shape import item_table, write_clicks
from side_by_side import seconds

from mmctr.clicks.split import load_split
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel
from mmctr.models.items.fitting import fit_item_encoder
from mmctr.training.epoch import evaluate, train_epoch
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch
from mmctr.training.step import Learner
from tasks.settings.load import load_config

TRAIN_ROWS, VALID_ROWS, TEST_ROWS = 3_600_000, 10_000, 379_142


def main() -> None:
    """Print a line for each step."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("presets", nargs="*", default=["mission", "strong"])
    names = options.parse_args().presets
    folder, table = Path(tempfile.gettempdir()) / "mmctr-bench", item_table()
    train = write_clicks(folder / "train3600k.parquet", TRAIN_ROWS, seed=9)
    valid = write_clicks(folder / "valid10k.parquet", VALID_ROWS, seed=3)
    test = write_clicks(folder / "test379k.parquet", TEST_ROWS, seed=2)
    told("load 3.6 M rows", seconds(lambda: load_split(train, table=table, with_label=True)))
    split, looked_at = (load_split(path, table=table, with_label=True) for path in (train, valid))
    held_out = load_split(test, table=table, with_label=False)
    for name in names:
        config = load_config(folder, preset=name)
        recipe = Recipe(**{field: getattr(config.train, field) for field in Recipe.__dataclass_fields__})
        model = ClickModel(Architecture(len(table.ids), 128, **config.model.parts))
        model.set_items(table)
        told(f"{name}: what train says of items", seconds(lambda m=model: fit_item_encoder(m.items, split)))
        learner, reached = Learner(model, recipe=recipe), PartialEpoch(1)

        def epoch(m: ClickModel = model, o: Learner = learner, r: Recipe = recipe, at: PartialEpoch = reached) -> None:
            while at.rows < len(split):  # up to the next validation each time
                at = replace(train_epoch(m, split, o, recipe=r, partial=at), steps=0)
                evaluate(m, looked_at, recipe=r)

        told(f"{name}: epoch with validations", seconds(epoch), rows=TRAIN_ROWS)
        told(f"{name}: predict", seconds(lambda m=model: predict_logits(m, held_out, batch_size=8192)), rows=TEST_ROWS)


def told(step: str, took: float, *, rows: int | None = None) -> None:
    """Print what a step took and the peak memory so far."""
    speed = "" if rows is None else f"{rows / took:10,.0f} rows/s"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{step:<40}{took:8.1f} s  peak {peak:.2f} GB {speed}", flush=True)


if __name__ == "__main__":
    main()

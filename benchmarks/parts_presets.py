"""How fast each preset trains at the challenge's shape, beside the challenge's baseline, each at its own batch size."""

from pathlib import Path

import torch
from real_shape import item_table, write_clicks
from side_by_side import Row, in_turn

from mmctr.clicks.split import load_split
from mmctr.models.architecture import Architecture
from mmctr.models.base import ClickModel
from mmctr.models.items.fitting import fit_item_encoder
from mmctr.training.epoch import train_epoch
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch
from mmctr.training.step import Learner
from tasks.settings.load import load_config

MISSION = "mission"
BESIDE = {"strong": "1/3 x", "regularised": "", "organisers": ""}  # with what is to be reached
ROWS = {"strong": 200_000, "regularised": 25_000, "organisers": 25_000, MISSION: 200_000}


def presets(folder: Path) -> list[Row]:
    """Rows a second of an epoch; the two wide ones take an eighth of the rows."""
    table = item_table()

    def epoch(name: str):
        rows = ROWS[name]
        seed = 0 if rows == ROWS[MISSION] else 1
        path = write_clicks(folder / f"train{rows // 1000}k.parquet", rows, seed=seed)
        split = load_split(path, table=table, with_label=True)
        config = load_config(folder, preset=name)
        values = {field: getattr(config.train, field) for field in Recipe.__dataclass_fields__}
        recipe = Recipe(**values | {"validate_steps": 0})
        torch.manual_seed(0)
        model = ClickModel(Architecture(len(table.ids), 128, **config.model.parts))
        model.set_items(table)
        fit_item_encoder(model.items, split)
        learner = Learner(model, recipe=recipe)
        return lambda: train_epoch(model, split, learner, recipe=recipe, partial=PartialEpoch(1))

    baseline, found = epoch(MISSION), []
    for name, target in BESIDE.items():
        seconds, of_baseline = in_turn(epoch(name), baseline, repeats=3)
        speeds = (ROWS[name] / seconds, ROWS[MISSION] / of_baseline)
        found.append(Row(f"train, preset {name}", *speeds, "rows/s", "preset mission", target, 3))
    return found

"""Every item of the catalogue is a target of train, as a catalogue that was made of a log has it."""

from dataclasses import replace

import numpy as np

from mmctr.demo.clicks import Rows
from mmctr.demo.world import World


def covered(rows: Rows, *, world: World, rng: np.random.Generator) -> Rows:
    """The rows, with each item that is neither cold nor a target put in the place of a click on its own topic.

    It takes the click of a target that is clicked again elsewhere, of a user who has not clicked the item before. An
    item without such a click is left out.
    """
    item_id = rows.item_id.copy()
    clicks = np.flatnonzero(rows.label == 1)
    counts = np.bincount(item_id[clicks], minlength=world.items + 1)
    missing = np.setdiff1d(np.flatnonzero(~world.cold) + 1, item_id)
    for item in missing.tolist():
        clicked = item_id[clicks]
        fits = (world.topic[clicked - 1] == world.topic[item - 1]) & (counts[clicked] > 1)
        fits &= (rows.item_seq[clicks] != item).all(axis=1)
        if fits.any():
            row = rng.choice(clicks[fits])
            counts[item_id[row]] -= 1
            counts[item] += 1
            item_id[row] = item
    return replace(rows, item_id=item_id)

"""What a rule reaches that knows the world: each item's topic and popularity, and nothing of the labels.

Shapes: R rows, L history places, K topics.
"""

import numpy as np

from mmctr.demo.clicks import Rows, Weights
from mmctr.demo.topics import TOPICS
from mmctr.demo.world import World


def oracle_logits(world: World, rows: Rows, *, weights: Weights) -> np.ndarray:
    """How much likelier a row's target is clicked than shown, by its topic's share of the history: (R,) float64.

    The share is smoothed by one item of the average user, as histories are as short as three items.
    """
    mass = np.bincount(world.topic, weights=world.popularity, minlength=len(TOPICS))
    topic = world.topic[rows.item_id - 1]  # (R,)
    real = rows.item_seq > 0  # (R, L)
    same = (real & (world.topic[rows.item_seq - 1] == topic[:, None])).sum(axis=1)
    share = (same + mass[topic]) / (real.sum(axis=1) + 1)
    with np.errstate(divide="ignore"):
        item = np.log(weights.positive) - np.log(np.maximum(weights.negative, 1e-300))
    found: np.ndarray = np.log(share / mass[topic]) + item[rows.item_id - 1]
    return found

"""The two worlds that `mmctr demo` writes, as values: sizes, demand, and which items a user's rows are drawn from.

Shapes: I items.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmctr.demo.clicks import Weights
from mmctr.demo.readme import challenge_readme
from mmctr.demo.world import Demand, World

WorldName = Literal["content", "challenge"]
POOL_SHARE = 0.15  # of the items, from which the challenge world's train negatives come


@dataclass(frozen=True)
class WorldKind:
    """One kind of world."""

    items: int  # by default
    users: int  # of train, by default
    evaluation_share: float  # users of valid, and of test, by those of train
    demand: Demand
    weights: Callable[[World, np.random.Generator], tuple[Weights, Weights]]  # of train, and of valid and test
    covered: bool  # whether every item that is not cold is a target of train at least once
    labels: str  # the file with the labels of test
    labels_with_rows: bool  # whether that file has all columns of test too, so that `mmctr score` reads it
    readme: Callable[..., str] | None  # README.md, of `readme.challenge_readme`'s arguments


def _content(world: World, _: np.random.Generator) -> tuple[Weights, Weights]:
    """All by popularity, so that only the content tells positives and negatives apart.

    No history and no target of train is a cold item; targets of valid and test may be.
    """
    warm = np.where(world.cold, 0.0, world.popularity)
    train = Weights(positive=warm, history=warm, negative=warm)
    return train, Weights(positive=world.popularity, history=warm, negative=world.popularity)


def _challenge(world: World, rng: np.random.Generator) -> tuple[Weights, Weights]:
    """As the challenge's public logs: train negatives from a narrow pool, those of valid and test from all items.

    The pool is drawn evenly from the warm items, so neither topic nor popularity tells who is in it: it is known by
    id alone. Positives and histories are drawn by popularity, which a few items have most of: the challenge's entries
    with hardly any personalisation show it. No target of train is a cold item.
    """
    warm = np.flatnonzero(~world.cold)
    pool = np.zeros(world.items)
    pool[rng.choice(warm, round(POOL_SHARE * world.items), replace=False)] = 1.0
    everything = np.ones(world.items)
    clicked = np.where(world.cold, 0.0, world.popularity)
    train = Weights(positive=clicked, history=world.popularity, negative=pool)
    return train, Weights(positive=world.popularity, history=world.popularity, negative=everything)


WORLDS: dict[WorldName, WorldKind] = {
    "content": WorldKind(
        items=3000,
        users=12000,
        evaluation_share=0.1,
        demand=Demand(cold_share=0.1, cold_weight=0.15, exponent=0.8, shift=0.0, even_share=0.0, level_noise=0.9),
        weights=_content,
        covered=False,
        labels="demo_truth.parquet",
        labels_with_rows=False,
        readme=None,
    ),
    "challenge": WorldKind(
        items=1000,
        users=10000,
        evaluation_share=0.25,
        demand=Demand(cold_share=0.02, cold_weight=0.01, exponent=3.0, shift=0.05, even_share=0.1, level_noise=0.2),
        weights=_challenge,
        covered=True,
        labels="test_labels.parquet",
        labels_with_rows=True,
        readme=challenge_readme,
    ),
}

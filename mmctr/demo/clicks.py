"""Users of the demo world, their histories, and the labelled rows of train, valid and test.

A user follows one to three topics. The clicked target and most of the history come from these; the three sampled
negatives come from all topics alike. Which items they come from is said by `Weights`.

Shapes: U users, I items, K topics, L = 64 history places.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from mmctr.demo.topics import TOPICS
from mmctr.demo.world import World

HISTORY_PLACES = 64
NEGATIVES = 3
IN_TOPIC_SHARE = 0.85  # of the history
TOPIC_SHARES = np.array([[1, 0, 0], [0.75, 0.25, 0], [0.65, 0.2, 0.15]])  # by the number of topics followed
CHUNK = 2000  # users at a time, which bounds the memory at about 16 bytes x CHUNK x I


@dataclass(frozen=True)
class Rows:
    """Labelled rows, 4 for each user, in shuffled order. R = 4 U."""

    user_id: np.ndarray  # (R,) int64
    item_seq: np.ndarray  # (R, L) int64, padded on the left with 0
    item_id: np.ndarray  # (R,) int64
    label: np.ndarray  # (R,) int64, 1 for the click, 0 for the 3 negatives


@dataclass(frozen=True)
class Weights:
    """How much of each item is drawn, within the topics: each (I,) float64, 0 or more; sums do not matter."""

    positive: np.ndarray  # the clicked target
    history: np.ndarray
    negative: np.ndarray


def history_lengths(users: int, *, rng: np.random.Generator) -> np.ndarray:
    """Lengths with the real data's shape: least 3, quartiles 4 / 6 / 9, at most 64. (U,) int64.

    Evenly spaced quantiles of 3 + a log-normal are dealt out, so the shape holds for few users too.
    """
    normal = NormalDist()
    z = np.array([normal.inv_cdf((place + 0.5) / users) for place in range(users)])
    lengths = np.minimum(3 + np.floor(3.3 * np.exp(0.99 * z)), HISTORY_PLACES).astype(np.int64)
    return rng.permutation(lengths)


def draw_rows(world: World, *, first_user: int, users: int, weights: Weights, rng: np.random.Generator) -> Rows:
    """Four rows for each of `users` users with the ids `first_user` and on; no item is twice in a user's rows."""
    lengths = history_lengths(users, rng=rng)
    parts = [
        _histories_and_targets(world, lengths=lengths[start : start + CHUNK], weights=weights, rng=rng)
        for start in range(0, users, CHUNK)
    ]
    histories = np.concatenate([part[0] for part in parts])  # (U, L)
    targets = np.concatenate([part[1] for part in parts])  # (U, 4), the click first
    order = rng.permutation(users * (1 + NEGATIVES))
    owner = order // (1 + NEGATIVES)
    return Rows(
        user_id=first_user + owner,
        item_seq=histories[owner],
        item_id=targets.reshape(-1)[order],
        label=(order % (1 + NEGATIVES) == 0).astype(np.int64),
    )


def _followed(world: World, users: int, *, rng: np.random.Generator) -> np.ndarray:
    """The share of each topic in each user's interest: (U, K), rows sum to 1.

    Topics are drawn by their total popularity, so that the topic alone says nothing of the label; a second topic
    comes from the family of the first half of the time.
    """
    mass = np.bincount(world.topic, weights=world.popularity, minlength=len(TOPICS))
    family = np.unique([topic.family for topic in TOPICS], return_inverse=True)[1]
    kin = family[:, None] == family[None, :]  # (K, K)
    shares = np.zeros((users, len(TOPICS)))
    everyone = np.arange(users)
    number = rng.choice(3, users, p=[0.45, 0.35, 0.2])
    first = rng.choice(len(TOPICS), users, p=mass)
    near = np.where((rng.random(users) < 0.5)[:, None], kin[first], True)  # (U, K)
    keys = np.log(mass) + rng.gumbel(size=shares.shape) + np.where(near, 0.0, -50.0)
    keys[everyone, first] = np.inf
    ranked = np.argsort(-keys, axis=1)[:, :3]
    for place in range(3):
        shares[everyone, ranked[:, place]] = TOPIC_SHARES[number, place]
    return shares


def _histories_and_targets(
    world: World, *, lengths: np.ndarray, weights: Weights, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Histories (U, L) padded on the left, and targets (U, 4) with the click first; both item ids."""
    users = len(lengths)
    everyone = np.arange(users)
    shares = _followed(world, users, rng=rng)
    with np.errstate(divide="ignore"):  # a weight of 0 is never drawn
        as_positive, as_history, as_negative = (
            np.log(weight) for weight in (weights.positive, weights.history, weights.negative)
        )

    # Adding Gumbel noise to log weights and taking the largest draws without replacement by weight.
    clicked_topic = (shares.cumsum(axis=1) > rng.random((users, 1))).argmax(axis=1)
    own = world.topic[None, :] == clicked_topic[:, None]  # (U, I)
    positive = np.where(own, as_positive + rng.gumbel(size=own.shape), -np.inf).argmax(axis=1)

    topic_mass = np.bincount(world.topic, weights=world.popularity, minlength=len(TOPICS))
    interest = np.log(IN_TOPIC_SHARE * shares / topic_mass + (1 - IN_TOPIC_SHARE))[:, world.topic]  # (U, I)
    keys = interest + as_history + rng.gumbel(size=own.shape)
    keys[everyone, positive] = -np.inf
    drawn = np.argpartition(-keys, HISTORY_PLACES, axis=1)[:, :HISTORY_PLACES]
    drawn = np.take_along_axis(drawn, np.argsort(-np.take_along_axis(keys, drawn, axis=1), axis=1), axis=1)
    in_history = np.arange(HISTORY_PLACES)[None, :] < lengths[:, None]  # (U, L)

    keys = as_negative + rng.gumbel(size=own.shape)
    keys[everyone, positive] = -np.inf
    rows, places = np.nonzero(in_history)
    keys[rows, drawn[rows, places]] = -np.inf
    negatives = np.argpartition(-keys, NEGATIVES, axis=1)[:, :NEGATIVES]

    # The draw goes from the likeliest to the least likely; clicks come in any order.
    when = np.where(in_history, rng.random(in_history.shape), -1.0)
    in_time = np.argsort(when, axis=1)
    histories = np.where(in_history, drawn + 1, 0)
    return np.take_along_axis(histories, in_time, axis=1), np.column_stack([positive, negatives]) + 1

"""The demo world's items: topics, titles, tags, popularity, levels, and the items that are odd on purpose.

Shapes: I items, K topics. Row i is the item with id i + 1.
"""

from dataclasses import dataclass

import numpy as np

from mmctr.demo.topics import EMPTY_OF_TOPIC, FOREIGN, TEMPLATES, TOPICS


@dataclass(frozen=True)
class Demand:
    """How clicks are spread over the items."""

    cold_share: float  # of the items: they come out after the train period
    cold_weight: float  # of the popularity in the test period
    exponent: float  # of the popularity; 1 without a shift is Zipf's law
    shift: float  # of the ranks, as a share of the items: how many share the top (Mandelbrot)
    even_share: float  # of the popularity, spread evenly over all items
    level_noise: float  # of likes and views, in standard deviations of the log popularity


@dataclass(frozen=True)
class World:
    """All items, by row. Nothing here depends on users."""

    topic: np.ndarray  # (I,) int64, 0 .. K-1
    cold: np.ndarray  # (I,) bool: never a target in train
    popularity: np.ndarray  # (I,) float64, sums to 1; the cold items hold `Demand.cold_weight` of it
    likes_level: np.ndarray  # (I,) int64, 1 .. 10
    views_level: np.ndarray  # (I,) int64, 1 .. 10
    titles: tuple[str | None, ...]  # I
    tags: tuple[list[int], ...]  # I
    no_image: frozenset[int]  # rows whose cover is missing
    broken_image: frozenset[int]  # rows whose cover cannot be decoded whole

    @property
    def items(self) -> int:
        """The number of items, I."""
        return len(self.topic)


def make_world(*, items: int, demand: Demand, rng: np.random.Generator) -> World:
    """Draw `items` items; the same generator state makes the same world.

    Topics are of equal size to within one item, and cold items are spread evenly over them. Of the items at least
    3 lack the title, 3 lack the cover, 3 have a broken cover, 1 lacks title and cover, 1 has a title of several
    hundred words, and 6 have a title in another script.
    """
    order = rng.permutation(items)
    topic = np.empty(items, dtype=np.int64)
    topic[order] = np.arange(items) % len(TOPICS)
    cold = np.zeros(items, dtype=bool)
    cold[order[: round(items * demand.cold_share)]] = True

    popularity = (1.0 + rng.permutation(items) + demand.shift * items) ** -demand.exponent
    popularity = (1 - demand.even_share) * popularity + demand.even_share * popularity.mean()
    popularity[cold] *= demand.cold_weight / popularity[cold].sum()
    popularity[~cold] *= (1 - demand.cold_weight) / popularity[~cold].sum()

    titles: list[str | None] = [make_title(int(t), rng=rng) for t in topic]
    few = max(3, items // 150)
    odd = rng.permutation(items).tolist()
    untitled, foreign, odd = odd[:few], odd[few : few + len(FOREIGN)], odd[few + len(FOREIGN) :]
    for position, row in enumerate(untitled):
        titles[row] = None if position % 2 else ""
    for row, text in zip(foreign, FOREIGN, strict=True):
        titles[row] = text
    titles[odd[0]] = " ".join(make_title(int(topic[odd[0]]), rng=rng) for _ in range(60))
    return World(
        topic=topic,
        cold=cold,
        popularity=popularity,
        likes_level=_level(popularity, noise=demand.level_noise, rng=rng),
        views_level=_level(popularity, noise=demand.level_noise, rng=rng),
        titles=tuple(titles),
        tags=tuple(_tags(int(t), rng=rng) for t in topic),
        no_image=frozenset([untitled[0], *odd[1 : 1 + few]]),
        broken_image=frozenset(odd[1 + few : 1 + 2 * few]),
    )


def make_title(topic: int, *, rng: np.random.Generator) -> str:
    """A title in the topic's words; about one in twelve says nothing of the topic."""
    if rng.random() < 1 / 12:
        return EMPTY_OF_TOPIC[int(rng.integers(len(EMPTY_OF_TOPIC)))]
    words = TOPICS[topic]
    n, m = rng.choice(words.nouns, 2, replace=False).tolist()
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    text = template.format(
        n=n, m=m, v=rng.choice(words.verbs), a=rng.choice(words.adjectives), day=int(rng.integers(2, 31))
    )
    return text[0].upper() + text[1:]


def _level(popularity: np.ndarray, *, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Tenths of the noisy log popularity: (I,) int64 from 1 to 10."""
    log = np.log(popularity)
    noisy = log + noise * log.std() * rng.standard_normal(len(log))
    return np.argsort(np.argsort(noisy, kind="stable"), kind="stable") * 10 // len(log) + 1


def _tags(topic: int, *, rng: np.random.Generator) -> list[int]:
    """Up to four distinct tags, some shared by a family of topics and some by all; possibly none."""
    families = sorted({t.family for t in TOPICS})
    own = 1 + 10 * families.index(TOPICS[topic].family)
    pool = [*range(own, own + 10), *range(101, 131)]
    return sorted(rng.choice(pool, int(rng.integers(0, 5)), replace=False).tolist())

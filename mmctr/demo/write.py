"""The demo data set: the challenge's files, made up from a seed, with a tiny CLIP that fits them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import rars

from mmctr.common.errors import InputError
from mmctr.common.files import replacing_folder
from mmctr.common.progress import progress_bar
from mmctr.demo.clicks import Rows, draw_rows
from mmctr.demo.coverage import covered
from mmctr.demo.covers import centre_square, draw_cover, encode_jpeg
from mmctr.demo.tiny_clip import IMAGE_SIDE, train_tiny_clip
from mmctr.demo.topics import TOPICS
from mmctr.demo.world import World, make_title, make_world
from mmctr.demo.worlds import WORLDS, WorldKind, WorldName
from mmctr.inputs.layout import MICROLENS_1M as NAMES

MIN_ITEMS = 150
MIN_USERS = 50
MIN_EVALUATION_USERS = 200
TRAINING_PAIRS = 1500  # at least; with fewer the tiny CLIP tells single items apart and forgets the topics
MEMBER_TIME = 1_735_689_600  # 2025-01-01, so that the archive's bytes depend on the seed alone

LIKES_LEVEL, VIEWS_LEVEL = (feature.column for feature in NAMES.row_features)
FILES = (  # of every world
    NAMES.items,
    NAMES.images[0],
    NAMES.train,
    NAMES.valid,
    NAMES.test,
    "item_topics.parquet",
    "tiny_clip.pt",
    "mmctr.toml",
)

SETTINGS = """\
# The demo's settings: what differs from the defaults. Paths are relative to this file.

[embed]
# A CLIP of the real architecture with 4 million parameters, trained on this data set's own titles and covers.
model = "tiny_clip.pt"

[train]
# The default of 4096 would leave about a dozen steps an epoch on a data set this small.
batch_size = 512
"""


def files_of(world: WorldName) -> tuple[str, ...]:
    """Every file of a demo data set with that world."""
    kind = WORLDS[world]
    return (*FILES, kind.labels, *(("README.md",) if kind.readme else ()))


def is_demo(folder: Path, *, world: WorldName = "content") -> bool:
    """Whether `folder` holds every file of such a demo data set. It is moved in whole, so none is half written."""
    return all((folder / name).is_file() for name in files_of(world))


def write_demo(
    out: Path,
    *,
    world: WorldName = "content",
    items: int | None = None,
    users: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> None:
    """Make the demo data set in the folder `out`, whole or not at all.

    `world`: the kind of world. `items`: number of items, ids 1 .. items, at least 150; None for that of the world.
    `users`: number of train users, at least 50, or None; valid and test have at least 200 each, and by the world more.
    The same arguments make the same bytes on the same machine. `progress`: show bars; None shows them on a terminal
    only.

    Raises InputError where a number is too small, or `out` is or lies below a file, or is a folder that is not empty.
    """
    kind = WORLDS[world]
    items, users = kind.items if items is None else items, kind.users if users is None else users
    _check(out, items=items, users=users, seed=seed)
    # A stream of numbers for each part: a change in one leaves the others' draws as they were.
    world_rng, cover_rng, *click_rngs, filler_rng, pair_rng, weight_rng = np.random.default_rng(seed).spawn(8)
    drawn = make_world(items=items, demand=kind.demand, rng=world_rng)
    with replacing_folder(out.resolve()) as folder:
        squares = _write_covers(folder / NAMES.images[0], world=drawn, rng=cover_rng, progress=progress)
        _write_items(folder, world=drawn, rng=filler_rng)
        _write_clicks(folder, kind=kind, world=drawn, users=users, rngs=click_rngs, weight_rng=weight_rng)
        titles, squares = _training_pairs(drawn, squares=squares, rng=pair_rng)
        path = folder / "tiny_clip.pt"
        train_tiny_clip(path, titles=titles, images=squares, seed=seed, progress=progress)
        (folder / "mmctr.toml").write_text(SETTINGS, encoding="utf-8")


def _check(out: Path, *, items: int, users: int, seed: int) -> None:
    """Refuse numbers that are too small, and a place that is taken."""
    if items < MIN_ITEMS:
        raise InputError(
            f"The demo needs at least {MIN_ITEMS} items, since the reduction to 128 dimensions needs more items than "
            f"dimensions; items is {items}. Use {MIN_ITEMS} or more."
        )
    if users < MIN_USERS:
        raise InputError(f"The demo needs at least {MIN_USERS} users; users is {users}. Use {MIN_USERS} or more.")
    if seed < 0:
        raise InputError(f"The demo's seed must be 0 or more; seed is {seed}. Use another.")
    nearest = next(folder for folder in out.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise InputError(f"The demo is written below folders; {nearest} is a file. Name another place.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(
            f"The demo is written to a new or an empty folder; {out} is neither. Name another, or empty it."
        )


def _write_covers(path: Path, *, world: World, rng: np.random.Generator, progress: bool | None) -> np.ndarray:
    """Write the archive of covers; returns their centre squares, uint8 (I, S, S, 3), broken and missing ones whole."""
    archive = rars.RarBuilder(store=True)  # JPEG does not compress further
    squares = np.empty((world.items, IMAGE_SIDE, IMAGE_SIDE, 3), dtype=np.uint8)
    broken = 0
    for row in progress_bar("covers", over=range(world.items), unit="image", show=progress):
        cover = draw_cover(TOPICS[int(world.topic[row])].scene, rng=rng)
        squares[row] = centre_square(cover, side=IMAGE_SIDE)
        content = encode_jpeg(cover, quality=int(rng.integers(75, 93)))
        if row in world.no_image:
            continue
        if row in world.broken_image:  # by turns cut off, noise, and empty
            content = (content[: len(content) // 3], rng.bytes(2000), b"")[broken % 3]
            broken += 1
        archive.add_bytes(content, f"item_images/item_images/{row + 1}.jpg", mtime=MEMBER_TIME)
    archive.write(str(path))
    return squares


def _training_pairs(world: World, *, squares: np.ndarray, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """Titles and covers to train the tiny CLIP on: those of the items, and where these are few, more of their kind."""
    kept = [row for row, title in enumerate(world.titles) if title and row not in world.no_image]
    topics = rng.integers(0, len(TOPICS), max(0, TRAINING_PAIRS - len(kept))).tolist()
    titles = [world.titles[row] or "" for row in kept] + [make_title(topic, rng=rng) for topic in topics]
    more = [centre_square(draw_cover(TOPICS[topic].scene, rng=rng), side=IMAGE_SIDE) for topic in topics]
    return titles, np.concatenate([squares[kept], np.stack(more)]) if more else squares[kept]


def _write_items(folder: Path, *, world: World, rng: np.random.Generator) -> None:
    """Write `item_feature.parquet` and `item_topics.parquet`; the two embeddings of the former are noise."""
    item_id = np.arange(1, world.items + 1)

    def noise(dimensions: int) -> pl.Series:
        coarse = rng.integers(-2, 3, (world.items, dimensions)).astype(np.float32) / 4  # five values: compresses well
        return pl.Series(coarse, dtype=pl.Array(pl.Float32, dimensions))

    pl.DataFrame(
        {
            NAMES.item_id: item_id,
            NAMES.title: pl.Series(world.titles, dtype=pl.String),
            "item_tags": pl.Series(world.tags, dtype=pl.List(pl.Int64)),
            LIKES_LEVEL: world.likes_level,
            VIEWS_LEVEL: world.views_level,
            "txt_emb_BERT": noise(768),
            "img_emb_CLIPRN50": noise(1024),
        }
    ).write_parquet(folder / NAMES.items, compression="zstd")
    topics = pl.DataFrame({"item_id": item_id, "topic": world.topic})
    topics.write_parquet(folder / "item_topics.parquet", compression="zstd")


def _write_clicks(
    folder: Path,
    *,
    kind: WorldKind,
    world: World,
    users: int,
    rngs: Sequence[np.random.Generator],
    weight_rng: np.random.Generator,
) -> None:
    """Write the three splits, of a generator each, the labels of test apart, and what the world says of itself."""
    later = max(MIN_EVALUATION_USERS, int(users * kind.evaluation_share))
    of_train, of_evaluation = kind.weights(world, weight_rng)
    plan = ((1, users, of_train), (users + 1, later, of_evaluation), (users + later + 1, later, of_evaluation))
    train, valid, test = (
        draw_rows(world, first_user=first, users=number, weights=weights, rng=rng)
        for (first, number, weights), rng in zip(plan, rngs, strict=True)
    )
    if kind.covered:
        train = covered(train, world=world, rng=weight_rng)
    (folder / NAMES.train).parent.mkdir()
    _frame(train, world=world).write_parquet(folder / NAMES.train, compression="zstd")
    _frame(valid, world=world).write_parquet(folder / NAMES.valid, compression="zstd")
    row_id, label = NAMES.row_id, NAMES.label
    labelled = _frame(test, world=world).with_row_index(row_id).with_columns(pl.col(row_id).cast(pl.Int64))
    labelled.drop(label).write_parquet(folder / NAMES.test, compression="zstd")
    truth = labelled.with_columns(cold=~pl.Series(np.isin(test.item_id, train.item_id)))
    kept = truth if kind.labels_with_rows else truth.select(row_id, label, "cold")
    kept.write_parquet(folder / kind.labels, compression="zstd")
    if kind.readme:
        text = kind.readme(world, train=train, valid=valid, test=test, of_train=of_train, of_evaluation=of_evaluation)
        (folder / "README.md").write_text(text, encoding="utf-8")


def _frame(rows: Rows, *, world: World) -> pl.DataFrame:
    """The challenge's columns; the levels are those of the target item."""
    return pl.DataFrame(
        {
            NAMES.user: rows.user_id,
            NAMES.history: pl.Series(rows.item_seq, dtype=pl.Array(pl.Int64, rows.item_seq.shape[1])),
            NAMES.item_id: rows.item_id,
            LIKES_LEVEL: world.likes_level[rows.item_id - 1],
            VIEWS_LEVEL: world.views_level[rows.item_id - 1],
            NAMES.label: rows.label,
        }
    )

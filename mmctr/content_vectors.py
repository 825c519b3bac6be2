"""Fill a store of vectors with the titles and images that it lacks, shard by shard.

What is missing is taken in the order given and cut into shards of a fixed size, so a run that was interrupted after
a shard goes on with the same batches as one that was not, and every bit of the vectors is the same.

Shapes: b images of a batch, E the length of CLIP's embedding, R the model's resolution.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from mmctr.clip_images import View
from mmctr.image_workers import Batch, read_images
from mmctr.vector_shards import VectorShards

if TYPE_CHECKING:
    from mmctr.clip_model import ClipEncoder

NOT_FINITE = "the encoder gave no finite vector"

LoadEncoder = Callable[[], "ClipEncoder"]
Advance = Callable[[int], None]  # is told of each number of titles or images that are done


def embed_titles(
    store: VectorShards,
    titles: dict[str, str],
    encoder: LoadEncoder,
    *,
    shard_size: int,
    token_batch: int,
    hide: bool | None,
    advance: Advance,
) -> int:
    """Embed the titles that `store` lacks, a shard at a time; returns how many that were."""
    new = store.missing(titles)
    with tqdm(total=len(new), desc="titles", unit="title", disable=hide) as bar:
        for start in range(0, len(new), shard_size):
            keys = new[start : start + shard_size]
            vectors = encoder().encode_titles([titles[key] for key in keys], token_batch=token_batch)
            store.append(keys, vectors, reasons=_reasons(vectors))
            bar.update(len(keys))
            advance(len(keys))
    return len(new)


def embed_images(
    store: VectorShards,
    paths: dict[str, Path],
    encoder: LoadEncoder,
    *,
    shard_size: int,
    batch_size: int,
    workers: int,
    max_pixels: int,
    jpeg_draft: bool,
    hide: bool | None,
    advance: Advance,
) -> int:
    """Embed the images that `store` lacks; a shard holds the whole batches that fit in `shard_size`.

    So the batches are the same whether a run was interrupted or not, and with them every bit of the vectors.
    """
    new = store.missing(paths)
    if not new:
        return 0
    batches = read_images(
        [paths[key] for key in new],
        view=View(encoder().resolution, max_pixels, jpeg_draft),
        batch_size=batch_size,
        workers=workers,
    )
    shard_rows = max(1, shard_size // batch_size) * batch_size
    vectors = np.empty((len(new), store.dim), np.float32)
    reasons: list[str] = []
    stored = 0
    with closing(batches), tqdm(total=len(new), desc="images", unit="image", disable=hide) as bar:
        for batch in batches:
            begin = len(reasons)
            reasons += _encode_batch(encoder(), batch, vectors, begin)
            bar.update(len(reasons) - begin)
            advance(len(reasons) - begin)
            if len(reasons) - stored == shard_rows or len(reasons) == len(new):
                rows = slice(stored, len(reasons))
                store.append(new[rows], vectors[rows], reasons=reasons[rows])
                stored = len(reasons)
    return len(new)


def _encode_batch(encoder: "ClipEncoder", batch: Batch, vectors: np.ndarray, begin: int) -> list[str]:
    """Fill the batch's rows of `vectors` from `begin` on; returns a reason for each row, "" where it has a vector."""
    import torch

    positions, pixels, failures = batch
    rows = slice(begin, begin + len(positions) + len(failures))
    vectors[rows] = np.nan
    vectors[positions] = encoder.encode_images(torch.from_numpy(pixels))
    reasons = _reasons(vectors[rows])
    for position, reason in failures:
        reasons[position - begin] = reason
    return reasons


def _reasons(vectors: np.ndarray) -> list[str]:
    return ["" if finite else NOT_FINITE for finite in np.isfinite(vectors).all(axis=1)]

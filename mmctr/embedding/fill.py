"""Fill a store of vectors with the titles and images that it lacks, shard by shard.

What is missing is embedded in the order in which it comes and cut into shards of a fixed size. So a run that was
interrupted after a shard goes on with the same batches as one that was not, and every bit of the vectors is the same.
What is kept under a digest was made of bytes that have it: an image is hashed by the process that decodes it.

Shapes: b images of a batch, E the length of CLIP's embedding, R the model's resolution.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from mmctr.common.errors import InputError
from mmctr.common.progress import progress_bar
from mmctr.compute.cores import usable_cores
from mmctr.embedding.options import EmbedOptions
from mmctr.embedding.store import VectorShards
from mmctr.encoders.base import Encoder
from mmctr.images.preprocess import View
from mmctr.images.workers import Batch, read_images

NOT_FINITE = "the encoder gave no finite vector"
MANY = 8  # where so many vectors and no finite one among them are made at a time, it is not what they are made of

LoadEncoder = Callable[[], Encoder]
Advance = Callable[[int], None]  # is called with each number of titles or images that are done


class ChangedImagesError(InputError):
    """Images were not the listed ones any more when they were decoded; `paths` are those that were found so."""

    def __init__(self, paths: Sequence[Path]) -> None:
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        super().__init__(
            f"Images must stay as they are while they are embedded, but {paths[0]}{others} had other bytes than the "
            "listed sha256 says.\nNothing is kept for them, and what was right is kept. See that nothing else writes "
            "there, and run again with images that are extracted again."
        )
        self.paths = tuple(paths)


def embed_titles(
    store: VectorShards,
    titles: dict[str, str],
    encoder: LoadEncoder,
    *,
    options: EmbedOptions,
    show: bool | None,
    advance: Advance,
) -> int:
    """Embed the titles that `store` lacks, a shard at a time; returns how many that were."""
    new = store.missing(titles)

    def encode(texts: list[str]) -> np.ndarray:
        return encoder().encode_titles(texts, token_batch=options.token_batch)

    with progress_bar("titles", total=len(new), unit="title", show=show) as bar:
        for start in range(0, len(new), options.shard_size):
            keys = new[start : start + options.shard_size]
            vectors = encode([titles[key] for key in keys])
            _check_some_finite(vectors, "titles", lambda: encode(["a photo"]))
            store.append(keys, vectors, reasons=_reasons(vectors))
            bar.update(len(keys))
            advance(len(keys))
    return len(new)


def embed_images(
    store: VectorShards,
    paths: dict[str, Path],
    encoder: LoadEncoder,
    *,
    options: EmbedOptions,
    show: bool | None,
    advance: Advance,
) -> int:
    """Embed the images that `store` lacks, whose keys are their SHA-256; returns how many that were.

    A shard holds the whole batches that fit in `options.shard_size`. So the batches are the same whether a run was
    interrupted or not, and with them every bit of the vectors. Raises ChangedImagesError where a file has other bytes
    than its key says, at the end of the first such batch; nothing is stored for that key, and what was right is stored.
    """
    new = store.missing(paths)
    if not new:
        return 0
    batches = read_images(
        [paths[key] for key in new],
        view=_view(encoder(), options),
        batch_size=options.batch_size,
        workers=max(1, usable_cores() - 1) if options.workers is None else options.workers,
    )
    shard_rows = max(1, options.shard_size // options.batch_size) * options.batch_size
    vectors = np.empty((len(new), store.dim), np.float32)
    reasons: list[str] = []
    stored = 0
    with closing(batches), progress_bar("images", total=len(new), unit="image", show=show) as bar:
        for batch in batches:
            begin = len(reasons)
            reasons += _encode_batch(encoder(), batch, vectors, begin)
            changed = [row for row, sha256 in enumerate(batch.sha256, begin) if sha256 != new[row]]
            bar.update(len(reasons) - begin)
            advance(len(reasons) - begin)
            if len(reasons) - stored == shard_rows or len(reasons) == len(new) or changed:
                rows = [row for row in range(stored, len(reasons)) if row not in changed]
                store.append([new[row] for row in rows], vectors[rows], reasons=[reasons[row] for row in rows])
                stored = len(reasons)
            if changed:
                raise ChangedImagesError([paths[new[row]] for row in changed])
    return len(new)


def _view(encoder: Encoder, options: EmbedOptions) -> View:
    """What is cut out of an image, as the encoder takes it and within the bounds of the options."""
    pixels = encoder.pixels
    return View(
        pixels.resolution, options.max_pixels, options.jpeg_draft, resize=pixels.resize, resample=pixels.resample
    )


def _encode_batch(encoder: Encoder, batch: Batch, vectors: np.ndarray, begin: int) -> list[str]:
    """Fill the batch's rows of `vectors` from `begin` on; returns a reason for each row, "" where it has a vector."""
    import torch

    rows = slice(begin, begin + len(batch.sha256))
    vectors[rows] = np.nan
    encoded = encoder.encode_images(torch.from_numpy(batch.pixels))
    side = encoder.pixels.resolution
    grey = torch.full((1, 3, side, side), 127, dtype=torch.uint8)
    _check_some_finite(encoded, "images", lambda: encoder.encode_images(grey))
    vectors[batch.positions] = encoded
    reasons = _reasons(vectors[rows])
    for position, reason in batch.failures:
        reasons[position - begin] = reason
    return reasons


def _check_some_finite(vectors: np.ndarray, kind: str, encode_ordinary: Callable[[], np.ndarray]) -> None:
    """Blame the model where no vector is finite, unless they are few and an ordinary content has a finite one."""
    if len(vectors) == 0 or np.isfinite(vectors).all(axis=1).any():
        return
    if len(vectors) >= MANY or not np.isfinite(encode_ordinary()).all():
        raise InputError(
            f"A CLIP model must return finite vectors, and this one returned none for all of {len(vectors)} {kind}.\n"
            f"The {kind} are not at fault: the checkpoint is another one or damaged, or the device computes wrongly. "
            "Fetch the checkpoint again, or use another model or device. What was computed before is kept."
        )


def _reasons(vectors: np.ndarray) -> list[str]:
    return ["" if finite else NOT_FINITE for finite in np.isfinite(vectors).all(axis=1)]

"""Reduction of the CLIP embeddings by principal component analysis.

Legend: n items, E CLIP width, D components.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import replacing
from mmctr.common.text import first_line
from mmctr.compute.cores import usable_cores

# Rows of a product: that of a matrix with itself gains by many, a projection by as many as a cache holds.
FIT_ROWS, PROJECT_ROWS = 4096, 1024
SAMPLED_ROWS = 1024  # whose mean stands for that of all while the covariance is summed
FITTED = (
    "mean_",
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
    "n_samples_",
)


@dataclass(frozen=True)
class Reduction:
    """Reduced vectors and the fitted model.

    Attributes:
        vectors: (n, D) float32.
        pca: the fitted scikit-learn model, E -> D.
        explained_variance: share of the variance that the D components keep, 0..1.
    """

    vectors: npt.NDArray[np.float32]
    pca: PCA
    explained_variance: float


def reduce_embeddings(
    embeddings: npt.NDArray[np.float32], *, n_components: int = 128, pca: PCA | None = None
) -> Reduction:
    """Fit PCA on the items that have an embedding and project them.

    With a `pca` nothing is fitted: equal embeddings get the vectors that they had, to float32's last digits, and the
    share of the variance is that of these embeddings on the earlier axes.

    The covariance is made of float32 products of blocks of centred rows, added up in float64, and decomposed by a full
    symmetric eigensolver in float64 (docs/decisions/0012). The mean is gone before anything is squared, so a large one
    costs no digits. Nothing is random, and the largest entry of each component is positive, as with scikit-learn's
    `svd_solver="covariance_eigh"`. An item without title and image has the zero vector as its embedding; it takes no
    part in the fit and stays zero, which is the mean item in the centred space.

    Args:
        embeddings: (n, E) float32, finite.
        pca: the model of an earlier run, E -> D, that is used as it is.
        n_components: D, at most E and at most the number of items with an embedding.

    Raises:
        InputError: fewer items or a narrower embedding than components.
    """
    present = embeddings[:, 0] != 0
    present[~present] = embeddings[~present].any(axis=1)  # few rows start with a zero: the others are not read for this
    count, width = int(present.sum()), embeddings.shape[1]
    if count < n_components:
        raise InputError(
            f"PCA to {n_components} components needs at least {n_components} items with a title or an image, "
            f"found {count} of {len(embeddings)}; add items or lower `n_components`"
        )
    if width < n_components:
        raise InputError(
            f"PCA to {n_components} components needs embeddings at least that wide, these have {width}; "
            "use a wider CLIP model or lower `n_components`"
        )
    if pca is not None and pca.components_.shape != (n_components, width):
        raise InputError(
            f"the earlier PCA must return {n_components} components from {width} dimensions, it returns "
            f"{pca.components_.shape[0]} from {pca.components_.shape[1]}; fit anew with `pca=None`"
        )
    known = embeddings if count == len(embeddings) else embeddings[present]
    # Threads over blocks and none inside a product: no core waits for another within a block, and the bits are the same
    # on any number of cores.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(usable_cores()) as pool:
        model = _fit(known, n_components=n_components, pool=pool) if pca is None else pca
        projected = _project(known, model, pool=pool)
    share = model.explained_variance_ratio_.sum() if pca is None else _share(projected, known)
    vectors = projected
    if known is not embeddings:
        vectors = np.zeros((len(embeddings), n_components), dtype=np.float32)
        vectors[present] = projected
    return Reduction(vectors=vectors, pca=model, explained_variance=float(share))


def _share(vectors: npt.NDArray[np.float32], embeddings: npt.NDArray[np.float32]) -> float:
    """How much of the variance of (n, E) rows their (n, D) vectors keep, 0..1."""
    kept, whole = (rows.var(axis=0, dtype=np.float64).sum() for rows in (vectors, embeddings))
    return float(kept / (whole or 1.0))


def _fit(embeddings: npt.NDArray[np.float32], *, n_components: int, pool: ThreadPoolExecutor) -> PCA:
    """The model of (n, E) rows, all of which count."""
    count, width = embeddings.shape
    shift = embeddings[:: max(1, count // SAMPLED_ROWS)].mean(axis=0, dtype=np.float64).astype(np.float32)

    def sums(start: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        block = embeddings[start : start + FIT_ROWS] - shift
        return block.T @ block, np.ones(len(block), dtype=np.float32) @ block

    scatter, total = np.zeros((width, width)), np.zeros(width)  # of the rows less `shift`
    for products, rows in pool.map(sums, range(0, count, FIT_ROWS)):  # added in the order of the rows
        scatter += products
        total += rows
    rest = total / count  # how far the mean lies from `shift`: little, so taking it out costs no digits
    scatter -= count * np.outer(rest, rest)
    degrees = max(count - 1, 1)
    ascending, axes = np.linalg.eigh(scatter / degrees)
    variances = np.maximum(ascending[::-1], 0)  # what has no variance may come out a little below zero
    components = axes.T[::-1][:n_components]  # (D, E)
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=1)[:, None], axis=1)
    kept = variances[:n_components]
    return _fitted(
        {
            "mean_": shift + rest,
            "components_": components * np.sign(largest),
            "explained_variance_": kept,
            "explained_variance_ratio_": kept / (variances.sum() or 1.0),  # equal rows have no variance to share
            "singular_values_": np.sqrt(kept * degrees),
            "n_samples_": np.int64(count),
        }
    )


def _project(embeddings: npt.NDArray[np.float32], pca: PCA, *, pool: ThreadPoolExecutor) -> npt.NDArray[np.float32]:
    """(n, D) coordinates of (n, E) rows, to the digits that float32 embeddings have themselves."""
    vectors = np.empty((len(embeddings), pca.n_components_), dtype=np.float32)
    axes = pca.components_.T.astype(np.float32)  # (E, D)
    origin = (pca.components_ @ pca.mean_).astype(np.float32)

    def fill(start: int) -> None:
        rows = slice(start, start + PROJECT_ROWS)
        np.matmul(embeddings[rows], axes, out=vectors[rows])
        vectors[rows] -= origin

    for _ in pool.map(fill, range(0, len(embeddings), PROJECT_ROWS)):
        pass
    return vectors


def _fitted(attributes: Mapping[str, Any]) -> PCA:
    """A scikit-learn model with the attributes of FITTED, ready to transform."""
    pca = PCA(n_components=len(attributes["components_"]), svd_solver="covariance_eigh")
    for name in FITTED:
        setattr(pca, name, attributes[name])
    pca.n_components_, pca.n_features_in_ = pca.components_.shape
    share, spare = pca.explained_variance_ratio_, pca.n_features_in_ - pca.n_components_
    total = pca.explained_variance_[0] / (share[0] or 1.0)
    pca.noise_variance_ = max(0.0, total * (1.0 - share.sum()) / spare) if spare else 0.0
    return pca


def save_pca(pca: PCA, path: Path) -> None:
    """Write the fitted arrays as an npz, without pickle."""
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **{name: getattr(pca, name) for name in FITTED})


def load_pca(path: Path) -> PCA:
    """Read what `save_pca` wrote as a scikit-learn model that is ready to transform.

    Raises:
        InputError: the file is damaged or holds something else.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            read = {name: arrays[name][()] for name in FITTED}
        if read["components_"].ndim != 2 or read["mean_"].shape != read["components_"].shape[1:]:
            raise ValueError("its arrays do not fit each other")
        return _fitted(read)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can raise nearly anything in NumPy and zipfile
        raise_if_of_the_machine(error, path=path)  # the file may be good
        raise InputError(
            f"a PCA model is read from the npz file that a run wrote; {path} is damaged or no such file "
            f"({first_line(error)}); fetch the file again, or fit another PCA"
        ) from error


def embedding_column(n_components: int) -> str:
    """Name of the embedding column in `item_emb_task1_clip.parquet`."""
    return f"item_emb_d{n_components}"


def write_item_embeddings(item_ids: pl.Series, vectors: npt.NDArray[np.float32], path: Path) -> None:
    """Write `item_id` i64 and `item_emb_d<D>` list[f32], the challenge's file for task 1."""
    column = pl.Series(embedding_column(vectors.shape[1]), vectors).cast(pl.List(pl.Float32))
    with replacing(path) as partial:
        pl.DataFrame([item_ids.cast(pl.Int64).alias("item_id"), column]).write_parquet(partial)

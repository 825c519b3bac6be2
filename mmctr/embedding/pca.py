"""Reduction of the CLIP embeddings by principal component analysis.

Legend: n items, E CLIP width, D components.
"""

from collections.abc import Mapping
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


def reduce_embeddings(embeddings: npt.NDArray[np.float32], *, n_components: int, pca: PCA | None = None) -> Reduction:
    """Fit PCA on the items that have an embedding and project them.

    With a `pca` nothing is fitted: equal embeddings get the vectors that they had, and the share of the variance is
    that of these embeddings on the earlier axes.

    All of it is scikit-learn's `covariance_eigh` in float64. Nothing is random, and the largest entry of each component
    is positive. An item without title and image has the zero vector as its embedding; it takes no part in the fit and
    stays zero, which is the mean item in the centred space.

    Args:
        embeddings: (n, E) float32, finite.
        pca: the model of an earlier run, E -> D, that is used as it is.
        n_components: D, at most E and at most the number of items with an embedding.

    Raises:
        InputError: fewer items or a narrower embedding than components.
    """
    present = embeddings.any(axis=1)  # (n,)
    _check_sizes(embeddings, n_components, present=int(present.sum()), pca=pca)
    known = embeddings[present].astype(np.float64)
    # One thread: the bits do not depend on the number of cores, and cores that others use are not waited for.
    with threadpool_limits(1, user_api="blas"):
        model = _fit(known, n_components=n_components) if pca is None else pca
        projected = model.transform(known)
    share = model.explained_variance_ratio_.sum() if pca is None else _share(projected, known)
    vectors = np.zeros((len(embeddings), n_components), dtype=np.float32)  # (n, D)
    vectors[present] = projected
    return Reduction(vectors=vectors, pca=model, explained_variance=float(share))


def _check_sizes(embeddings: npt.NDArray[np.float32], n_components: int, *, present: int, pca: PCA | None) -> None:
    width = embeddings.shape[1]
    if present < n_components:
        raise InputError(
            f"PCA to {n_components} components needs at least {n_components} items with a title or an image, "
            f"found {present} of {len(embeddings)}; add items or lower `n_components`"
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


def _fit(known: npt.NDArray[np.float64], *, n_components: int) -> PCA:
    """The model of (n, E) rows, all of which count, as `load_pca` returns it."""
    pca = PCA(n_components, svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):
        pca.fit(known)
    if (known == known[0]).all():  # there is no variance: scikit-learn finds what rounding left, and shares that out
        pca.explained_variance_ = pca.explained_variance_ratio_ = pca.singular_values_ = np.zeros(n_components)
    return _fitted({name: getattr(pca, name) for name in FITTED})


def _share(vectors: npt.NDArray[np.float64], embeddings: npt.NDArray[np.float64]) -> float:
    """How much of the variance of (n, E) rows their (n, D) vectors keep, 0..1."""
    kept, whole = (rows.var(axis=0).sum() for rows in (vectors, embeddings))
    return float(kept / (whole or 1.0))


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

"""Reduction of the CLIP embeddings by principal component analysis.

Legend: n items, E CLIP width, D components.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.decomposition import PCA

from mmctr.errors import InputError
from mmctr.files import replacing

ARRAYS = ("mean_", "components_", "explained_variance_", "explained_variance_ratio_", "singular_values_")


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

    With a `pca` nothing is fitted: equal embeddings get the vectors that they had, and the share of
    the variance is that of these embeddings on the earlier axes.

    The covariance is decomposed in float64 with a full eigensolver, which is exact, has no random part and fixes the
    signs (scikit-learn, `svd_solver="covariance_eigh"`). An item without title and image has the zero vector as its
    embedding; it takes no part in the fit and stays zero, which is the mean item in the centred space.

    Args:
        embeddings: (n, E) float32, finite.
        pca: the model of an earlier run, E -> D, that is used as it is.
        n_components: D, at most E and at most the number of items with an embedding.

    Raises:
        InputError: fewer items or a narrower embedding than components.
    """
    present = embeddings.any(axis=1)
    count, width = int(present.sum()), embeddings.shape[1]
    if count < n_components:
        raise InputError(
            f"PCA to {n_components} components needs at least {n_components} items with a title or an image, "
            f"found {count} of {len(embeddings)}; add items or lower reduce.n_components"
        )
    if width < n_components:
        raise InputError(
            f"PCA to {n_components} components needs embeddings at least that wide, the CLIP model gives {width}; "
            "use a wider model (embed.model) or lower reduce.n_components"
        )
    if pca is not None and pca.components_.shape != (n_components, width):
        raise InputError(
            f"the PCA of the earlier run must give {n_components} components from {width} dimensions, it gives "
            f'{pca.components_.shape[0]} from {pca.components_.shape[1]}; set reduce.pca = "refit"'
        )
    known = embeddings[present].astype(np.float64)
    vectors = np.zeros((len(embeddings), n_components), dtype=np.float32)
    if pca is None:
        pca = PCA(n_components=n_components, svd_solver="covariance_eigh")
        vectors[present] = pca.fit_transform(known)
        share = pca.explained_variance_ratio_.sum()
    else:
        vectors[present] = pca.transform(known)
        share = vectors[present].var(axis=0, dtype=np.float64).sum() / (known.var(axis=0).sum() or 1.0)
    return Reduction(vectors=vectors, pca=pca, explained_variance=float(share))


def save_pca(pca: PCA, path: Path) -> None:
    """Write the fitted arrays as an npz, without pickle."""
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, n_samples_=np.int64(pca.n_samples_), **{name: getattr(pca, name) for name in ARRAYS})


def load_pca(path: Path) -> PCA:
    """Read what `save_pca` wrote as a scikit-learn model that is ready to transform."""
    with np.load(path, allow_pickle=False) as arrays:
        components = arrays["components_"]
        pca = PCA(n_components=len(components), svd_solver="covariance_eigh")
        for name in ARRAYS:
            setattr(pca, name, arrays[name])
        pca.n_samples_ = int(arrays["n_samples_"])
    pca.n_components_, pca.n_features_in_ = components.shape
    residual = 1.0 - pca.explained_variance_ratio_.sum()
    spare = pca.n_features_in_ - pca.n_components_
    total = pca.explained_variance_[0] / pca.explained_variance_ratio_[0]
    pca.noise_variance_ = total * residual / spare if spare else 0.0
    return pca


def embedding_column(n_components: int) -> str:
    """Name of the embedding column in `item_emb_task1_clip.parquet`."""
    return f"item_emb_d{n_components}"


def write_item_embeddings(item_ids: pl.Series, vectors: npt.NDArray[np.float32], path: Path) -> None:
    """Write `item_id` i64 and `item_emb_d<D>` list[f32], the challenge's file for task 1."""
    column = pl.Series(embedding_column(vectors.shape[1]), vectors).cast(pl.List(pl.Float32))
    with replacing(path) as partial:
        pl.DataFrame([item_ids.cast(pl.Int64).alias("item_id"), column]).write_parquet(partial)

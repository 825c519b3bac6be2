"""Principal component analysis as a fitted model: fitted, put together of several, saved and loaded.

Legend: n items, E width of a vector, D components.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.linalg import block_diag
from sklearn.decomposition import PCA

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import replacing
from mmctr.common.text import first_line
from mmctr.embedding.space import Space

SPACE = "space"
FITTED = (
    "mean_",
    "components_",
    "explained_variance_",
    "explained_variance_ratio_",
    "singular_values_",
    "n_samples_",
)


def fit_pca(known: npt.NDArray[np.float64], *, n_components: int) -> PCA:
    """The model of (n, E) rows, all of which count, as `load_pca` returns it.

    It is scikit-learn's `covariance_eigh`. Nothing is random, and the largest entry of each component is positive.
    """
    pca = PCA(n_components, svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):
        pca.fit(known)
    if (known == known[0]).all():  # there is no variance: scikit-learn finds what rounding left, and shares that out
        pca.explained_variance_ = pca.explained_variance_ratio_ = pca.singular_values_ = np.zeros(n_components)
    return _fitted({name: getattr(pca, name) for name in FITTED})


def cut_pca(pca: PCA, *, columns: slice, rows: slice) -> PCA:
    """What a model does with some of the E numbers, where some of its D components are of these alone."""
    part = PCA(n_components=rows.stop - rows.start)
    part.mean_, part.components_ = pca.mean_[columns], pca.components_[rows, columns]
    part.whiten = False
    return part


def joined_pca(models: Sequence[PCA]) -> PCA:
    """One model of several, whose numbers lie side by side: a component is zero where it is not of its own model's."""
    total = sum(total_variance(model) for model in models)
    variances = np.concatenate([model.explained_variance_ for model in models])
    return _fitted(
        {
            "mean_": np.concatenate([model.mean_ for model in models]),
            "components_": block_diag(*(model.components_ for model in models)),
            "explained_variance_": variances,
            "explained_variance_ratio_": variances / (total or 1.0),
            "singular_values_": np.concatenate([model.singular_values_ for model in models]),
            "n_samples_": max(model.n_samples_ for model in models),
        }
    )


def total_variance(pca: PCA) -> float:
    """Of the rows that a model was fitted on."""
    return float(pca.explained_variance_[0] / (pca.explained_variance_ratio_[0] or 1.0))


def _fitted(attributes: Mapping[str, Any]) -> PCA:
    """A scikit-learn model with the attributes of FITTED, ready to transform."""
    pca = PCA(n_components=len(attributes["components_"]), svd_solver="covariance_eigh")
    for name in FITTED:
        setattr(pca, name, attributes[name])
    pca.n_components_, pca.n_features_in_ = pca.components_.shape
    share, spare = pca.explained_variance_ratio_, pca.n_features_in_ - pca.n_components_
    pca.noise_variance_ = max(0.0, total_variance(pca) * (1.0 - share.sum()) / spare) if spare else 0.0
    return pca


def save_pca(pca: PCA, path: Path, *, space: Space | None = None) -> None:
    """Write the fitted arrays, and the space of the vectors that they are of, as an npz, without pickle."""
    arrays = {name: getattr(pca, name) for name in FITTED}
    if space is not None:
        arrays[SPACE] = np.array(space.dumps())
    with replacing(path) as partial, partial.open("wb") as stream:
        np.savez(stream, **arrays)


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


def load_space(path: Path) -> Space | None:
    """The space that `save_pca` wrote; None where the file is of an earlier version, and does not say it.

    Raises:
        InputError: the file is damaged or holds something else.
    """
    load_pca(path)
    with np.load(path, allow_pickle=False) as arrays:
        return Space.loads(str(arrays[SPACE])) if SPACE in arrays else None


def embedding_column(n_components: int) -> str:
    """Name of the embedding column in `item_emb_task1_clip.parquet`."""
    return f"item_emb_d{n_components}"


def write_item_embeddings(item_ids: pl.Series, vectors: npt.NDArray[np.float32], path: Path) -> None:
    """Write `item_id` i64 or str and `item_emb_d<D>` list[f32], the challenge's file for task 1."""
    column = pl.Series(embedding_column(vectors.shape[1]), vectors).cast(pl.List(pl.Float32))
    with replacing(path) as partial:
        pl.DataFrame([item_ids.alias("item_id"), column]).write_parquet(partial)

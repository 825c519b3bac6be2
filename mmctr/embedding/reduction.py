"""Reduction of item vectors by PCA: one for the whole vector, or one for each part of it.

Legend: n items, E width of a vector, D components; a block is what one PCA is of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from mmctr.common.errors import InputError
from mmctr.embedding.options import Fit
from mmctr.embedding.pca import cut_pca, fit_pca, joined_pca, total_variance
from mmctr.embedding.vectors import Part


@dataclass(frozen=True)
class Reduction:
    """Reduced vectors and the fitted model.

    Attributes:
        vectors: (n, D) float32.
        pca: the fitted scikit-learn model, E -> D.
        explained_variance: share of the variance that the D components keep, 0..1.
        part_variances: the same of each part, by its name; empty where there is one part alone.
    """

    vectors: npt.NDArray[np.float32]
    pca: PCA
    explained_variance: float
    part_variances: Mapping[str, float]


@dataclass(frozen=True)
class _Block:
    """Some of the E numbers, the components that are made of them, and the parts in them."""

    name: str
    columns: slice
    rows: slice
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class _Reduced:
    """A block's model, and of each of its parts the variance that is kept and all of it."""

    model: PCA
    variances: list[tuple[float, float]]


def reduce_embeddings(
    embeddings: npt.NDArray[np.float32],
    *,
    n_components: int,
    pca: PCA | None = None,
    parts: Sequence[Part] = (),
    fit: Fit = "whole",
) -> Reduction:
    """Fit PCA on the items that have an embedding and project them.

    With a `pca` nothing is fitted: equal embeddings get the vectors that they had, and the share of the variance is
    that of these embeddings on the earlier axes.

    All of it is in float64. An item that has nothing to make a vector of has the zero vector as its embedding; it takes
    no part in the fit and stays zero, which is the mean item in the centred space. With `fit = "parts"` each part has a
    PCA of its own, fitted on the items that have the part, and equally many components, the first part those that are
    left over; where an item lacks a part it has zeros. The model is one all the same: see `joined_pca`.

    Args:
        embeddings: (n, E) float32, finite.
        pca: the model of an earlier run, E -> D, that is used as it is; of the same `fit`.
        n_components: D, at most E and at most the number of items with an embedding.
        parts: what lies side by side in an embedding; by default it is one.
        fit: one PCA for the `whole` embedding, or one for each of its `parts`.

    Raises:
        InputError: fewer items or a narrower embedding than components, also of a part.
    """
    parts = tuple(parts) or (Part("", embeddings.shape[1]),)
    blocks = _blocks(parts, n_components, fit=fit)
    if pca is not None:
        _check_earlier(pca, blocks, width=embeddings.shape[1])
    vectors = np.zeros((len(embeddings), n_components), dtype=np.float32)  # (n, D)
    # One thread: the bits do not depend on the number of cores, and cores that others use are not waited for.
    with threadpool_limits(1, user_api="blas"):
        reduced = [_reduce(embeddings, block, pca=pca, vectors=vectors) for block in blocks]
    models = [one.model for one in reduced]
    variances = [variance for one in reduced for variance in one.variances]
    shares = [kept / (whole or 1.0) for kept, whole in variances]
    kept, whole = (float(sum(column)) for column in zip(*variances, strict=True))
    return Reduction(
        vectors=vectors,
        pca=pca or (models[0] if len(models) == 1 else joined_pca(models)),
        explained_variance=kept / (whole or 1.0),
        part_variances={part.name: share for part, share in zip(parts, shares, strict=True) if len(parts) > 1},
    )


def _blocks(parts: tuple[Part, ...], n_components: int, *, fit: Fit) -> list[_Block]:
    ends = list(accumulate(part.width for part in parts))
    if fit == "whole" or len(parts) == 1:
        return [_Block("", slice(0, ends[-1]), slice(0, n_components), parts)]
    share, left_over = divmod(n_components, len(parts))
    if share == 0:
        raise InputError(
            f"each part needs a component of its own; there are {len(parts)} parts and "
            f"`n_components = {n_components}`; raise it, or use `fit = whole`"
        )
    rows = [0, *accumulate([share + left_over, *[share] * (len(parts) - 1)])]
    return [
        _Block(part.name, slice(end - part.width, end), slice(rows[number], rows[number + 1]), (part,))
        for number, (part, end) in enumerate(zip(parts, ends, strict=True))
    ]


def _reduce(
    embeddings: npt.NDArray[np.float32], block: _Block, *, pca: PCA | None, vectors: npt.NDArray[np.float32]
) -> _Reduced:
    """Fill a block's columns of `vectors`."""
    numbers = embeddings[:, block.columns]
    present = numbers.any(axis=1)  # (n,)
    components = block.rows.stop - block.rows.start
    _check_sizes(block, components, present=int(present.sum()), items=len(embeddings))
    known = numbers[present].astype(np.float64)
    model = (
        fit_pca(known, n_components=components) if pca is None else cut_pca(pca, columns=block.columns, rows=block.rows)
    )
    projected = model.transform(known)
    vectors[present, block.rows] = projected
    if pca is None and len(block.parts) == 1:
        total = total_variance(model)
        return _Reduced(model, [(float(model.explained_variance_ratio_.sum()) * total, total)])
    spread = np.cov(projected, rowvar=False, ddof=0).reshape(components, components)
    return _Reduced(model, [_variance(model, known, spread, columns) for columns in _columns_of(block.parts)])


def _columns_of(parts: Sequence[Part]) -> list[slice]:
    ends = accumulate(part.width for part in parts)
    return [slice(end - part.width, end) for part, end in zip(parts, ends, strict=True)]


def _variance(
    model: PCA, known: npt.NDArray[np.float64], spread: npt.NDArray[np.float64], columns: slice
) -> tuple[float, float]:
    """Of some numbers of (n, E) rows: the variance of what their components (D, E) say of them, and all of it.

    `spread` (D, D) is the covariance S of the rows' vectors, so the first is the trace of C' S C, of these columns.
    """
    inner = model.components_[:, columns]
    return float((spread * (inner @ inner.T)).sum()), float(known[:, columns].var(axis=0).sum())


def _check_sizes(block: _Block, components: int, *, present: int, items: int) -> None:
    of_part = f" of {block.name}" if block.name else ""
    width = block.columns.stop - block.columns.start
    if present < components:
        what = block.name or "a title or an image"
        raise InputError(
            f"PCA{of_part} to {components} components needs at least {components} items with {what}, "
            f"found {present} of {items}; add items or lower `n_components`"
        )
    if width < components:
        raise InputError(
            f"PCA{of_part} to {components} components needs embeddings at least that wide, these have {width}; "
            "use a wider CLIP model or lower `n_components`"
        )


def _check_earlier(pca: PCA, blocks: Sequence[_Block], *, width: int) -> None:
    """Refuse a model of other sizes, and one whose components are not those of the blocks."""
    n_components = blocks[-1].rows.stop
    if pca.components_.shape != (n_components, width):
        raise InputError(
            f"the earlier PCA must return {n_components} components from {width} dimensions, it returns "
            f"{pca.components_.shape[0]} from {pca.components_.shape[1]}; fit anew with `pca=None`"
        )
    inside = sum(np.square(pca.components_[block.rows, block.columns]).sum() for block in blocks)
    if not np.isclose(inside, np.square(pca.components_).sum()):
        raise InputError(
            "the earlier PCA must be of the same fit; it is of the whole vector, and `fit = parts` asks for one for "
            "each part; fit anew with `pca=None`, or use `fit = whole`"
        )

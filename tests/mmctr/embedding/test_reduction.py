"""PCA of the whole vector and of its parts."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from mmctr.common.errors import InputError
from mmctr.embedding.pca import load_pca, load_space, save_pca
from mmctr.embedding.reduction import reduce_embeddings
from mmctr.embedding.space import space_of_columns, space_of_model
from mmctr.embedding.vectors import Part

PARTS = (Part("title", 12), Part("image", 20))


@pytest.fixture(scope="module")
def embeddings() -> np.ndarray:
    """300 items: ten lack a title, ten an image, ten both."""
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(300, 32)) * np.geomspace(1, 0.1, 32) + 0.3).astype(np.float32)
    vectors[:10, :12] = 0
    vectors[10:20, 12:] = 0
    vectors[20:30] = 0
    return vectors


def test_each_part_has_a_pca_of_its_own_and_the_first_the_rest(embeddings: np.ndarray) -> None:
    made = reduce_embeddings(embeddings, n_components=7, parts=PARTS, fit="parts")
    without_title, without_image = [*range(10), *range(20, 30)], [*range(10, 30)]
    for name, columns, rows, lacking in (
        ("title", slice(0, 12), slice(0, 4), without_title),
        ("image", slice(12, 32), slice(4, 7), without_image),
    ):
        known = np.delete(embeddings[:, columns], lacking, axis=0).astype(np.float64)
        alone = reduce_embeddings(embeddings[:, columns], n_components=rows.stop - rows.start)
        np.testing.assert_array_equal(made.vectors[:, rows], alone.vectors)
        assert not made.vectors[lacking, rows].any()
        exact = PCA(rows.stop - rows.start, svd_solver="full").fit(known)
        np.testing.assert_allclose(np.abs(made.pca.components_[rows, columns]), np.abs(exact.components_), atol=1e-8)
        assert made.part_variances[name] == pytest.approx(exact.explained_variance_ratio_.sum())
    components = made.pca.components_
    np.testing.assert_allclose(components @ components.T, np.eye(7), atol=1e-12)
    assert not components[:4, 12:].any()
    assert not components[4:, :12].any()
    assert 0 < made.explained_variance < 1
    assert made.explained_variance == pytest.approx(made.pca.explained_variance_ratio_.sum())


def test_items_with_all_parts_are_where_the_one_model_puts_them(embeddings: np.ndarray) -> None:
    made = reduce_embeddings(embeddings, n_components=7, parts=PARTS, fit="parts")
    np.testing.assert_allclose(made.pca.transform(embeddings[30:].astype(np.float64)), made.vectors[30:], atol=1e-6)


def test_a_pca_of_parts_is_reused_as_it_is(embeddings: np.ndarray, tmp_path) -> None:
    made = reduce_embeddings(embeddings, n_components=7, parts=PARTS, fit="parts")
    save_pca(made.pca, tmp_path / "pca.npz")
    again = reduce_embeddings(embeddings, n_components=7, parts=PARTS, fit="parts", pca=load_pca(tmp_path / "pca.npz"))
    np.testing.assert_array_equal(again.vectors, made.vectors)
    assert again.part_variances == pytest.approx(made.part_variances)
    assert again.explained_variance == pytest.approx(made.explained_variance)
    new = reduce_embeddings(embeddings[40:60], n_components=7, parts=PARTS, fit="parts", pca=made.pca)
    np.testing.assert_allclose(new.vectors, made.vectors[40:60], atol=1e-6)


def test_one_pca_says_what_it_keeps_of_each_part(embeddings: np.ndarray) -> None:
    known = embeddings[30:]
    made = reduce_embeddings(known, n_components=6, parts=PARTS)
    exact = PCA(6, svd_solver="full").fit(known.astype(np.float64))
    kept = exact.inverse_transform(exact.transform(known.astype(np.float64)))
    for part, columns in zip(PARTS, (slice(0, 12), slice(12, 32)), strict=True):
        share = kept[:, columns].var(axis=0).sum() / known[:, columns].astype(np.float64).var(axis=0).sum()
        assert made.part_variances[part.name] == pytest.approx(share, rel=1e-6)
    assert made.explained_variance == pytest.approx(exact.explained_variance_ratio_.sum())
    assert reduce_embeddings(known, n_components=6).part_variances == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_components": 26}, r"PCA of title to 13 components needs embeddings at least that wide, these have 12"),
        ({"n_components": 1}, r"there are 2 parts and `n_components = 1`; raise it, or use `fit = whole`"),
        ({"rows": 34}, r"PCA of title to 5 components needs at least 5 items with title, found 4 of 34"),
    ],
)
def test_a_part_that_is_too_little_is_named(embeddings: np.ndarray, change: dict[str, int], words: str) -> None:
    rows = np.concatenate([embeddings[:30], embeddings[30:]])[: change.get("rows", 300)]
    rows = rows if "rows" not in change else np.where(np.arange(34)[:, None] < 20, rows * ([0] * 12 + [1] * 20), rows)
    with pytest.raises(InputError, match=words):
        reduce_embeddings(rows.astype(np.float32), n_components=change.get("n_components", 9), parts=PARTS, fit="parts")


def test_a_pca_of_the_whole_is_none_of_parts(embeddings: np.ndarray) -> None:
    whole = reduce_embeddings(embeddings, n_components=7, parts=PARTS).pca
    with pytest.raises(InputError, match="it is of the whole vector, and `fit = parts` asks for one for each part"):
        reduce_embeddings(embeddings, n_components=7, parts=PARTS, fit="parts", pca=whole)


SPACES = [
    space_of_model("", "a" * 64, fuse="mean"),
    space_of_model("", "b" * 64, fuse="mean"),
    space_of_model("", "a" * 64, fuse="concat"),
    space_of_model("open_clip:ViT-B-32", "a" * 64, fuse="mean"),
    space_of_model("", "ViT-B/32", fuse="mean"),
    space_of_columns(["x", "y"], fuse="concat"),
    space_of_columns(["y", "x"], fuse="concat"),
    space_of_columns(["x", "y"], fuse="mean"),
    space_of_columns(["x, y"], fuse="concat"),
    replace(space_of_columns(["x", "y"], fuse="concat"), fit="parts"),
]


def test_spaces_are_told_apart_and_kept_with_the_pca(embeddings: np.ndarray, tmp_path) -> None:
    pca = reduce_embeddings(embeddings, n_components=3).pca
    for space in SPACES:
        save_pca(pca, tmp_path / "pca.npz", space=space)
        kept = load_space(tmp_path / "pca.npz")
        assert [other for other in SPACES if kept == other] == [space]
    save_pca(pca, tmp_path / "pca.npz")
    assert load_space(tmp_path / "pca.npz") is None
    with pytest.raises(InputError, match="damaged or no such file"):
        load_space(tmp_path / "absent.npz")

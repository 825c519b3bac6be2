import numpy as np
import polars as pl
import pytest
import scipy.linalg
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_info, threadpool_limits

from mmctr.common.errors import InputError
from mmctr.embedding.pca import load_pca, save_pca, write_item_embeddings
from mmctr.embedding.reduction import reduce_embeddings


@pytest.fixture(scope="module")
def embeddings():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(300, 40)) @ np.diag(np.linspace(2, 0.1, 40))).astype(np.float32)


def test_components_are_orthonormal_and_equal_those_of_the_svd(embeddings):
    reduction = reduce_embeddings(embeddings, n_components=10)
    components = reduction.pca.components_
    assert np.allclose(components @ components.T, np.eye(10), atol=1e-12)
    centred = embeddings.astype(np.float64) - embeddings.astype(np.float64).mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(np.diag(components @ right[:10].T)), 1, atol=1e-9)
    share = (singular[:10] ** 2).sum() / (singular**2).sum()
    assert reduction.explained_variance == pytest.approx(share, abs=1e-7)
    assert reduction.pca.noise_variance_ == pytest.approx((singular[10:] ** 2).mean() / 299, rel=1e-6)
    assert np.allclose(np.abs(reduction.vectors), np.abs(centred @ right[:10].T), atol=1e-5)


@pytest.mark.parametrize("mean", [0.0, 30.0], ids=["centred", "far from the origin"])
def test_the_subspace_of_many_rows_is_that_of_float64(mean):
    rng = np.random.default_rng(2)
    many = (rng.normal(size=(20_000, 48)) * np.geomspace(1, 0.02, 48) + mean).astype(np.float32)
    exact = PCA(16, svd_solver="full").fit(many.astype(np.float64))
    made = reduce_embeddings(many, n_components=16)
    assert scipy.linalg.subspace_angles(made.pca.components_.T, exact.components_.T).max() < 1e-9
    assert (made.pca.components_[range(16), np.abs(made.pca.components_).argmax(axis=1)] > 0).all()
    assert np.allclose(made.pca.mean_, exact.mean_, rtol=1e-12, atol=1e-12)
    assert np.allclose(made.pca.explained_variance_, exact.explained_variance_, rtol=1e-9)
    assert np.allclose(made.pca.singular_values_, exact.singular_values_, rtol=1e-9)
    # in float32 the mean of 30 costs three digits or more
    assert np.allclose(np.abs(made.vectors), np.abs(exact.transform(many.astype(np.float64))), atol=1e-6 * (1 + mean))


def test_products_are_of_one_thread_so_that_the_number_of_cores_changes_no_bit(embeddings, monkeypatch):
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    def spied(original):
        def spy(self, rows):
            used.append(threads())
            return original(self, rows)

        return spy

    used = []
    for name in ("fit", "transform"):
        monkeypatch.setattr(PCA, name, spied(getattr(PCA, name)))
    with threadpool_limits(2, user_api="blas"):
        before = threads()
        reduce_embeddings(embeddings, n_components=10)
        assert threads() == before
    assert used == [{1}, {1}]


def test_fewer_dimensions_than_components_leave_the_rest_without_variance(embeddings):
    rank = 4
    flat = (embeddings[:, :rank] @ np.eye(rank, 40, dtype=np.float32)) + np.float32(0.5)
    reduction = reduce_embeddings(flat, n_components=10)
    components = reduction.pca.components_
    assert np.allclose(components @ components.T, np.eye(10), atol=1e-12)
    assert reduction.explained_variance == pytest.approx(1, abs=1e-9)
    assert (reduction.pca.explained_variance_ >= 0).all()
    assert np.abs(reduction.vectors[:, rank:]).max() < 1e-5


@pytest.mark.parametrize(("value", "count"), [(0.3, 50), (0.123, 1000)])  # a mean that rounding spares, and not
def test_equal_rows_have_no_variance_and_all_lie_at_zero(value, count):
    reduction = reduce_embeddings(np.full((count, 20), value, dtype=np.float32), n_components=5)
    assert reduction.explained_variance == 0
    assert np.abs(reduction.vectors).max() < 1e-6
    assert reduction.pca.noise_variance_ == 0


def test_order_of_items_does_not_change_their_vectors(embeddings):
    order = np.random.default_rng(1).permutation(len(embeddings))
    straight = reduce_embeddings(embeddings, n_components=10).vectors
    shuffled = reduce_embeddings(embeddings[order], n_components=10).vectors
    assert np.allclose(straight[order], shuffled, atol=2e-5)


def test_items_without_embedding_stay_zero_and_move_nothing(embeddings):
    with_gaps = np.vstack([embeddings, np.zeros((5, 40), dtype=np.float32)])
    reduction = reduce_embeddings(with_gaps, n_components=10)
    assert not reduction.vectors[300:].any()
    assert np.array_equal(reduction.vectors[:300], reduce_embeddings(embeddings, n_components=10).vectors)


def test_the_same_input_gives_the_same_bits(embeddings):
    first, second = (reduce_embeddings(embeddings, n_components=10).vectors for _ in range(2))
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("shape", "found"), [((9, 40), "found 9 of 9"), ((300, 6), "these have 6")], ids=["few", "narrow"]
)
def test_too_little_says_rule_value_and_remedy(shape, found):
    with pytest.raises(InputError, match="PCA to 10 components needs") as error:
        reduce_embeddings(np.ones(shape, dtype=np.float32), n_components=10)
    assert found in str(error.value)
    assert "lower `n_components`" in str(error.value)


def test_saved_model_transforms_and_inverts_as_the_fitted_one(embeddings, tmp_path):
    fitted = reduce_embeddings(embeddings, n_components=10).pca
    save_pca(fitted, tmp_path / "pca.npz")
    loaded = load_pca(tmp_path / "pca.npz")
    assert np.array_equal(loaded.transform(embeddings), fitted.transform(embeddings))
    assert np.array_equal(loaded.get_covariance(), fitted.get_covariance())


def test_written_file_has_the_challenges_columns(tmp_path):
    write_item_embeddings(pl.Series([3, 1]), np.ones((2, 128), dtype=np.float32), tmp_path / "e.parquet")
    frame = pl.read_parquet(tmp_path / "e.parquet")
    assert frame.schema == {"item_id": pl.Int64, "item_emb_d128": pl.List(pl.Float32)}
    assert frame["item_emb_d128"].list.len().to_list() == [128, 128]

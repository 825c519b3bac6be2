"""The demo data set: the challenge's schema, the world's statistics, and a signal that is in the content alone."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import rarfile
import rars
import torch
from demo_size import DEMO_ITEMS, DEMO_USERS
from PIL import Image

from mmctr.common.errors import InputError
from mmctr.demo.clicks import draw_rows, history_lengths
from mmctr.demo.covers import SCENES, draw_cover
from mmctr.demo.topics import TOPICS
from mmctr.demo.world import make_world
from mmctr.demo.worlds import WORLDS
from mmctr.demo.write import files_of, is_demo, write_demo

ITEMS, USERS, EVALUATION_USERS = DEMO_ITEMS, DEMO_USERS, 200
CLICK_SCHEMA = {
    "user_id": pl.Int64,
    "item_seq": pl.Array(pl.Int64, 64),
    "item_id": pl.Int64,
    "likes_level": pl.Int64,
    "views_level": pl.Int64,
    "label": pl.Int64,
}


@pytest.fixture(scope="module")
def demo(demo_original: Path) -> Path:
    """The one that all tests share, as nothing here changes it."""
    return demo_original


@pytest.fixture(scope="module")
def items(demo: Path) -> pl.DataFrame:
    return pl.read_parquet(demo / "item_feature.parquet")


@pytest.fixture(scope="module")
def train(demo: Path) -> pl.DataFrame:
    return pl.read_parquet(demo / "MicroLens_1M_x1/train.parquet")


@pytest.fixture(scope="module")
def valid(demo: Path) -> pl.DataFrame:
    return pl.read_parquet(demo / "MicroLens_1M_x1/valid.parquet")


@pytest.fixture(scope="module")
def test_rows(demo: Path) -> pl.DataFrame:
    """Test with its labels and the cold flag joined in."""
    rows = pl.read_parquet(demo / "MicroLens_1M_x1/test.parquet")
    return rows.join(pl.read_parquet(demo / "demo_truth.parquet"), on="ID", validate="1:1", maintain_order="left")


@dataclass(frozen=True)
class Covers:
    images: dict[int, Image.Image]  # those that decode whole, by item id
    broken: set[int]


@pytest.fixture(scope="module")
def covers(demo: Path) -> Covers:
    archive = rars.RarFile(str(demo / "item_images_2.rar"))
    names = archive.namelist()
    found = Covers({}, set())
    for name, content in zip(names, archive.read_many(names), strict=True):
        item_id = int(Path(name).stem)
        try:
            found.images[item_id] = Image.open(io.BytesIO(content)).convert("RGB")
        except OSError:
            found.broken.add(item_id)
    return found


@pytest.fixture(scope="module")
def embedding(demo: Path, items: pl.DataFrame, covers: Covers) -> np.ndarray:
    """Row = item id; the normalised mean of both normalised CLIP embeddings, row 0 zero. float32 (I + 1, E)."""
    import clip  # not at the top: the module under test imports it first, behind its filter of a warning

    with warnings.catch_warnings():  # clip.load tries TorchScript first; here, since the fixture serves several tests
        warnings.filterwarnings("ignore", message="`torch.jit.load` is", category=FutureWarning)
        model, preprocess = clip.load(str(demo / "tiny_clip.pt"), device="cpu")
    summed = torch.zeros(ITEMS + 1, model.text_projection.shape[1])
    with torch.no_grad():
        titled = items.filter(pl.col("item_title").str.len_chars() > 0)
        text = model.encode_text(clip.tokenize(titled["item_title"].to_list(), truncate=True))
        summed[titled["item_id"].to_list()] += torch.nn.functional.normalize(text, dim=-1)
        image = model.encode_image(torch.stack([preprocess(image) for image in covers.images.values()]))
        summed[list(covers.images)] += torch.nn.functional.normalize(image, dim=-1)
    return torch.nn.functional.normalize(summed, dim=-1).numpy()


def auc(label: np.ndarray, value: np.ndarray) -> float:
    """By counting pairs; a tie counts half."""
    gap = value[label == 1][:, None] - value[label == 0][None, :]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def similarity_to_history(rows: pl.DataFrame, embedding: np.ndarray) -> np.ndarray:
    """The largest cosine between a row's target and its history."""
    history, target = rows["item_seq"].to_numpy(), rows["item_id"].to_numpy()
    cosine = np.einsum("rle,re->rl", embedding[history], embedding[target])
    return np.where(history > 0, cosine, -1).max(axis=1)


def test_schema_of_the_items(demo: Path, items: pl.DataFrame) -> None:
    assert dict(items.schema) == {
        "item_id": pl.Int64,
        "item_title": pl.String,
        "item_tags": pl.List(pl.Int64),
        "likes_level": pl.Int64,
        "views_level": pl.Int64,
        "txt_emb_BERT": pl.Array(pl.Float32, 768),
        "img_emb_CLIPRN50": pl.Array(pl.Float32, 1024),
    }
    assert items["item_id"].to_list() == list(range(1, ITEMS + 1))
    assert items["item_tags"].list.len().min() == 0
    assert items["item_tags"].null_count() == 0
    for level in ("likes_level", "views_level"):
        assert items[level].unique().sort().to_list() == list(range(1, 11))
    topics = pl.read_parquet(demo / "item_topics.parquet")
    assert topics["item_id"].to_list() == items["item_id"].to_list()
    assert topics["topic"].value_counts()["count"].max() <= ITEMS // len(TOPICS) + 1


def test_schema_of_the_clicks(demo: Path, train: pl.DataFrame, valid: pl.DataFrame) -> None:
    test = pl.read_parquet(demo / "MicroLens_1M_x1/test.parquet")
    assert list(train.schema.items()) == list(CLICK_SCHEMA.items())
    assert valid.schema == train.schema
    without_label = [column for column in CLICK_SCHEMA.items() if column[0] != "label"]
    assert list(test.schema.items()) == [("ID", pl.Int64), *without_label]
    truth = pl.read_parquet(demo / "demo_truth.parquet")
    assert dict(truth.schema) == {"ID": pl.Int64, "label": pl.Int64, "cold": pl.Boolean}
    assert truth["ID"].to_list() == test["ID"].to_list() == list(range(4 * EVALUATION_USERS))


def test_rows_of_a_user(train: pl.DataFrame, valid: pl.DataFrame, test_rows: pl.DataFrame, items: pl.DataFrame) -> None:
    seen: set[int] = set()
    for rows, users in ((train, USERS), (valid, EVALUATION_USERS), (test_rows, EVALUATION_USERS)):
        of_user = rows.group_by("user_id").agg(
            pl.len(), pl.col("label").sum(), pl.col("item_id").n_unique(), pl.col("item_seq").n_unique()
        )
        assert len(of_user) == users
        assert of_user.select("len", "label", "item_id", "item_seq").unique().rows() == [(4, 1, 4, 1)]
        assert not seen & set(of_user["user_id"])
        seen |= set(of_user["user_id"])
        assert (rows["item_id"].to_numpy()[:, None] != rows["item_seq"].to_numpy()).all()
        assert rows["item_id"].is_between(1, ITEMS).all()
        # Shuffled: neither by user nor by label.
        assert rows["user_id"].to_list() != sorted(rows["user_id"])
        assert 0.15 < rows["label"].head(200).mean() < 0.35
        levels = rows.join(items.select("item_id", "likes_level", "views_level"), on="item_id", validate="m:1")
        assert (levels["likes_level"] == levels["likes_level_right"]).all()
        assert (levels["views_level"] == levels["views_level_right"]).all()


def test_histories_are_padded_on_the_left(train: pl.DataFrame, valid: pl.DataFrame, test_rows: pl.DataFrame) -> None:
    for rows in (train, valid, test_rows):
        history = rows["item_seq"].to_numpy()
        real = history > 0
        assert (np.diff(real.astype(int), axis=1) >= 0).all()  # zeros, then items
        assert history.max() <= ITEMS
        assert all(len(set(row[row > 0].tolist())) == (row > 0).sum() for row in history)
        lengths = real.sum(axis=1)
        assert lengths.min() == 3
        assert np.percentile(lengths, [25, 50, 75]).tolist() == [4, 6, 9]
    assert (train["item_seq"].to_numpy() > 0).sum(axis=1).max() == 64


@pytest.mark.parametrize("users", [200, 1200, 12000])
def test_history_lengths_keep_their_shape(users: int) -> None:
    lengths = history_lengths(users, rng=np.random.default_rng(users))
    assert lengths.shape == (users,)
    assert lengths.min() == 3
    assert np.percentile(lengths, [25, 50, 75]).tolist() == [4, 6, 9]
    assert 7 < lengths.mean() < 9
    assert lengths.max() <= 64


def test_cold_targets(train: pl.DataFrame, valid: pl.DataFrame, test_rows: pl.DataFrame) -> None:
    warm = set(train["item_id"])
    assert test_rows["cold"].to_list() == [item not in warm for item in test_rows["item_id"]]
    for label in (0, 1):
        assert 0.05 < test_rows.filter(pl.col("label") == label)["cold"].mean() < 0.35
    assert (~valid["item_id"].is_in(list(warm))).mean() > 0.05


def test_popularity_is_skewed_and_levels_do_not_leak(
    train: pl.DataFrame, valid: pl.DataFrame, test_rows: pl.DataFrame
) -> None:
    counts = train["item_id"].value_counts(sort=True)["count"]
    assert counts.head(ITEMS // 10).sum() > 0.3 * len(train)
    for rows in (train, valid, test_rows):
        label, likes, views = (rows[name].to_numpy() for name in ("label", "likes_level", "views_level"))
        for level in (likes, views, likes + views):
            assert 0.4 < auc(label, level.astype(float)) < 0.6


def test_archive_lists_the_covers(demo: Path, items: pl.DataFrame, covers: Covers) -> None:
    with rarfile.RarFile(demo / "item_images_2.rar") as archive:
        names = [member.filename for member in archive.infolist()]
        assert not archive.needs_password()
    ids = [int(Path(name).stem) for name in names]
    assert names == [f"item_images/item_images/{item_id}.jpg" for item_id in ids]
    assert len(set(ids)) == len(ids)
    missing = set(items["item_id"]) - set(ids)
    assert 4 <= len(missing) <= ITEMS // 20
    assert 3 <= len(covers.broken) <= ITEMS // 20
    for image in covers.images.values():
        assert 160 <= image.width <= 320
        assert image.height == round(image.width * 9 / 16)
        assert image.mode == "RGB"


def test_odd_items(items: pl.DataFrame, covers: Covers) -> None:
    titles = dict(items.select("item_id", "item_title").rows())
    untitled = {item_id for item_id, title in titles.items() if not title}
    assert {titles[item_id] for item_id in untitled} == {None, ""}
    assert untitled - set(covers.images) - covers.broken  # at least one without either
    assert max(len(title.split()) for title in titles.values() if title) > 200
    text = "".join(title for title in titles.values() if title)
    assert any("一" <= letter <= "鿿" for letter in text)  # Chinese
    assert any("ء" <= letter <= "ي" for letter in text)  # Arabic
    assert any(letter > "\U0001f300" for letter in text)  # emoji


def test_tiny_clip_knows_the_topics(demo: Path, embedding: np.ndarray) -> None:
    topic = pl.read_parquet(demo / "item_topics.parquet")["topic"].to_numpy()
    cosine = embedding[1:] @ embedding[1:].T
    np.fill_diagonal(cosine, -2)
    shared = (topic[cosine.argmax(axis=1)] == topic).mean()
    by_chance = float(((np.bincount(topic) / ITEMS) ** 2).sum())
    assert shared > 3 * by_chance
    assert shared > 0.6
    assert embedding.shape[1] >= 128


@pytest.mark.parametrize("only_cold", [False, True])
def test_the_signal_is_in_the_content(test_rows: pl.DataFrame, embedding: np.ndarray, only_cold: bool) -> None:
    rows = test_rows.filter(pl.col("cold") | (not only_cold))
    label = rows["label"].to_numpy()
    assert auc(label, similarity_to_history(rows, embedding)) > 0.8
    rng = np.random.default_rng(0)
    shuffled = []
    for _ in range(20):
        order = np.concatenate([[0], 1 + rng.permutation(ITEMS)])
        shuffled.append(auc(label, similarity_to_history(rows, embedding[order])))
    assert 0.45 < np.mean(shuffled) < 0.55


def test_same_seed_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmctr.demo.write.TRAINING_PAIRS", 0)
    monkeypatch.setattr("mmctr.demo.tiny_clip.EPOCHS", 1)
    random_state = torch.get_rng_state()
    for name, seed in {"first": 3, "again": 3, "other": 4}.items():
        write_demo(tmp_path / name, items=150, users=50, seed=seed, progress=False)
    assert torch.equal(torch.get_rng_state(), random_state)

    def digests(folder: Path) -> dict[str, str]:
        found = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}

    first, again, other = (digests(tmp_path / name) for name in ("first", "again", "other"))
    assert again == first
    assert set(first) == set(files_of("content"))
    assert {name for name, digest in first.items() if other[name] == digest} == {"mmctr.toml"}


def test_another_seed_another_world() -> None:
    demand = WORLDS["content"].demand
    first, second = (make_world(items=150, demand=demand, rng=np.random.default_rng(seed)) for seed in (0, 1))
    assert first.titles != second.titles
    weights, _ = WORLDS["content"].weights(first, np.random.default_rng(0))
    rows = draw_rows(first, first_user=1, users=50, weights=weights, rng=np.random.default_rng(0))
    assert not first.cold[rows.item_id - 1].any()


def test_every_topic_has_its_scene() -> None:
    assert {topic.scene for topic in TOPICS} == set(SCENES)
    assert len(TOPICS) == len(SCENES) == 24
    for scene in SCENES:
        cover = np.asarray(draw_cover(scene, rng=np.random.default_rng(0)), dtype=float)
        assert cover.std() > 15, f"the cover of {scene} is almost plain"


def test_a_whole_demo_is_known(demo: Path, tmp_path: Path) -> None:
    assert is_demo(demo)
    assert not is_demo(tmp_path)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [({"items": 149, "users": 600}, "at least 150 items.*149"), ({"items": 300, "users": 49}, "at least 50 users.*49")],
)
def test_too_small(tmp_path: Path, numbers: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        write_demo(tmp_path / "demo", **numbers)
    assert not list(tmp_path.iterdir())


def test_a_full_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(InputError, match="new or an empty folder"):
        write_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]

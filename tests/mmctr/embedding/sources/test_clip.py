"""Items and their images in, one vector per item out: the rules, the resuming, the hostile files."""

import dataclasses
import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip_models import configure, save_weights
from tiny_clip import picture, save_tiny_clip

import mmctr.encoders.clip
from mmctr.common.errors import InputError
from mmctr.embedding import report as embedding_report
from mmctr.embedding.options import EmbedOptions
from mmctr.embedding.report import EmbedReport
from mmctr.embedding.sources.clip import embed_items
from mmctr.embedding.store import VectorShards
from mmctr.embedding.vectors import ItemVectors
from mmctr.encoders.clip import ClipEncoder
from mmctr.images.preprocess import View, preprocess_image

pytest_plugins = ["clip_fixtures"]
pytestmark = pytest.mark.usefixtures("one_thread")

COUNT = 23
SHARD, BATCH = 8, 4


class World:
    """Items and images in a folder, and a count of what the encoder is asked for."""

    def __init__(self, folder: Path, checkpoint: Path) -> None:
        self.folder, self.checkpoint = folder, checkpoint
        self.titles: dict[int, str | None] = {}
        self.images: dict[int, bytes] = {}
        self.asked_titles: list[str] = []
        self.asked_images = 0

    def frames(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        (self.folder / "images").mkdir(exist_ok=True)
        for item_id, content in self.images.items():
            (self.folder / "images" / f"{item_id}.jpg").write_bytes(content)
        items = pl.DataFrame(
            {"item_id": list(self.titles), "title": list(self.titles.values()), "image": list(map(str, self.titles))},
            schema={"item_id": pl.Int64, "title": pl.String, "image": pl.String},
        )
        images = pl.DataFrame(
            [(str(i), f"{i}.jpg", hashlib.sha256(content).hexdigest()) for i, content in self.images.items()],
            schema={"image": pl.String, "file_name": pl.String, "sha256": pl.String},
            orient="row",
        )
        return items, images

    def embed(self, shards: str = "shards", **options: object) -> tuple[pl.DataFrame, EmbedReport]:
        items, images = options.pop("frames", None) or self.frames()
        others = ("progress", "on_progress", "image_code", "fuse")
        shown = {name: options.pop(name) for name in others if name in options}
        settings = {"workers": 0, "shard_size": SHARD, "batch_size": BATCH, "token_batch": 8 * BATCH} | options
        made, report = embed_items(
            items,
            images,
            images_folder=self.folder / "images",
            model=str(self.checkpoint),
            device="cpu",
            shards=self.folder / shards,
            options=EmbedOptions(**settings),
            **shown,
        )
        return frame_of(made), report


def frame_of(made: ItemVectors) -> pl.DataFrame:
    """Vectors as a table; without items they have a width all the same."""
    column = pl.Series("embedding", made.vectors, dtype=pl.Array(pl.Float32, made.vectors.shape[1]))
    return pl.DataFrame([made.item_ids, column])


@pytest.fixture
def world(tmp_path: Path, checkpoint: Path, encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch) -> World:
    """23 items with different titles and images; the encoder is loaded once and its work is noted down."""
    world = World(tmp_path, checkpoint)
    world.titles = {item_id: f"title {item_id} " + "word " * (item_id % 5) for item_id in range(1, COUNT + 1)}
    world.images = {item_id: jpeg(item_id) for item_id in range(1, COUNT + 1)}

    class Counting:
        embed_dim, pixels = encoder.embed_dim, encoder.pixels

        def encode_titles(self, titles: list[str], *, token_batch: int) -> np.ndarray:
            world.asked_titles += titles
            return encoder.encode_titles(titles, token_batch=token_batch)

        def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
            world.asked_images += len(pixels)
            return encoder.encode_images(pixels)

    monkeypatch.setattr(mmctr.encoders.clip, "load_clip", lambda model, **_: Counting())
    return world


def jpeg(seed: int) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, "JPEG")
    return stream.getvalue()


def vectors(frame: pl.DataFrame) -> np.ndarray:
    return frame["embedding"].to_numpy()


def test_an_item_is_the_mean_of_its_two_unit_vectors(world: World, encoder: ClipEncoder) -> None:
    frame, report = world.embed()
    assert frame.schema == {"item_id": pl.Int64, "embedding": pl.Array(pl.Float32, 128)}
    assert frame["item_id"].to_list() == list(range(1, COUNT + 1))
    for item_id, found in frame.iter_rows():
        text = encoder.encode_titles([world.titles[item_id].strip()])[0]
        image = encoder.encode_images(torch.from_numpy(preprocess_image(world.images[item_id], View(32)))[None])[0]
        np.testing.assert_allclose([np.linalg.norm(text), np.linalg.norm(image)], 1, atol=1e-5)
        np.testing.assert_allclose(found, (text + image) / 2, atol=1e-5)
    assert report.with_both == report.items == report.embedded_titles == report.embedded_images == COUNT
    assert report.reused_titles == report.reused_images == 0


def test_one_side_alone_or_none(world: World, encoder: ClipEncoder) -> None:
    world.titles = {1: "both", 2: "title only", 3: None, 4: "  \t\n", 5: "", 6: "unreadable image", 7: None}
    world.images = {1: jpeg(1), 3: jpeg(3), 4: jpeg(4), 6: b"<html>", 7: b"", 99: jpeg(99)}
    frame, report = world.embed(max_failure_share=1.0)
    found = dict(zip(frame["item_id"], vectors(frame), strict=True))
    np.testing.assert_allclose(found[2], encoder.encode_titles(["title only"])[0], atol=1e-5)
    np.testing.assert_allclose(found[6], encoder.encode_titles(["unreadable image"])[0], atol=1e-5)
    for item_id in (3, 4):
        image = encoder.encode_images(torch.from_numpy(preprocess_image(world.images[item_id], View(32)))[None])[0]
        np.testing.assert_allclose(found[item_id], image, atol=1e-5)
    assert not found[5].any()
    assert not found[7].any()
    assert dataclasses.asdict(report) == {
        "items": 7,
        "with_both": 1,
        "title_only": 2,
        "image_only": 2,
        "neither": 2,
        "missing_titles": 4,
        "missing_images": 2,
        "unusable_titles": 0,
        "unknown_images": 1,
        "unknown_image_names": ("99",),
        "ambiguous_images": 0,
        "ambiguous_image_names": (),
        "unreadable_image_count": 2,
        "unreadable_images": ((6, "6.jpg", "not an image in a known format"), (7, "7.jpg", "empty file")),
        "embedded_titles": 3,
        "reused_titles": 0,
        "embedded_images": 5,
        "reused_images": 0,
    }


def test_the_order_of_the_rows_changes_nothing(world: World) -> None:
    expected, _ = world.embed()
    items, images = world.frames()
    shuffled = (items.sample(fraction=1, shuffle=True, seed=1), images.sample(fraction=1, shuffle=True, seed=2))
    found, _ = world.embed("others", frames=shuffled)
    assert found.equals(expected)


def test_workers_change_nothing(world: World) -> None:
    expected, _ = world.embed()
    found, _ = world.embed("others", workers=2)
    assert found.equals(expected)


def test_equal_contents_are_embedded_once(world: World) -> None:
    world.titles = {item_id: "the same " * (item_id % 2 + 1) for item_id in range(1, 11)}
    world.images = dict.fromkeys(range(1, 11), jpeg(0)) | {11: b"no item"}
    frame, report = world.embed()
    assert world.asked_titles == ["the same the same", "the same"]
    assert world.asked_images == 1
    assert (report.embedded_titles, report.embedded_images, report.with_both) == (2, 1, 10)
    assert len(np.unique(vectors(frame), axis=0)) == 2


def test_a_second_run_needs_no_model(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.images[5] = b"<html>"
    expected, first = world.embed()
    monkeypatch.setattr(mmctr.encoders.clip, "load_clip", lambda *_, **__: pytest.fail("the model was loaded"))
    found, second = world.embed()
    assert found.equals(expected)
    assert second.unreadable_images == first.unreadable_images == ((5, "5.jpg", "not an image in a known format"),)
    assert (second.reused_titles, second.reused_images) == (COUNT, COUNT)
    assert (second.embedded_titles, second.embedded_images) == (0, 0)


def test_a_second_run_imports_no_torch(world: World) -> None:
    expected, _ = world.embed()
    items, images = world.frames()
    items.write_parquet(world.folder / "items.parquet")
    images.write_parquet(world.folder / "table.parquet")
    program = f"""
import sys, polars as pl
from pathlib import Path
from mmctr.embedding.sources.clip import embed_items
folder = Path({str(world.folder)!r})
made, _ = embed_items(pl.read_parquet(folder / "items.parquet"), pl.read_parquet(folder / "table.parquet"),
    images_folder=folder / "images", model={str(world.checkpoint)!r}, device="cpu", shards=folder / "shards")
pl.DataFrame([made.item_ids, pl.Series("embedding", made.vectors)]).write_parquet(folder / "found.parquet")
assert "torch" not in sys.modules
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    assert pl.read_parquet(world.folder / "found.parquet").equals(expected)


def test_new_items_embed_only_what_is_new(world: World) -> None:
    before, _ = world.embed()
    world.titles[COUNT + 1] = "a new title"
    world.images[COUNT + 1] = jpeg(1000)
    world.asked_titles, world.asked_images = [], 0
    after, report = world.embed()
    assert (world.asked_titles, world.asked_images) == (["a new title"], 1)
    assert (report.embedded_images, report.reused_images) == (1, COUNT)
    assert after.head(COUNT).equals(before)


class CutError(Exception):
    pass


@pytest.mark.parametrize("kept", range(6))
def test_an_interrupted_run_goes_on_and_gives_the_same_bits(
    world: World, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three shards of titles, then three of images; the run dies while it writes the one after `kept`."""
    world.images[10] = b"<html>"
    expected, _ = world.embed("whole")
    append, written = VectorShards.append, []

    def append_or_die(self: VectorShards, keys: list[str], *arguments: object, **options: object) -> None:
        if len(written) == kept:
            raise CutError
        append(self, keys, *arguments, **options)
        written.append(len(keys))

    monkeypatch.setattr(VectorShards, "append", append_or_die)
    with pytest.raises(CutError):
        world.embed("cut")
    monkeypatch.setattr(VectorShards, "append", append)
    world.asked_titles, world.asked_images = [], 0
    found, report = world.embed("cut")
    assert found.equals(expected)
    assert vectors(found).tobytes() == vectors(expected).tobytes()
    assert report.reused_titles == sum(written[:3])
    assert report.reused_images == sum(written[3:])
    assert len(world.asked_titles) == COUNT - sum(written[:3])
    assert world.asked_images == COUNT - sum(written[3:]) - (kept < 5)  # number 10 is unreadable, in the second shard


def test_a_damaged_shard_is_computed_again_to_the_same_bits(world: World) -> None:
    expected, _ = world.embed()
    for shard in (world.folder / "shards").glob("*/*/000001.npz"):
        shard.write_bytes(shard.read_bytes()[:-1])
    found, report = world.embed()
    assert found.equals(expected)
    assert (report.embedded_titles, report.embedded_images) == (SHARD, SHARD)


def test_vectors_of_another_model_or_limit_are_not_reused(world: World, tmp_path: Path) -> None:
    world.embed()
    _, report = world.embed(max_pixels=10**6)
    assert (report.reused_titles, report.reused_images) == (COUNT, 0)
    _, report = world.embed(jpeg_draft=True)
    assert (report.reused_titles, report.reused_images) == (COUNT, 0)
    _, report = world.embed(image_precision="int8")
    assert (report.reused_titles, report.reused_images) == (COUNT, 0)
    _, report = world.embed(image_code="of another component")
    assert (report.reused_titles, report.reused_images) == (COUNT, 0)
    world.checkpoint = save_tiny_clip(tmp_path / "other.pt", seed=1)
    _, report = world.embed()
    assert (report.reused_titles, report.reused_images) == (0, 0)


def test_the_same_weights_under_another_name_are_reused(world: World, tmp_path: Path) -> None:
    world.embed()
    world.checkpoint = Path(shutil.copy(world.checkpoint, tmp_path / "renamed.pt"))
    _, report = world.embed()
    assert (report.reused_titles, report.reused_images) == (COUNT, COUNT)


def test_too_many_unreadable_images_are_an_input_error_and_the_work_is_kept(world: World) -> None:
    for item_id in range(3, 9):
        world.images[item_id] = b"<html>"
    with pytest.raises(InputError) as error:
        world.embed()
    message = str(error.value)
    for part in ("At most 20%", "6 of 23 are", "3.jpg of item 3: not an image", "raise `max_failure_share`"):
        assert part in message
    _, report = world.embed(max_failure_share=0.3)
    assert report.reused_images == 18  # 17 readable ones and the page, which has one content
    assert report.unreadable_image_count == 6


def test_vectors_that_are_not_finite_count_as_unusable(
    world: World, encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        embed_dim, pixels = encoder.embed_dim, encoder.pixels

        def encode_titles(self, titles: list[str], *, token_batch: int) -> np.ndarray:
            rows = encoder.encode_titles(titles, token_batch=token_batch)
            rows[[title == "bad" for title in titles], 3] = np.inf
            return rows

        def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
            rows = encoder.encode_images(pixels)
            rows[[bool((image == bad).all()) for image in pixels]] = np.nan
            return rows

    bad = torch.from_numpy(preprocess_image(jpeg(1), View(encoder.pixels.resolution)))
    monkeypatch.setattr(mmctr.encoders.clip, "load_clip", lambda model, **_: Broken())
    world.titles, world.images = {1: "bad", 2: "good"}, {1: jpeg(1)}
    frame, report = world.embed(max_failure_share=1.0)
    assert not vectors(frame)[0].any()
    np.testing.assert_allclose(np.linalg.norm(vectors(frame)[1]), 1, atol=1e-5)
    assert report.unusable_titles == 1
    assert report.unreadable_images == ((1, "1.jpg", "the encoder gave no finite vector"),)


def test_no_items_and_no_contents(world: World) -> None:
    world.titles, world.images = {}, {}
    frame, report = world.embed()
    assert frame.schema == {"item_id": pl.Int64, "embedding": pl.Array(pl.Float32, 128)}
    assert len(frame) == report.items == 0
    world.titles = {1: None}
    frame, report = world.embed()
    assert (len(frame), report.neither, vectors(frame).any()) == (1, 1, False)


def test_the_list_of_unreadable_images_is_capped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_report, "LISTED_FAILURES", 2)
    world.images = dict.fromkeys(range(1, 6), b"<html>")
    _, report = world.embed(max_failure_share=1.0)
    assert report.unreadable_image_count == 5
    assert [item_id for item_id, _, _ in report.unreadable_images] == [1, 2]


def test_the_list_of_images_of_unknown_items_is_capped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_report, "LISTED_UNKNOWN", 2)
    world.images |= dict.fromkeys((900, 100, 500), b"never read")
    _, report = world.embed()
    assert (report.unknown_images, report.unknown_image_names) == (3, ("100", "500"))
    assert (report.embedded_images, report.unreadable_image_count) == (COUNT, 0)


def test_an_item_that_comes_twice_is_refused(world: World) -> None:
    items, images = world.frames()
    with pytest.raises(AssertionError, match="items must hold each item_id once"):
        world.embed(frames=(pl.concat([items, items.head(1)]), images))
    with pytest.raises(AssertionError, match="images must hold each image once"):
        world.embed(frames=(items, pl.concat([images, images.head(1)])))


def test_progress_is_shown_when_asked_for(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.embed(progress=False)
    assert capsys.readouterr().err == ""
    world.embed("others", progress=True)
    shown = capsys.readouterr().err
    assert "titles: 100%" in shown
    assert "images: 100%" in shown


def test_progress_counts_what_is_new_up_to_all_of_it(world: World) -> None:
    told: list[tuple[int, int]] = []
    _, report = world.embed(on_progress=lambda done, total: told.append((done, total)))
    new = report.embedded_titles + report.embedded_images
    assert told[-1] == (new, new)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {total for _, total in told} == {new}
    told.clear()
    world.embed(on_progress=lambda done, total: told.append((done, total)))
    assert told == []


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("side", ["titles", "images"])
def test_a_model_without_finite_vectors_is_blamed_and_not_its_contents(
    world: World, encoder: ClipEncoder, monkeypatch: pytest.MonkeyPatch, side: str, few: bool
) -> None:
    class Broken:
        embed_dim, pixels = encoder.embed_dim, encoder.pixels

        def encode_titles(self, titles: list[str], *, token_batch: int) -> np.ndarray:
            return encoder.encode_titles(titles, token_batch=token_batch) * (np.nan if side == "titles" else 1)

        def encode_images(self, pixels: torch.Tensor) -> np.ndarray:
            return encoder.encode_images(pixels) * (np.nan if side == "images" else 1)

    if few:
        world.titles, world.images = {1: "a title"}, {1: jpeg(1)}
    load = mmctr.encoders.clip.load_clip
    monkeypatch.setattr(mmctr.encoders.clip, "load_clip", lambda *_, **__: Broken())
    with pytest.raises(InputError, match=rf"return finite vectors, .* none .*{side}.\nThe {side} are not at fault"):
        world.embed()
    monkeypatch.setattr(mmctr.encoders.clip, "load_clip", load)
    _, report = world.embed()
    assert (report.unusable_titles, report.unreadable_image_count) == (0, 0)


OTHER = {"another picture": lambda number: jpeg(number + 500), "no picture": lambda _: b"half a pic"}


@pytest.mark.parametrize("other", OTHER)
@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_change_while_they_are_embedded_leave_no_trace(world: World, other: str, workers: int) -> None:
    """The vector of other bytes would be kept for ever, and so would the word that they are no image."""
    expected, _ = world.embed("right")
    frames = world.frames()
    for number in (10, 11, 20):
        (world.folder / "images" / f"{number}.jpg").write_bytes(OTHER[other](number))
    with pytest.raises(InputError, match=r"10.jpg and 1 more had other bytes than the listed sha256") as error:
        world.embed(frames=frames, workers=workers)
    assert [path.name for path in error.value.paths] == ["10.jpg", "11.jpg"]
    for number in (10, 11, 20):
        (world.folder / "images" / f"{number}.jpg").write_bytes(world.images[number])
    world.asked_images = 0
    found, report = world.embed(frames=frames, workers=workers)
    np.testing.assert_allclose(vectors(found), vectors(expected), atol=1e-6)
    assert report.unreadable_image_count == 0
    assert report.reused_images == 10  # two batches of four, and the rest of the third
    assert world.asked_images == COUNT - 10


def test_an_image_that_was_read_badly_once_is_read_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk or a network that gives other bytes once; the file itself never changed."""
    expected, _ = world.embed("right")
    read = Path.read_bytes
    with monkeypatch.context() as bad:
        bad.setattr(Path, "read_bytes", lambda path: read(path)[: 100 if path.name == "5.jpg" else None])
        with pytest.raises(InputError, match=r"5.jpg had other bytes"):
            world.embed()
    found, report = world.embed()
    assert report.unreadable_image_count == 0
    np.testing.assert_allclose(vectors(found), vectors(expected), atol=1e-6)


HOSTILE_TITLES = {
    "emoji": "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "right to left": "שלום \u202eabc\u202c مرحبا",
    "combining": "e" + "\u0301" * 500,
    "10,000 letters": "x" * 10_000,
    "10,000 words": "word " * 10_000,
    "control characters": "\x01\x02\x1b[31m\x7f\x85",
    "NUL": "a\x00b",
    "only NUL": "\x00",
    "the tokenizer's own marks": "<|startoftext|><|endoftext|> <end_of_text>",
    "markup": "&amp;amp;lt;b&gt; &#0; &#xD800;",
    "private use": "\ue000\U0010ffff\ufffd\ufeff",
}
BLANK_TITLES = {"none": None, "empty": "", "blank": " \t\n\r", "wide blanks": "\u3000\u00a0\u2003"}


def test_any_title_gives_a_unit_vector_and_a_blank_one_is_missing(world: World) -> None:
    names = [*HOSTILE_TITLES, *BLANK_TITLES]
    world.titles = dict(enumerate([*HOSTILE_TITLES.values(), *BLANK_TITLES.values()], 1))
    world.images = {}
    frame, report = world.embed()
    norms = dict(zip(names, np.linalg.norm(vectors(frame), axis=1), strict=True))
    for name in HOSTILE_TITLES:
        assert norms[name] == pytest.approx(1, abs=1e-5), name
    for name in BLANK_TITLES:
        assert norms[name] == 0, name
    assert (report.missing_titles, report.title_only, report.unusable_titles) == (4, len(HOSTILE_TITLES), 0)


@settings(max_examples=40)
@given(titles=st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_titles_of_any_text(encoder: ClipEncoder, titles: list[str]) -> None:
    found = encoder.encode_titles(titles)
    assert found.shape == (len(titles), 128)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_titles_and_images_side_by_side(world: World) -> None:
    """The same vectors as for the mean, and none is computed again."""
    world.titles[3] = None
    del world.images[4]
    mean, _ = world.embed()
    both, report = world.embed(fuse="concat")
    assert (report.embedded_titles, report.embedded_images) == (0, 0)
    title, image = np.split(vectors(both), 2, axis=1)
    assert title.shape == image.shape == (COUNT, 128)
    assert not title[2].any()
    assert not image[3].any()
    sources = title.any(axis=1).astype(np.float32) + image.any(axis=1)
    np.testing.assert_array_equal(vectors(mean), (title + image) / sources[:, None])


def embedded(world: World, items: dict[str, object], images: pl.DataFrame | None, **options: object) -> tuple:
    frame = pl.DataFrame(items, schema=dict.fromkeys(("item_id", "title", "image"), pl.String))
    settings = {"names": "text", "shards": world.folder / "others", "device": "cpu", "model": str(world.checkpoint)}
    folder = None if images is None else world.folder / "images"
    return embed_items(frame, images, images_folder=folder, options=EmbedOptions(workers=0), **{**settings, **options})


def test_ids_may_be_text_and_a_column_may_name_the_image(world: World) -> None:
    _, images = world.frames()
    images = images.with_columns(image=pl.format("a/{}.jpg", "image"))
    items = {"item_id": ["b", "ü", "a"], "title": ["x", None, "y"], "image": ["a/2.jpg", "3.jpg", "absent.jpg"]}
    made, report = embedded(world, items, images, names="path")
    assert made.item_ids.to_list() == ["a", "b", "ü"]
    assert (report.with_both, report.title_only, report.image_only, report.unknown_images) == (1, 1, 1, COUNT - 2)
    called = images.with_columns(image=pl.Series(["ü", *map(str, range(COUNT - 1))]))
    by_id, _ = embedded(world, {**items, "image": items["item_id"]}, called)
    assert by_id.vectors.any(axis=1).all()


def test_without_images_or_without_titles(world: World) -> None:
    _, images = world.frames()
    titles, report = embedded(world, {"item_id": ["1", "2"], "title": ["x", "y"], "image": ["1", "2"]}, None)
    assert (report.title_only, report.missing_images, report.unknown_images) == (2, 2, 0)
    pictures, report = embedded(world, {"item_id": ["1", "2"], "title": [None, None], "image": ["1", "2"]}, images)
    assert (report.image_only, report.missing_titles) == (2, 2)
    np.testing.assert_allclose(np.linalg.norm(titles.vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(pictures.vectors, axis=1), 1, atol=1e-5)


def test_vectors_of_an_open_clip_model(world: World, tmp_path: Path) -> None:
    """Of another length, in a folder of their own, and cut from images as that model takes them."""
    configure("MobileCLIP-tiny", tmp_path)
    file = save_weights("MobileCLIP-tiny", tmp_path / "mobile.safetensors")
    world.embed("shards")
    world.checkpoint = f"open_clip:MobileCLIP-tiny/{file}"
    frame, report = world.embed("shards")
    assert (report.embedded_titles, report.embedded_images, report.with_both) == (COUNT, COUNT, COUNT)
    assert vectors(frame).shape == (COUNT, 48)
    again, report = world.embed("shards")
    assert (report.reused_titles, report.reused_images) == (COUNT, COUNT)
    assert again.equals(frame)
    made, _ = embedded(world, {"item_id": ["1"], "title": ["x"], "image": ["1"]}, None)
    assert str(made.space).startswith("titles and images by open_clip:MobileCLIP-tiny with SHA-256 ")

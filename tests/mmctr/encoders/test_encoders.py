"""What every encoder keeps, whichever kind it is: OpenAI's CLIP, and models of open_clip of each family."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip_models import FAMILIES, configure, save_weights
from tiny_clip import picture, save_tiny_clip

from mmctr.common.errors import InputError
from mmctr.encoders.base import Encoder, kind_of
from mmctr.encoders.names import ModelName, parse_model
from mmctr.images.preprocess import View, preprocess_image

pytest_plugins = ["clip_fixtures"]
pytestmark = pytest.mark.usefixtures("one_thread")

TITLES = ["a cat", "", "two dogs on a hill, seen from afar", "猫", "a cat", "one two three " * 40]
ENCODERS = ["CLIP", *FAMILIES]


@dataclass(frozen=True)
class Made:
    """A model in a file, and another one with other weights."""

    name: ModelName
    other: ModelName
    encoder: Encoder


def load(name: ModelName, **options: str) -> Encoder:
    kind = kind_of(name)
    settings = {"device": "cpu", "image_precision": "float32", "allow_torchscript": False, "sha256": None}
    return kind.load(name, file=kind.weights(name, download=False), **{**settings, **options})


def identity(name: ModelName, device: str = "cpu") -> str:
    file = kind_of(name).weights(name, download=False)
    assert file is not None
    return kind_of(name).identity(name, sha256=hashlib.sha256(file.read_bytes()).hexdigest(), device=device)


@pytest.fixture(scope="module", params=ENCODERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder, family = tmp_path_factory.mktemp("encoder"), request.param
    if family == "CLIP":
        files = [save_tiny_clip(folder / f"{seed}.pt", seed=seed) for seed in (0, 1)]
        names = [parse_model(str(file)) for file in files]
    else:
        configure(family, folder)
        files = [save_weights(family, folder / f"{seed}.safetensors", seed=seed) for seed in (0, 1)]
        names = [parse_model(f"open_clip:{family}/{file}") for file in files]
    return Made(names[0], names[1], load(names[0]))


def some_pixels(encoder: Encoder, count: int) -> torch.Tensor:
    side = encoder.pixels.resolution
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_vectors_have_length_one_and_the_width_that_is_known_before(made: Made) -> None:
    width = kind_of(made.name).width(made.name, allow_torchscript=False)
    for vectors in (
        made.encoder.encode_titles(TITLES, token_batch=64),
        made.encoder.encode_images(some_pixels(made.encoder, 3)),
    ):
        assert (vectors.dtype, vectors.shape[1]) == (np.float32, made.encoder.embed_dim) == (np.float32, width)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_shares_a_batch_changes_the_last_digits_alone(made: Made) -> None:
    pixels = some_pixels(made.encoder, 5)
    together = made.encoder.encode_titles(TITLES, token_batch=4096), made.encoder.encode_images(pixels)
    titles = [made.encoder.encode_titles([title], token_batch=4096) for title in TITLES]
    images = [made.encoder.encode_images(one[None]) for one in pixels]
    np.testing.assert_allclose(np.concatenate(titles), together[0], atol=2e-6)
    np.testing.assert_allclose(np.concatenate(images), together[1], atol=2e-6)
    np.testing.assert_allclose(made.encoder.encode_titles(TITLES, token_batch=1), together[0], atol=2e-6)
    backwards = made.encoder.encode_titles(TITLES[::-1], token_batch=32)
    np.testing.assert_allclose(backwards[::-1], together[0], atol=2e-6)


def test_titles_and_images_decide_their_vectors(made: Made) -> None:
    titles = made.encoder.encode_titles(TITLES, token_batch=4096)
    np.testing.assert_allclose(titles[0], titles[4], atol=2e-6)
    assert np.abs(titles[0] - titles[2]).max() > 1e-3
    dark, light = (
        torch.full((1, *some_pixels(made.encoder, 1).shape[1:]), level, dtype=torch.uint8) for level in (0, 255)
    )
    assert np.abs(made.encoder.encode_images(dark) - made.encoder.encode_images(light)).max() > 1e-4


def test_what_is_behind_the_context_changes_nothing(made: Made) -> None:
    long = "word " * 400
    vectors = made.encoder.encode_titles([long, long + "and more"], token_batch=4096)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=2e-6)


def test_nothing_in_nothing_out(made: Made) -> None:
    side = made.encoder.pixels.resolution
    nothing = made.encoder.encode_images(torch.empty((0, 3, side, side), dtype=torch.uint8))
    assert nothing.shape == made.encoder.encode_titles([], token_batch=1).shape == (0, made.encoder.embed_dim)


def test_the_view_is_one_that_images_are_cut_to(made: Made) -> None:
    pixels = made.encoder.pixels
    view = View(pixels.resolution, resize=pixels.resize, resample=pixels.resample)
    stream = io.BytesIO()
    picture(0).save(stream, "PNG")
    assert preprocess_image(stream.getvalue(), view).shape == (3, pixels.resolution, pixels.resolution)


def test_the_identity_is_that_of_the_weights(made: Made, tmp_path: Path) -> None:
    assert identity(made.name) == identity(made.name)
    assert identity(made.name) != identity(made.other)
    file = kind_of(made.name).weights(made.name, download=False)
    renamed = tmp_path / f"renamed{file.suffix}"
    renamed.write_bytes(file.read_bytes())
    assert identity(made.name.with_weights(renamed)) == identity(made.name)
    with pytest.raises(InputError, match=rf"had the sha256 {'0' * 64} and now has"):
        load(made.name, sha256="0" * 64)


def test_int8_where_it_exists(made: Made) -> None:
    if made.name.kind != "clip":
        with pytest.raises(
            InputError, match=r"`image_precision = int8` is for OpenAI's CLIP; open_clip:.*\nUse float32"
        ):
            load(made.name, image_precision="int8")
        return
    pixels = some_pixels(made.encoder, 3)
    exact, rounded = made.encoder.encode_images(pixels), load(made.name, image_precision="int8").encode_images(pixels)
    np.testing.assert_allclose(np.linalg.norm(rounded, axis=1), 1, atol=1e-5)
    assert (exact * rounded).sum(axis=1).min() > 0.995


def test_no_two_models_are_in_one_space(tmp_path: Path) -> None:
    """The same bytes of weights mean another thing to another architecture, and to a tag with other pixels."""
    configure("ViT-tiny", tmp_path)
    weights = save_weights("ViT-tiny", tmp_path / "a.safetensors")
    names = [
        str(weights),
        *(f"open_clip:{model}/{weights}" for model in ("ViT-tiny", "ViT-B-32", "ViT-B-32-quickgelu")),
    ]
    names += ["open_clip:ViT-L-14/openai", "open_clip:ViT-L-14/laion2b_s32b_b82k"]
    spaces = {kind_of(name).identity(name, sha256="1" * 64, device="cpu") for name in map(parse_model, names)}
    assert len(spaces) == len(names)

"""Our forward passes equal CLIP's own on networks of many shapes, whatever shares a batch."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_clip import tiny_network

import mmctr.encoders.clip_cpu.towers
from mmctr.encoders.clip import ClipEncoder
from mmctr.encoders.clip_cpu.matmul.float32 import Float32Product
from mmctr.encoders.clip_cpu.matmul.int8 import Int8Product
from mmctr.encoders.clip_cpu.towers import ImageTower, TextTower
from mmctr.encoders.clip_official import clip
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD, Pixels

pytest_plugins = ["clip_fixtures"]
pytestmark = pytest.mark.usefixtures("one_thread")

TITLES = [
    "a cat",
    "a cat on a mat",
    "a dog",
    "",
    "a cat",
    "dog a",
    "word " * 100,
    "word " * 74 + "other",
    " ".join(f"{number} things" for number in range(9)),
]


@pytest.fixture(params=["tiny", "one layer", "wide", "long"])
def network(request: pytest.FixtureRequest) -> Iterator["clip.model.CLIP"]:
    """Odd shapes: widths of 1, 2 and 3 heads, patches of 5, 8 and 16 pixels, contexts of 20 and 77 tokens."""
    sizes = {
        "tiny": (128, 32, 2, 64, 16, 77, 49408, 64, 1, 2),
        "one layer": (40, 25, 1, 64, 5, 77, 49408, 64, 1, 1),
        "wide": (96, 24, 2, 192, 8, 77, 49408, 128, 2, 3),
        "long": (64, 128, 3, 64, 8, 20, 49408, 192, 3, 2),
    }[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = clip.model.CLIP(*sizes).eval()
        for parameter in network.parameters():  # so that biases and norms are not those of a new network
            parameter.data += 0.02 * torch.randn_like(parameter)
    with torch.inference_mode():
        yield network


def tokens_of(titles: list[str], network: "clip.model.CLIP") -> torch.Tensor:
    return clip.tokenize(titles, context_length=network.context_length, truncate=True)


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return (pixels / 255 - mean) / std


def random_pixels(network: "clip.model.CLIP", count: int) -> torch.Tensor:
    side = network.visual.input_resolution
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8))


def test_titles_equal_clips_own(network: "clip.model.CLIP") -> None:
    tokens = tokens_of(TITLES, network)
    assert_close(TextTower(network, Float32Product)(tokens), network.encode_text(tokens))


def test_images_equal_clips_own(network: "clip.model.CLIP", monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = random_pixels(network, 7)
    expected = network.encode_image(normalised(pixels))
    assert_close(ImageTower(network, Float32Product)(pixels), expected)
    monkeypatch.setattr(mmctr.encoders.clip_cpu.towers, "STEP_TOKENS", 100)  # does not divide the batch
    monkeypatch.setattr(mmctr.encoders.clip_cpu.towers, "MLP_TOKENS", 7)
    assert_close(ImageTower(network, Float32Product)(pixels), expected)


@pytest.mark.parametrize("product", [Float32Product, Int8Product])
def test_what_shares_a_batch_does_not_count(network: "clip.model.CLIP", product: type) -> None:
    tokens, text = tokens_of(TITLES, network), TextTower(network, product)
    together = text(tokens)
    for rows in ([3], [8, 0], [6, 7], [5, 4, 3, 2, 1, 0]):
        assert_close(text(tokens[rows]), together[rows])
    pixels, image = random_pixels(network, 5), ImageTower(network, product)
    assert_close(image(pixels[3:4]), image(pixels)[3:4])


def test_the_same_input_gives_the_same_bits(network: "clip.model.CLIP") -> None:
    tokens, pixels = tokens_of(TITLES, network), random_pixels(network, 3)
    text, image = TextTower(network, Float32Product), ImageTower(network, Float32Product)
    assert torch.equal(text(tokens), text(tokens))
    assert torch.equal(image(pixels), image(pixels))


def test_the_weights_are_left_alone() -> None:
    network = tiny_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    encoder = ClipEncoder(network=network, embed_dim=128, pixels=Pixels(32), device=torch.device("cpu"))
    encoder.encode_titles(TITLES)
    encoder.encode_images(random_pixels(network, 3))
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_what_follows_a_titles_end_does_not_count(network: "clip.model.CLIP") -> None:
    """Trimmed to the longest title, padded further, and with other tokens as padding."""
    tokens, text = tokens_of(TITLES[:6], network), TextTower(network, Float32Product)
    longest = int(tokens.argmax(dim=1).max()) + 1
    padded = torch.where(tokens == 0, 7, tokens)
    for other in (tokens[:, :longest], padded, padded[:, : longest + 2]):
        assert_close(text(other), text(tokens))


@pytest.mark.parametrize("factor", [1.0, 1.702])
def test_int8_products_are_near_and_of_each_row_alone(factor: float) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(48, 64, generator=generator), torch.randn(48, generator=generator)
    x = torch.randn(9, 64, generator=generator) * torch.tensor([1e-6, 1e-3, 1, 1, 1, 1, 1, 1e3, 1e6])[:, None]
    exact, rounded = Float32Product(weight, bias), Int8Product(weight, bias)
    product = exact(x, factor=factor) - factor * bias
    error = (rounded(x, factor=factor) - factor * bias - product).norm(dim=1) / product.norm(dim=1)
    assert (error[2:] < 0.03).all()  # in the first two the bias's own rounding is larger
    for rows in ([4], [8, 0, 3]):
        assert torch.equal(rounded(x[rows], factor=factor), rounded(x, factor=factor)[rows])
    sums = [torch.ones(9, 48), torch.ones(9, 48)]
    exact.add_to(sums[0], x, factor=factor)
    torch.testing.assert_close(sums[0], 1 + factor * x @ weight.t() + bias, rtol=1e-4, atol=1e-4)
    rounded.add_to(sums[1], x, factor=factor)
    torch.testing.assert_close(sums[1], rounded(x, factor=factor) - factor * bias + 1 + bias, rtol=1e-4, atol=1e-4)


def test_int8_sums_do_not_overflow_and_bad_rows_stay_bad() -> None:
    product = Int8Product(torch.ones(8, 4096), torch.zeros(8))
    x = torch.ones(4, 4096)
    x[1], x[2, 7], x[3, 9] = 0, torch.nan, torch.inf
    found = product(x)
    torch.testing.assert_close(found[0], torch.full((8,), 4096.0))
    assert (found[1] == 0).all()
    assert not found[2:].isfinite().any()


def test_int8_images_keep_their_neighbours(encoder: ClipEncoder) -> None:
    pixels = random_pixels(encoder.network, 40)
    exact, rounded = encoder.encode_images(pixels), replace(encoder, image_precision="int8").encode_images(pixels)
    assert ((exact * rounded).sum(axis=1) > 0.999).all()
    nearest = [np.argsort(-(vectors @ vectors.T), axis=1)[:, 1:11] for vectors in (exact, rounded)]
    shared = [len(set(a) & set(b)) for a, b in zip(*nearest, strict=True)]
    assert np.mean(shared) > 8.5
    titles = [" ".join(pair) for pair in itertools.pairwise(TITLES)]
    np.testing.assert_array_equal(
        replace(encoder, image_precision="int8").encode_titles(titles), encoder.encode_titles(titles)
    )

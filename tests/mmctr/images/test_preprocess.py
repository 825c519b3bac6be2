"""Pixels equal CLIP's own preprocessing; of hostile files each is used or refused with a reason."""

import io
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import picture
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from mmctr.encoders.clip_official import clip
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD
from mmctr.images.limits import UnreadableImage
from mmctr.images.preprocess import View, preprocess_image

R = 32


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def clips_pixels(content: bytes, resolution: int = R) -> np.ndarray:
    """What CLIP's own transform gives, as levels 0 to 255: int (3, R, R)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        normalised = clip.clip._transform(resolution)(Image.open(io.BytesIO(content)))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))
    return ((normalised * std + mean) * 255).round().int().numpy()


def assert_like_clip(content: bytes, resolution: int = R) -> None:
    found = preprocess_image(content, View(resolution))
    assert found.dtype == np.uint8
    assert found.shape == (3, resolution, resolution)
    assert found.flags["C_CONTIGUOUS"]
    distance = np.abs(found.astype(int) - clips_pixels(content, resolution))
    assert distance.max() <= 2
    assert (distance > 1).mean() < 1e-3


@pytest.mark.parametrize("resolution", [32, 50, 224])
@pytest.mark.parametrize(
    "size", [(96, 54), (54, 96), (32, 32), (33, 32), (640, 360), (101, 37), (7, 5), (1, 1), (1, 40), (301, 3)]
)
def test_sizes_equal_clip(size: tuple[int, int], resolution: int) -> None:
    assert_like_clip(encoded(picture(1, width=size[0], height=size[1]), "PNG"), resolution)


def exif_rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(3), "JPEG", exif=exif)


def translucent(mode: str) -> Image.Image:
    image = picture(4).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def noise(width: int, height: int, *, levels: int = 256) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, levels, (height, width, 3)) * (255 // (levels - 1))
    return Image.fromarray(pixels.astype(np.uint8))


@pytest.mark.parametrize("levels", [2, 256])
@pytest.mark.parametrize(
    ("size", "resolution"),
    [
        *[
            ((1920, 1080), 224),
            ((675, 1200), 224),
            ((673, 672), 224),
            ((97, 103), 32),
            ((40, 400), 13),
            ((1000, 800), 50),
        ],
        *[((360, 640), 224), ((300, 400), 224), ((500, 1000), 224), ((500, 1001), 224), ((30, 61), 32)],
        ((5, 40), 32),
    ],
)
def test_noise_equals_clip_but_for_a_level(size: tuple[int, int], resolution: int, levels: int) -> None:
    content = encoded(noise(*size, levels=levels), "BMP")
    distance = np.abs(preprocess_image(content, View(resolution)) - clips_pixels(content, resolution))
    assert distance.max() <= 1
    assert distance.mean() < 0.02


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize", ["shortest", "squash"])
@pytest.mark.parametrize("size", [(96, 54), (54, 96), (33, 32), (640, 360), (7, 5), (1, 40), (301, 3), (100, 301)])
def test_other_views_equal_those_of_torchvision(size: tuple[int, int], resize: str, resample: str) -> None:
    """As open_clip's `image_transform` builds them for SigLIP and MobileCLIP."""
    content = encoded(noise(*size), "PNG")
    rule = InterpolationMode.BILINEAR if resample == "bilinear" else InterpolationMode.BICUBIC
    steps = [Resize((R, R), rule)] if resize == "squash" else [Resize(R, rule), CenterCrop(R)]
    expected = np.asarray(Compose(steps)(Image.open(io.BytesIO(content)))).transpose(2, 0, 1)
    found = preprocess_image(content, View(R, resize=resize, resample=resample))
    distance = np.abs(found.astype(int) - expected)
    assert distance.max() <= (0 if resize == "squash" else 2)
    assert (distance > 1).mean() < 2e-3


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_not_resized_keeps_its_colours(mode: str) -> None:
    image = noise(50, 101)
    image.putalpha(noise(50, 101).convert("L"))
    content = encoded(image.convert(mode), "PNG")
    np.testing.assert_array_equal(preprocess_image(content, View(50)), clips_pixels(content, 50))


def test_flat_large_images_stay_flat() -> None:
    for level in (0, 1, 254, 255):
        content = encoded(Image.new("RGB", (1920, 1080), (level,) * 3), "BMP")
        assert (preprocess_image(content, View(224)) == level).all()


USED = {
    "jpeg": encoded(picture(0), "JPEG"),
    "progressive jpeg": encoded(picture(0), "JPEG", progressive=True),
    "grey jpeg": encoded(picture(0).convert("L"), "JPEG"),
    "CMYK jpeg": encoded(picture(0).convert("CMYK"), "JPEG"),
    "two-picture jpeg": encoded(picture(0), "MPO", save_all=True, append_images=[picture(1)]),
    "EXIF-rotated jpeg": exif_rotated(),
    "png": encoded(picture(0), "PNG"),
    "png with alpha": encoded(translucent("RGBA"), "PNG"),
    "grey png with alpha": encoded(translucent("LA"), "PNG"),
    "palette png": encoded(picture(0).quantize(16), "PNG"),
    "palette png with alpha bytes": encoded(picture(0).quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
    "black and white png": encoded(picture(0).convert("1"), "PNG"),
    "webp": encoded(picture(0), "WEBP"),
    "webp with alpha": encoded(translucent("RGBA"), "WEBP"),
    "gif": encoded(picture(0).quantize(16), "GIF"),
    "moving gif": encoded(picture(0).quantize(16), "GIF", save_all=True, append_images=[picture(1).quantize(16)]),
    "bmp": encoded(picture(0), "BMP"),
    "tiff": encoded(picture(0), "TIFF"),
    "jpeg with a tail": encoded(picture(0), "JPEG") + b"<html>",
    "20,000 pixels wide": encoded(Image.new("RGB", (20_000, 40), (9, 99, 199)), "PNG"),
    "one pixel wide, 20,000 high": encoded(Image.new("L", (1, 20_000), 77), "PNG"),
}


@pytest.mark.parametrize("name", USED)
def test_kinds_that_are_used(name: str) -> None:
    if name.startswith("one pixel"):  # CLIP's own way would build an image of 32 x 640,000 first
        assert (preprocess_image(USED[name], View(R)) == 77).all()
    elif name.endswith("with alpha"):  # the colour of a nearly transparent pixel is coarse, also within Pillow
        lower = slice(R // 2, None)
        distance = preprocess_image(USED[name], View(R)).astype(int) - clips_pixels(USED[name])
        assert np.abs(distance[:, lower]).max() <= 2
        assert np.abs(distance).mean() < 0.3
    else:
        assert_like_clip(USED[name])


def test_the_orientation_of_exif_is_not_applied() -> None:
    upright = preprocess_image(encoded(picture(3), "JPEG"), View(R))
    np.testing.assert_array_equal(preprocess_image(exif_rotated(), View(R)), upright)


@pytest.mark.parametrize("size", [(640, 360), (361, 643), (1920, 1080)])
def test_a_draft_of_a_large_jpeg_is_nearly_the_same(size: tuple[int, int]) -> None:
    content = encoded(picture(2, width=size[0], height=size[1]), "JPEG")
    exact, draft = (preprocess_image(content, View(R, jpeg_draft=wanted)).astype(int) for wanted in (False, True))
    distance = np.abs(draft - exact)
    assert 0 < distance.mean() < 1
    assert distance.max() <= 8


def test_a_draft_is_for_large_jpegs_only() -> None:
    large = picture(2, width=640, height=360)
    for content in (encoded(large, "PNG"), encoded(large, "WEBP"), USED["jpeg"], USED["CMYK jpeg"]):
        draft = preprocess_image(content, View(R, jpeg_draft=True))
        np.testing.assert_array_equal(draft, preprocess_image(content, View(R)))


def test_a_draft_keeps_the_guards() -> None:
    content = encoded(picture(2, width=640, height=360), "JPEG")
    with pytest.raises(UnreadableImage, match="more than 230399 pixels"):
        preprocess_image(content, View(R, max_pixels=640 * 360 - 1, jpeg_draft=True))
    with pytest.raises(UnreadableImage, match="truncated"):
        preprocess_image(content[: len(content) // 2], View(R, jpeg_draft=True))


def test_16_bit_grey_is_scaled_where_clip_turns_it_white() -> None:
    levels = np.linspace(0, 65_535, 96 * 54).reshape(54, 96)
    deep = encoded(Image.fromarray(levels.astype(np.uint16)), "PNG")
    shallow = encoded(Image.fromarray((levels / 256).astype(np.uint8)), "PNG")
    np.testing.assert_array_equal(preprocess_image(deep, View(R)), preprocess_image(shallow, View(R)))
    assert clips_pixels(deep).mean() > 250


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


REFUSED = {
    "zero bytes": (b"", "empty file"),
    "one byte": (b"\xff", "not an image in a known format"),
    "web page": (b"<!DOCTYPE html><html><body>404</body></html>", "not an image in a known format"),
    "archive": (b"Rar!\x1a\x07\x01\x00" + bytes(100), "not an image in a known format"),
    "PostScript, which would start a program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        "not an image in a known format",
    ),
    "jpeg cut in its header": (USED["jpeg"][:20], "not an image in a known format"),
    "jpeg cut in half": (USED["jpeg"][: len(USED["jpeg"]) // 2], "truncated"),
    "png cut in half": (USED["png"][: len(USED["png"]) // 2], "truncated"),
    "png with altered pixels": (USED["png"][:80] + b"\0\0\0\0\0\0\0\0" + USED["png"][88:], "damaged: OSError"),
    "png with too few pixels": (png_claiming(500, 500), "truncated"),
    "bomb of 150 million pixels": (png_claiming(15_000, 10_000), "more than 100000000 pixels"),
    "bomb of 4 thousand million pixels": (png_claiming(65_000, 65_000), "more than 100000000 pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    content, reason = REFUSED[name]
    path = tmp_path / "1.jpg"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(UnreadableImage) as error:
            preprocess_image(source, View(R))
        assert error.value.reason == reason


def test_the_pixel_limit_is_the_callers_and_pillows_is_left_alone() -> None:
    before = Image.MAX_IMAGE_PIXELS
    content = encoded(picture(0, width=40, height=25), "PNG")
    assert preprocess_image(content, View(R, max_pixels=1000)).shape == (3, R, R)
    with pytest.raises(UnreadableImage, match="more than 999 pixels"):
        preprocess_image(content, View(R, max_pixels=999))
    with pytest.raises(UnreadableImage, match="truncated"):  # the limit may also be above Pillow's own
        preprocess_image(png_claiming(15_000, 15_000), View(R, max_pixels=300_000_000))
    assert before == Image.MAX_IMAGE_PIXELS


def test_flipped_and_cut_bytes_never_do_worse_than_unreadable() -> None:
    random = np.random.default_rng(0)
    for name in ("jpeg", "png", "webp", "gif", "tiff", "palette png with alpha bytes"):
        for _ in range(40):
            content = bytearray(USED[name])
            for position in random.integers(0, len(content), 4):
                content[position] = random.integers(256)
            with suppress(UnreadableImage):
                found = preprocess_image(
                    bytes(content[: random.integers(1, 2 * len(content))]), View(R, max_pixels=10**6)
                )
                assert found.shape == (3, R, R)


def test_a_path_that_cannot_be_opened_is_not_called_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        preprocess_image(tmp_path / "absent.jpg", View(R))

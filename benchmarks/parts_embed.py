"""CLIP beside its peers: titles, images, preprocessing and the whole stage, at ViT-B/32's size with random weights."""

import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from side_by_side import Row, in_turn
from threadpoolctl import threadpool_limits

from mmctr.embedding.fill import embed_images
from mmctr.embedding.options import EmbedOptions
from mmctr.embedding.store import VectorShards
from mmctr.encoders.clip import ClipEncoder
from mmctr.encoders.clip_official import clip
from mmctr.encoders.pixels import PIXEL_MEAN, PIXEL_STD
from mmctr.images.preprocess import View, preprocess_image

REPEATS = 5
TITLES, IMAGES, FILES = 256, 64, 416
LAYERS, TEXT_WIDTH, IMAGE_WIDTH, PATCHES = 12, 512, 768, 49


def untrained() -> "clip.model.CLIP":
    """CLIP's own network of ViT-B/32's size, on PyTorch's default device."""
    return clip.model.CLIP(512, 224, LAYERS, IMAGE_WIDTH, 32, 77, 49408, TEXT_WIDTH, 8, LAYERS).eval()


@cache
def vit_b_32() -> ClipEncoder:
    """CLIP ViT-B/32 on the CPU, untrained."""
    torch.manual_seed(0)
    network = untrained()
    return ClipEncoder(network=network, embed_dim=512, resolution=224, device=torch.device("cpu"))


def titles(_: Path) -> list[Row]:
    """Titles of quartiles about 8 / 14 / 22 tokens, beside CLIP's own 77."""
    encoder, texts = vit_b_32(), zipf_titles(TITLES)

    @torch.inference_mode()
    def full() -> np.ndarray:
        batches = clip.tokenize(texts, truncate=True).split(256)
        return F.normalize(torch.cat([encoder.network.encode_text(batch) for batch in batches]), dim=1).numpy()

    tokens = int((clip.tokenize(texts, truncate=True).argmax(dim=1) + 1).sum())  # without padding
    products = TEXT_WIDTH**2 * (tokens * (12 * (LAYERS - 1) + 2) + TITLES * 10)  # multiplications
    return _encoder_rows(
        "titles, ViT-B/32 text tower",
        lambda: encoder.encode_titles(texts),
        full,
        count=TITLES,
        products=products,
        unit="titles/s",
        beside="batches of 77 tokens",
        target="6 x",
    )


def zipf_titles(count: int) -> list[str]:
    """Titles whose words follow Zipf's law over 20,000 of CLIP's own."""
    rng = np.random.default_rng(0)
    words = [word[:-4] for word in clip.clip._tokenizer.encoder if word.endswith("</w>") and word[:-4].isalpha()]
    words = [word for word in words if len(word) > 2][:20_000]
    weights = 1 / np.arange(1, len(words) + 1)
    lengths = np.clip(rng.lognormal(2.45, 0.75, count).astype(int), 1, 75)
    return [" ".join(rng.choice(words, length, p=weights / weights.sum())) for length in lengths]


def encoder(_: Path) -> list[Row]:
    """The image tower on tensors in memory beside eager fp32: in float32, and in int8 with what it costs."""
    ours = vit_b_32()
    int8 = replace(ours, image_precision="int8")
    pixels = torch.from_numpy(np.stack([preprocess_image(_jpeg(320, 240, seed=n), View(224)) for n in range(IMAGES)]))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (PIXEL_MEAN, PIXEL_STD))

    @torch.inference_mode()
    def eager() -> np.ndarray:
        return F.normalize(ours.network.encode_image((pixels / 255 - mean) / std), dim=1).numpy()

    part, beside = "images, ViT-B/32 image tower", "eager fp32 encode_image"
    layers = IMAGE_WIDTH**2 * (IMAGES * (PATCHES + 1) * (12 * (LAYERS - 1) + 2) + IMAGES * 10)
    rows = _encoder_rows(
        part,
        lambda: ours.encode_images(pixels),
        eager,
        count=IMAGES,
        products=layers + IMAGES * PATCHES * 3 * 32**2 * IMAGE_WIDTH,
        unit="images/s",
        beside=beside,
        target="1.3 x",
    )
    vectors = [eager(), ours.encode_images(pixels), int8.encode_images(pixels)]
    nearest = [np.argsort(-(each @ each.T), axis=1)[:, 1:11] for each in vectors]
    for name, found, neighbours in zip(("float32", "int8"), vectors[1:], nearest[1:], strict=True):
        cosine = (vectors[0] * found).sum(axis=1).min()
        shared = np.mean([len(set(a) & set(b)) for a, b in zip(nearest[0], neighbours, strict=True)])
        print(f"{name}: cosine to eager fp32 at least {cosine:.6f}, {shared:.2f} of the 10 nearest shared")
    speeds = (IMAGES / each for each in in_turn(lambda: int8.encode_images(pixels), eager, repeats=REPEATS))
    return [*rows, Row(f"{part}, int8", *speeds, "images/s", beside, "2 x", REPEATS)]


def _encoder_rows(
    part: str,
    ours: Callable[[], np.ndarray],
    peer: Callable[[], np.ndarray],
    *,
    count: int,
    products: int,
    unit: str,
    beside: str,
    target: str,
) -> list[Row]:
    """Ours beside the peer, and beside as many multiplications (`products`) of large matrices and nothing else."""
    cosine = (ours() * peer()).sum(axis=1).min()
    assert cosine > 0.99999, cosine
    a, b = torch.randn(2048, 768), torch.randn(768, 3072)
    turns = max(1, round(products / (2048 * 768 * 3072)))
    beside_peer = in_turn(ours, peer, repeats=REPEATS)
    seconds_ours, seconds_turns = in_turn(ours, lambda: [a @ b for _ in range(turns)], repeats=REPEATS)
    seconds_products = seconds_turns * products / (turns * 2048 * 768 * 3072)
    return [
        Row(part, *(count / each for each in beside_peer), unit, beside, target, REPEATS),
        Row(part, count / seconds_ours, count / seconds_products, unit, "its matrix products alone", "-", REPEATS),
    ]


def images(_: Path) -> list[Row]:
    """CLIP's preprocessing of one JPEG on one thread."""
    rows = []
    for width, height, draft, target in (
        (640, 360, False, "1.7 x"),
        (1920, 1080, False, "-"),
        (1920, 1080, True, "2.8 x"),
    ):
        content, peer, view = _jpeg(width, height, seed=0), clip.clip._transform(224), View(224, jpeg_draft=draft)
        count = 40 if width < 1000 else 15
        with threadpool_limits(1):
            pair = in_turn(
                lambda c=content, n=count, view=view: [preprocess_image(c, view) for _ in range(n)],
                lambda c=content, n=count, peer=peer: [peer(Image.open(io.BytesIO(c))) for _ in range(n)],
                repeats=REPEATS,
            )
        part = f"preprocess {width}x{height}{', draft' if draft else ''}"
        rows.append(Row(part, *(count / each for each in pair), "images/s", "CLIP's preprocess", target, REPEATS))
    return rows


def _jpeg(width: int, height: int, *, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 20, width // 20, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def embed(folder: Path) -> list[Row]:
    """JPEG files through decoding, encoding and shards, beside the encoder alone on as many tensors in memory."""
    pictures = folder / "embed"
    pictures.mkdir(exist_ok=True)
    paths = {}
    for number in range(FILES):
        content = _jpeg(640, 360, seed=number)
        path = paths[hashlib.sha256(content).hexdigest()] = pictures / f"{number}.jpg"
        path.write_bytes(content)
    pixels = torch.from_numpy(np.stack([preprocess_image(path, View(224)) for path in paths.values()]))

    def stage() -> None:
        shutil.rmtree(folder / "vectors", ignore_errors=True)
        store = VectorShards(folder / "vectors", dim=512)
        embed_images(
            store,
            paths,
            vit_b_32,
            options=EmbedOptions(workers=1),
            show=False,
            advance=lambda _: None,
        )

    pair = in_turn(stage, lambda: [vit_b_32().encode_images(batch) for batch in pixels.split(256)], repeats=REPEATS)
    speeds = [FILES / each for each in pair]
    return [Row(f"embed {FILES} JPEGs 640x360", *speeds, "images/s", "the encoder alone", "0.85 x", REPEATS)]

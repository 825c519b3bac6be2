"""The items' covers: a scene of the item's topic, varied, as a JPEG and as a small square for training.

Shapes: S the side of the training square, in pixels.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from mmctr.demo import scenes_nature, scenes_table, scenes_town
from mmctr.demo.canvas import Canvas, H, W

SCENES: dict[str, Callable[[np.random.Generator], Canvas]] = {
    scene.__name__: scene
    for scene in (
        *(scenes_nature.sailing, scenes_nature.surfing, scenes_nature.diving, scenes_nature.lighthouse),
        *(scenes_nature.mountains, scenes_nature.desert, scenes_nature.forest, scenes_nature.aurora),
        *(scenes_town.skyline, scenes_town.trains, scenes_town.racing, scenes_town.rain),
        *(scenes_table.pizza, scenes_table.sushi, scenes_table.cake, scenes_table.coffee),
        *(scenes_town.football, scenes_town.basketball, scenes_town.skiing, scenes_town.tennis),
        *(scenes_table.cards, scenes_table.chess, scenes_table.piano, scenes_table.arcade),
    )
}


def draw_cover(scene: str, *, rng: np.random.Generator) -> Image.Image:
    """One cover of the named scene, RGB, from 160 x 90 to 320 x 180 pixels.

    Raises KeyError for a scene that SCENES lacks.
    """
    canvas = SCENES[scene](rng)
    if rng.random() < 0.2:  # the caption strip that many video covers carry
        left, lines = rng.uniform(20, 60), int(rng.integers(1, 3))
        canvas.box(left, H - 20 - 26 * lines, rng.uniform(180, 360), 16 + 22 * lines, (20, 20, 24), corner=6)
        for line in range(lines):
            canvas.box(left + 12, H - 8 - 26 * lines + 24 * line, rng.uniform(90, 160), 9, (240, 240, 240), corner=3)
    width = int(rng.integers(160, 321))
    image = canvas.image.resize((width, round(width * H / W)), Image.Resampling.BILINEAR, reducing_gap=1.0)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    return ImageEnhance.Brightness(image).enhance(float(rng.uniform(0.75, 1.2)))


def encode_jpeg(image: Image.Image, *, quality: int) -> bytes:
    """The image as the bytes of a JPEG file."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def centre_square(image: Image.Image, *, side: int) -> np.ndarray:
    """What CLIP's preprocessing sees of the image, before normalisation: uint8 (S, S, 3)."""
    margin = (image.width - image.height) / 2
    box = (margin, 0.0, margin + image.height, float(image.height))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box))

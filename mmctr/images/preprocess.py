"""From the bytes of an image to the pixels that a model takes. Imports Pillow and NumPy only, since every worker does.

Shapes: R the model's resolution.

The pixels are those of CLIP's own preprocessing (Radford et al. 2021, `clip.load`'s transform): the shorter side is
resized to R with bicubic resampling, the middle R x R is cut out, the result is converted to RGB. Here only the part
that is kept is resized, and it stays uint8 until it is on the model's device. As in CLIP the orientation that EXIF
notes is not applied, the first frame of an animation counts, and transparency is dropped. One thing differs: 16-bit
grey is scaled to 8 bits, where CLIP's conversion would turn nearly all of it white. Some models take the whole image
instead, squashed to R x R, or bilinear resampling (`mmctr.encoders.pixels`); their pixels are torchvision's.
"""

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmctr.images.limits import MAX_PIXELS, UnreadableImage, bounded, check_tiff_strips

# No format whose reader starts another program (EPS does) or that only a camera or a game writes.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
TALL = 2  # times as high as wide: images beyond that lose rows before columns
CUBIC_REACH = 2  # pixels of the result on each side that a bicubic pixel depends on, and a bilinear one of fewer
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
PREMULTIPLIED = {"RGBA": "RGBa", "LA": "La"}
DECODER_BYTES = 8  # a pixel, about the most that a decoder needs beside the image itself
DRAFT_MARGIN = 2  # a draft is at least this many times as large as the size it is resized to


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class View:
    """What is made of an image: the middle square, `resolution` pixels a side, if it has at most `max_pixels`.

    `resize` and `resample` are those of `mmctr.encoders.pixels.Pixels`: `squash` takes the whole image for the square.
    `jpeg_draft` lets the JPEG decoder leave out frequencies of large images: it decodes at a half, a quarter or an
    eighth of the size, but at no less than twice the size that is resized to.
    """

    resolution: int
    max_pixels: int = MAX_PIXELS
    jpeg_draft: bool = False
    resize: str = "shortest"
    resample: str = "bicubic"


def preprocess_image(source: Path | bytes, view: View) -> np.ndarray:
    """Decode one image and cut the model's view out of it.

    Returns uint8 (3, R, R), equal to CLIP's own preprocessing but for roundings: a few pixels differ by one level, one
    in some thousand by two, and with `jpeg_draft` most pixels of large JPEGs by one or two. The number of pixels is
    read from the header, before anything is decoded, and the work is bounded (`mmctr.images.limits`). Raises
    UnreadableImage where the bytes are at fault, MemoryError and OSError where the machine is.
    """
    content = source if isinstance(source, bytes) else source.read_bytes()
    if not content:
        raise UnreadableImage("empty file")
    allowed, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, view.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(bounded(content, max_pixels=view.max_pixels)), formats=FORMATS) as image:
                if image.format == "TIFF":
                    _check_strips(image, content)
                return np.ascontiguousarray(_middle(image, view))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"more than {view.max_pixels} pixels") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image in a known format") from error
    except (UnreadableImage, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly every type on hostile bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system; those of a decoder have no number
        reason = "truncated" if "truncated" in str(error).lower() else f"damaged: {type(error).__name__}"
        raise UnreadableImage(reason) from error
    finally:
        Image.MAX_IMAGE_PIXELS = allowed


def _middle(image: Image.Image, view: View) -> np.ndarray:
    """The middle square of the resized image, uint8 (3, R, R): torchvision's Resize and CenterCrop in one step."""
    resolution, (width, height) = view.resolution, image.size
    shorter = min(width, height)
    columns, rows = (int(resolution * side / shorter) for side in (width, height))  # the size that Resize would return
    if view.resize == "squash":
        columns = rows = resolution
    left, top = (round((side - resolution) / 2) for side in (columns, rows))  # where CenterCrop would begin
    box = (
        left * width / columns,
        top * height / rows,
        min(width, (left + resolution) * width / columns),
        min(height, (top + resolution) * height / rows),
    )
    rows_first = height > TALL * width and rows < height  # as Pillow resizes the whole image
    if view.jpeg_draft:  # only Pillow's JPEG reader heeds it; the last row or column of a draft may be a part of one
        draft = image.draft(None, (DRAFT_MARGIN * columns, DRAFT_MARGIN * rows))
        scale = draft[1][2] / width if draft else 1.0
        box = (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)
    _load(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    resample = FILTERS[view.resample]
    if view.resize == "squash":
        square = image.resize((resolution, resolution), resample, box=box)
    else:
        square = _resized(image, box, resolution, resample, rows_first=rows_first)
    return np.asarray(square.convert("RGB")).transpose(2, 0, 1)


def _resized(image: Image.Image, box: Box, side: int, resample: Image.Resampling, *, rows_first: bool) -> Image.Image:
    """The part `box` (left, top, right, bottom) as a square: columns and rows in the order that is asked for.

    Pillow rounds and clips between the two, and chooses their order by the size of image and result. So a resize of the
    part alone may take the other order than a resize of the whole, which differs by many levels at sharp edges.
    """
    left, top, right, bottom = box
    if (right - left, bottom - top) == (side, side):
        return image.crop((round(left), round(top), round(right), round(bottom)))
    if image.mode in PREMULTIPLIED:  # as Pillow does it around both
        premultiplied = image.convert(PREMULTIPLIED[image.mode])
        return _resized(premultiplied, box, side, resample, rows_first=rows_first).convert(image.mode)
    if rows_first:
        part = image.resize((image.width, side), resample, box=(0, top, image.width, bottom))
        return part.resize((side, side), resample, box=(left, 0, right, side))
    reach = CUBIC_REACH * max(1.0, (bottom - top) / side) + 1
    first, last = max(0, math.floor(top - reach)), min(image.height, math.ceil(bottom + reach))
    part = image.resize((side, last - first), resample, box=(left, first, right, last))
    return part.resize((side, side), resample, box=(0, top - first, side, bottom - first))


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except OSError:  # decoders call it broken data, too, when they get no memory, which is not the image's fault
        np.empty(DECODER_BYTES * image.width * image.height, np.uint8)
        raise


def _check_strips(image: Image.Image, content: bytes) -> None:
    tags = getattr(image, "tag_v2", {})
    counts = tags.get(279) or tags.get(325) or ()  # StripByteCounts, TileByteCounts
    check_tiff_strips(content, compression=tags.get(259, 1), counts=counts)

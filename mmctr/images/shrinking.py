"""A bicubic resize to a fraction of the size, as matrix products. Imports Pillow and NumPy only, like `clip_images`.

Shapes: R the side of the result, H rows of the image that it is made of, K columns or rows that a band of it needs.

Pillow resizes one pixel after the other; where an image shrinks much, BLAS does the same sums in less time, although
it also multiplies by the zeros of a band. Columns come first and are rounded and clipped before the rows, as in Pillow:
at the edges of letters the other order gives other levels.
Source of the weights: Pillow's resampling, which is the cubic of Keys (1981) with a = -0.5, stretched by the scale.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

BAND = 8  # columns or rows of the result that are made by one product
BANDS_A_COPY = 7  # what is copied at a time: with H = 1080 and R = 224 a float32 plane takes 1.3 MB
WEIGHT_UNIT = 2.0**-15  # products with levels are multiples of it below 2^24 units, so float32 adds them exactly
REACH = 2  # half the cubic's width

Box = tuple[float, float, float, float]


class _Band(NamedTuple):
    results: slice
    first: int  # column or row of the image
    last: int  # behind the last one
    weights: np.ndarray  # float32 (BAND, K)


def shrink(image: Image.Image, box: Box, side: int) -> np.ndarray:
    """Resize the part `box` (left, top, right, bottom) of an RGB image to fewer pixels: uint8 (3, R, R), R = `side`.

    Of 100 levels 99 are those of Pillow, the others lie beside them. All sums are exact, so neither the processor nor
    the number of threads counts.
    """
    columns, rows = _bands(image.width, box[0], box[2], side), _bands(image.height, box[1], box[3], side)
    top, bottom = rows[0].first, rows[-1].last
    narrow = np.empty((bottom - top, 3, side), np.float32)  # (H, 3, R)
    for number in range(0, len(columns), BANDS_A_COPY):
        bands = columns[number : number + BANDS_A_COPY]
        left = bands[0].first
        part = image.crop((left, top, bands[-1].last, bottom))
        for channel in range(3):
            plane = np.frombuffer(part.tobytes("raw", "RGB"[channel]), np.uint8)
            levels = plane.reshape(part.height, part.width).astype(np.float32)
            for band in bands:
                needed = levels[:, band.first - left : band.last - left]  # (H, K)
                np.matmul(needed, band.weights.T, out=narrow[:, channel, band.results])
    narrow = np.floor(_to_levels(narrow), out=narrow).reshape(len(narrow), -1)
    square = np.empty((side, 3, side), np.uint8)  # (R, 3, R)
    for band in rows:
        sums = band.weights @ narrow[band.first - top : band.last - top]  # (BAND, 3 R)
        square[band.results] = _to_levels(sums).reshape(-1, 3, side)
    return square.transpose(1, 0, 2)


def _to_levels(sums: np.ndarray) -> np.ndarray:
    """In place, so that cutting the fraction off gives the nearest level."""
    sums += 0.5
    return sums.clip(0, 255, out=sums)


@lru_cache(maxsize=16)
def _bands(size: int, start: float, stop: float, side: int) -> list[_Band]:
    """What each band needs of an image of `size` columns or rows, of which `start` to `stop` become `side`."""
    scale = (stop - start) / side
    centers = start + (np.arange(side) + 0.5) * scale
    firsts = np.maximum(0, centers - REACH * scale + 0.5).astype(int)
    lasts = np.minimum(size, centers + REACH * scale + 0.5).astype(int)
    bands = []
    for number in range(0, side, BAND):
        results = slice(number, min(number + BAND, side))
        inputs = np.arange(firsts[results][0], lasts[results][-1])
        weights = _cubic((inputs + 0.5 - centers[results, None]) / scale)
        weights[(inputs < firsts[results, None]) | (inputs >= lasts[results, None])] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        weights = (weights / WEIGHT_UNIT).round() * WEIGHT_UNIT
        bands.append(_Band(results, int(inputs[0]), int(inputs[-1]) + 1, weights.astype(np.float32)))
    return bands


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    inner, outer = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < REACH, outer, 0))

"""A small canvas for the drawn covers: Pillow shapes with a seeded hand.

Every scene is drawn at W x H pixels and shrunk afterwards, which smooths the edges.
"""

import numpy as np
from PIL import Image, ImageDraw

W, H = 480, 270

Colour = tuple[int, int, int]


class Canvas:
    """An RGB image of W x H pixels and the generator that its variation comes from."""

    def __init__(self, rng: np.random.Generator, *, top: Colour, bottom: Colour) -> None:
        """Fill the image with a vertical gradient between two colours, each varied a little."""
        self.rng = rng
        ends = np.array([self.vary(top), self.vary(bottom)], dtype=np.float32)
        column = np.linspace(0, 1, H, dtype=np.float32)[:, None]
        pixels = (ends[0] + (ends[1] - ends[0]) * column).astype(np.uint8)  # (H, 3)
        self.image = Image.fromarray(pixels[:, None, :]).resize((W, H))
        self.draw = ImageDraw.Draw(self.image)

    def uniform(self, low: float, high: float) -> float:
        """One number from [low, high)."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """One whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def pick(self, *colours: Colour) -> Colour:
        """One of the colours, varied."""
        return self.vary(colours[int(self.rng.integers(len(colours)))])

    def vary(self, colour: Colour, amount: float = 22) -> Colour:
        """The colour with each channel moved by up to `amount`."""
        moved = np.clip(np.asarray(colour) + self.rng.uniform(-amount, amount, 3), 0, 255).astype(int)
        return int(moved[0]), int(moved[1]), int(moved[2])

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A filled circle about (x, y)."""
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def oval(self, x: float, y: float, half_width: float, half_height: float, colour: Colour) -> None:
        """A filled ellipse about (x, y)."""
        self.draw.ellipse((x - half_width, y - half_height, x + half_width, y + half_height), fill=colour)

    def box(self, x: float, y: float, width: float, height: float, colour: Colour, *, corner: float = 0) -> None:
        """A filled rectangle whose upper left corner is (x, y)."""
        self.draw.rounded_rectangle((x, y, x + max(width, 1), y + max(height, 1)), radius=corner, fill=colour)

    def shape(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        self.draw.polygon(points, fill=colour)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: float = 3) -> None:
        """A line through the points."""
        self.draw.line(points, fill=colour, width=max(1, round(width)), joint="curve")

    def ridge(self, base: float, height: float, colour: Colour, *, bumps: float = 2.0, rough: float = 0.0) -> None:
        """A rolling horizon about `base`, filled down to the lower edge; `rough` adds jags."""
        x = np.linspace(0, W, 49)
        phases = self.rng.uniform(0, 2 * np.pi, 2)
        wave = np.sin(x / W * bumps * 2 * np.pi + phases[0]) + 0.5 * np.sin(x / W * bumps * 5 * np.pi + phases[1])
        y = base - height * (wave / 1.5 + rough * self.rng.uniform(-1, 1, len(x)))
        self.shape([(0.0, float(H)), *zip(x.tolist(), y.tolist(), strict=True), (float(W), float(H))], colour)

    def dots(self, number: int, area: tuple[float, float, float, float], radius: float, colour: Colour) -> None:
        """Discs strewn over the area (left, upper, right, lower): stars, snow, spray."""
        left, upper, right, lower = area
        for x, y, r in zip(
            self.rng.uniform(left, right, number),
            self.rng.uniform(upper, lower, number),
            self.rng.uniform(0.5, 1.2, number) * radius,
            strict=True,
        ):
            self.disc(float(x), float(y), float(r), colour)

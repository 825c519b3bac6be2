"""Cover scenes on a table: dishes seen from above, and games."""

import math

import numpy as np

from mmctr.demo.canvas import Canvas, Colour, H, W

WHITE: Colour = (248, 246, 240)
BLACK: Colour = (24, 24, 28)


def pizza(rng: np.random.Generator) -> Canvas:
    """A round pizza with toppings on dark wood."""
    c = Canvas(rng, top=(95, 60, 35), bottom=(70, 42, 25))
    for plank in range(0, H, 34):
        c.line([(0, plank), (W, plank + c.uniform(-6, 6))], (60, 36, 20), 3)
    x, y, radius = c.uniform(180, 300), c.uniform(115, 155), c.uniform(95, 125)
    c.disc(x, y, radius, c.vary((215, 150, 70), 12))
    c.disc(x, y, radius * 0.88, c.vary((205, 60, 30), 12))
    c.disc(x, y, radius * 0.82, c.vary((250, 205, 90), 12))
    for number, colour, size in (
        (c.count(9, 14), (190, 40, 35), 15),
        (c.count(6, 12), (50, 120, 45), 8),
        (c.count(0, 8), BLACK, 6),
    ):
        for _ in range(number):
            angle, away = c.uniform(0, 2 * math.pi), radius * 0.75 * math.sqrt(c.uniform(0, 1))
            c.disc(
                x + away * math.cos(angle), y + away * math.sin(angle), size * c.uniform(0.8, 1.1), c.vary(colour, 14)
            )
    turn = c.uniform(0, math.pi)
    for cut in range(3):
        dx, dy = radius * math.cos(turn + cut * math.pi / 3), radius * math.sin(turn + cut * math.pi / 3)
        c.line([(x - dx, y - dy), (x + dx, y + dy)], (170, 110, 50), 3)
    return c


def sushi(rng: np.random.Generator) -> Canvas:
    """Rolls and slices in rows on a slate, chopsticks beside."""
    c = Canvas(rng, top=(52, 60, 62), bottom=(34, 40, 44))
    c.box(40, 35, 400, 205, c.vary((72, 82, 84), 10), corner=16)
    left, upper = c.uniform(70, 100), c.uniform(65, 85)
    for row in range(2):
        for column in range(5):
            x, y = left + column * 70 + c.uniform(-5, 5), upper + row * 85 + c.uniform(-5, 5)
            fish = c.pick((250, 130, 90), (225, 60, 60), (250, 200, 120))
            if c.rng.random() < 0.55:
                c.disc(x, y, 29, (25, 40, 30))
                c.disc(x, y, 23, WHITE)
                c.disc(x, y, 11, fish)
                c.disc(x + 5, y + 2, 5, (110, 170, 70))
            else:
                c.oval(x, y + 8, 31, 17, WHITE)
                c.oval(x, y - 2, 34, 14, fish)
                c.line([(x - 14, y - 8), (x - 4, y + 6)], (255, 225, 205), 3)
    y = c.uniform(228, 246)
    for step in (0, 12):
        c.line([(c.uniform(20, 60), y + step), (c.uniform(400, 460), y + step - 10)], (170, 40, 40), 6)
    return c


def cake(rng: np.random.Generator) -> Canvas:
    """A layered cake with icing and candles on pastel."""
    c = Canvas(rng, top=(255, 205, 220), bottom=(255, 235, 225))
    c.dots(35, (0, 0, W, 200), 5, c.pick((255, 245, 180), (190, 230, 255), (255, 170, 200)))
    c.box(0, 225, W, H, c.vary((245, 225, 235), 10))
    x, wide, foot = c.uniform(190, 290), c.uniform(85, 120), 232.0
    c.oval(x, foot, wide * 1.25, 16, (225, 225, 235))
    sponge, icing = (
        c.pick((170, 100, 60), (245, 215, 150), (190, 60, 80)),
        c.pick((255, 150, 190), WHITE, (190, 160, 240)),
    )
    for tier in range(c.count(1, 3)):
        half, tall = wide * (1 - 0.24 * tier), c.uniform(44, 56)
        c.box(x - half, foot - tall, 2 * half, tall, sponge, corner=6)
        c.box(x - half, foot - tall, 2 * half, 16, icing, corner=8)
        drip = -half + 10
        while drip < half - 8:
            c.box(x + drip, foot - tall + 6, 11, c.uniform(14, 28), icing, corner=5)
            drip += 21
        foot -= tall
    for candle in range(c.count(2, 5)):
        cx = x - 32 + candle * 16
        c.box(cx - 3, foot - 30, 6, 30, c.pick((90, 180, 240), (250, 220, 80), (240, 90, 120)))
        c.oval(cx, foot - 37, 4, 8, (255, 190, 40))
    return c


def coffee(rng: np.random.Generator) -> Canvas:
    """A white cup from above with foam art, beans around."""
    c = Canvas(rng, top=(150, 112, 82), bottom=(120, 86, 60))
    for _ in range(c.count(12, 26)):
        x, y = c.uniform(0, W), c.uniform(0, H)
        c.oval(x, y, 11, 8, c.vary((60, 35, 20), 10))
        c.line([(x - 8, y), (x + 8, y)], (35, 20, 10), 2)
    x, y, radius = c.uniform(180, 300), c.uniform(120, 150), c.uniform(70, 90)
    c.disc(x, y, radius * 1.35, (225, 220, 212))
    c.box(x + radius * 0.8, y - 13, radius * 0.75, 26, WHITE, corner=12)
    c.disc(x, y, radius, WHITE)
    c.disc(x, y, radius * 0.86, c.vary((125, 75, 40), 12))
    foam = c.vary((240, 215, 180), 8)
    c.disc(x - radius * 0.2, y - radius * 0.15, radius * 0.27, foam)
    c.disc(x + radius * 0.2, y - radius * 0.15, radius * 0.27, foam)
    c.shape(
        [(x - radius * 0.45, y - radius * 0.05), (x + radius * 0.45, y - radius * 0.05), (x, y + radius * 0.55)], foam
    )
    return c


def cards(rng: np.random.Generator) -> Canvas:
    """A fan of playing cards on green felt, chips beside."""
    c = Canvas(rng, top=(15, 105, 65), bottom=(8, 75, 45))
    for _ in range(c.count(3, 7)):
        x, y, chip = c.uniform(30, 450), c.uniform(30, 240), c.pick((200, 30, 40), (30, 60, 170), BLACK)
        c.disc(x, y, 22, chip)
        c.disc(x, y, 14, WHITE)
        c.disc(x, y, 11, chip)
    number, x, y = c.count(3, 5), c.uniform(190, 290), c.uniform(230, 260)
    for card in range(number):
        angle = (card - (number - 1) / 2) * 0.32 + c.uniform(-0.05, 0.05)
        along, across = (math.sin(angle), -math.cos(angle)), (math.cos(angle), math.sin(angle))

        def at(
            a: float, b: float, along: tuple[float, float] = along, across: tuple[float, float] = across
        ) -> tuple[float, float]:
            return x + along[0] * a + across[0] * b, y + along[1] * a + across[1] * b

        c.shape([at(50, -42), at(175, -42), at(175, 42), at(50, 42)], (190, 190, 185))
        c.shape([at(52, -40), at(173, -40), at(173, 40), at(52, 40)], WHITE)
        suit = c.pick((210, 30, 40), BLACK)
        c.shape([at(140, 0), at(112, -20), at(85, 0), at(112, 20)], suit)
        c.disc(*at(158, -28), 7, suit)
    return c


def chess(rng: np.random.Generator) -> Canvas:
    """A board in perspective with pawns and towers."""
    c = Canvas(rng, top=(70, 62, 58), bottom=(45, 38, 34))
    light, dark, far = c.vary((238, 216, 178), 10), c.vary((120, 76, 46), 12), c.uniform(60, 95)

    def corner(column: int, row: int) -> tuple[float, float]:
        depth = row / 8
        half = 130 + 130 * depth
        return W / 2 - half + 2 * half * column / 8, far + (H - far - 6) * depth

    for row in range(8):
        for column in range(8):
            square = [
                corner(column, row),
                corner(column + 1, row),
                corner(column + 1, row + 1),
                corner(column, row + 1),
            ]
            c.shape(square, light if (row + column) % 2 else dark)
    for row in sorted(c.rng.integers(0, 8, c.count(7, 12)).tolist()):
        x, y = corner(c.count(0, 7), row + 1)
        size = 12 + row * 1.6
        wood = c.pick((250, 240, 220), (40, 32, 30))
        c.oval(x + size, y - size * 0.5, size, size * 0.45, wood)
        c.shape(
            [
                (x + size * 0.3, y - size * 0.5),
                (x + size * 0.7, y - size * 2.2),
                (x + size * 1.3, y - size * 2.2),
                (x + size * 1.7, y - size * 0.5),
            ],
            wood,
        )
        c.disc(x + size, y - size * 2.5, size * 0.65, wood)
    return c


def piano(rng: np.random.Generator) -> Canvas:
    """White and black keys, a stage light and drifting notes."""
    c = Canvas(rng, top=(70, 15, 30), bottom=(25, 8, 20))
    x = c.uniform(60, 420)
    c.shape([(x, 0), (x + 30, 0), (x + 120, 140), (x - 90, 140)], c.vary((140, 60, 50)))
    upper, wide = c.uniform(125, 160), c.uniform(28, 42)
    for key in range(int(W // wide) + 1):
        c.box(key * wide, upper, wide - 3, H, c.vary(WHITE, 6), corner=3)
    for key in range(int(W // wide) + 1):
        if key % 7 not in (2, 6):
            c.box(key * wide + wide * 0.65, upper, wide * 0.62, 75, BLACK, corner=3)
    for _ in range(c.count(3, 7)):
        x, y, note = c.uniform(30, 440), c.uniform(35, upper - 15), c.pick((250, 210, 90), (250, 240, 230))
        c.oval(x, y, 10, 8, note)
        c.line([(x + 9, y), (x + 9, y - 30), (x + 22, y - 22)], note, 4)
    return c


def arcade(rng: np.random.Generator) -> Canvas:
    """A black screen of coloured blocks: invaders, bricks and a paddle."""
    c = Canvas(rng, top=(12, 8, 30), bottom=(5, 4, 16))
    neon: tuple[Colour, ...] = ((255, 50, 150), (60, 240, 250), (250, 240, 60), (90, 255, 110))
    for row in range(c.count(2, 4)):
        colour = c.pick(*neon)
        for column in range(12):
            if c.rng.random() < 0.85:
                c.draw.rectangle((12 + column * 38, 12 + row * 18, 44 + column * 38, 24 + row * 18), fill=colour)
    for _ in range(c.count(3, 6)):
        x, y, pixel, colour = c.uniform(30, 400), c.uniform(95, 170), c.uniform(5, 8), c.pick(*neon)
        grid = c.rng.random((5, 3)) < 0.65
        for row in range(5):
            for column in range(6):
                if grid[row, column if column < 3 else 5 - column]:
                    c.draw.rectangle(
                        (x + column * pixel, y + row * pixel, x + (column + 1) * pixel, y + (row + 1) * pixel),
                        fill=colour,
                    )
    x = c.uniform(60, 340)
    c.box(x, 240, 80, 12, WHITE)
    c.disc(x + c.uniform(0, 80), c.uniform(190, 230), 7, WHITE)
    c.draw.rectangle((4, 4, W - 5, H - 5), outline=c.pick(*neon), width=5)
    return c

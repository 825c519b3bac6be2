"""Cover scenes of the sea and of the wild: sky, water, hills, trees."""

import math

import numpy as np

from mmctr.demo.canvas import Canvas, Colour, H, W

WHITE: Colour = (245, 245, 240)


def sailing(rng: np.random.Generator) -> Canvas:
    """White sails on a bright blue sea."""
    c = Canvas(rng, top=(90, 170, 235), bottom=(205, 230, 245))
    horizon = c.uniform(120, 165)
    c.disc(c.uniform(30, 450), c.uniform(25, 70), c.uniform(14, 26), (255, 240, 170))
    c.box(0, horizon, W, H, c.vary((25, 100, 175)))
    for _ in range(14):
        x, y = c.uniform(0, W), c.uniform(horizon + 8, H)
        c.line([(x, y), (x + c.uniform(20, 60), y)], c.vary((90, 160, 215)), 2)
    for _ in range(c.count(1, 3)):
        x, foot, tall = c.uniform(80, 400), c.uniform(horizon + 15, 230), c.uniform(80, 150)
        hull, sail = c.pick((120, 60, 30), (170, 30, 40), (30, 40, 80)), c.pick(WHITE, WHITE, (250, 210, 190))
        c.shape([(x - 4, foot - tall), (x - 4, foot - 8), (x - tall * 0.45, foot - 8)], sail)
        c.shape([(x + 3, foot - tall * 0.9), (x + 3, foot - 8), (x + tall * 0.4, foot - 8)], c.vary(sail, 12))
        c.shape(
            [(x - tall / 2, foot - 6), (x + tall / 2, foot - 6), (x + tall / 3, foot + 14), (x - tall / 3, foot + 14)],
            hull,
        )
    return c


def surfing(rng: np.random.Generator) -> Canvas:
    """A turquoise wave with a white crest and a surfer on a bright board."""
    c = Canvas(rng, top=(250, 200, 150), bottom=(255, 235, 205))
    c.ridge(c.uniform(130, 150), 6, c.vary((40, 150, 165)), bumps=1)
    crest_x, crest_y = c.uniform(100, 380), c.uniform(40, 80)
    left, right = crest_x - c.uniform(160, 260), crest_x + c.uniform(160, 260)
    c.shape(
        [(left, H), (crest_x - 60, crest_y + 25), (crest_x, crest_y), (crest_x + 60, crest_y + 25), (right, H)],
        c.vary((20, 170, 180)),
    )
    for step in range(16):
        c.disc(crest_x - 80 + step * 10, crest_y + 18 + abs(step - 8) * 4, c.uniform(9, 18), WHITE)
    x, y = c.uniform(170, 310), c.uniform(150, 190)
    c.shape(
        [(x - 45, y + 26), (x + 48, y + 12), (x + 30, y + 26), (x - 30, y + 36)],
        c.pick((240, 60, 60), (250, 210, 40), (255, 120, 30)),
    )
    c.line([(x - 10, y + 24), (x, y - 2), (x + 12, y + 20)], (60, 40, 30), 8)
    c.line([(x, y), (x + 4, y - 30)], (30, 30, 60), 12)
    c.disc(x + 6, y - 40, 9, (120, 80, 55))
    c.dots(40, (0, 225, W, H), 5, WHITE)
    return c


def diving(rng: np.random.Generator) -> Canvas:
    """Deep blue water with fish, bubbles and coral."""
    c = Canvas(rng, top=(10, 110, 180), bottom=(2, 20, 70))
    for _ in range(c.count(2, 4)):
        x = c.uniform(0, W)
        c.shape([(x, 0), (x + 26, 0), (x + c.uniform(60, 110), 200), (x + 20, 200)], c.vary((20, 125, 190), 8))
    for _ in range(c.count(5, 9)):
        x, tall, coral = c.uniform(0, W), c.uniform(30, 75), c.pick((250, 90, 110), (255, 150, 60), (200, 80, 200))
        for bend in (-0.5, -0.2, 0.2, 0.5):
            c.line([(x, H), (x + bend * tall, H - tall * 0.6), (x + bend * tall * 1.2, H - tall)], coral, 8)
    for _ in range(c.count(3, 7)):
        x, y, size = c.uniform(40, 440), c.uniform(40, 190), c.uniform(10, 24)
        scales, way = c.pick((255, 190, 30), (255, 120, 20), (240, 240, 90)), (1 if c.uniform(0, 1) < 0.5 else -1)
        c.oval(x, y, size * 1.5, size * 0.8, scales)
        c.shape(
            [(x - way * size, y), (x - way * size * 2.3, y - size * 0.8), (x - way * size * 2.3, y + size * 0.8)],
            scales,
        )
        c.disc(x + way * size * 0.9, y - size * 0.2, size * 0.18, (20, 20, 20))
    c.dots(26, (0, 20, W, 230), 5, (150, 210, 240))
    return c


def lighthouse(rng: np.random.Generator) -> Canvas:
    """A striped tower on a rock at dusk."""
    c = Canvas(rng, top=(95, 70, 140), bottom=(250, 150, 110))
    c.box(0, 190, W, H, c.vary((60, 60, 110)))
    x, top, wide = c.uniform(110, 370), c.uniform(35, 70), c.uniform(18, 28)
    way = 1 if x < W / 2 else -1
    c.shape([(x, top), (x + way * 330, top - 35), (x + way * 330, top + 45)], (255, 225, 150))
    c.shape([(x - 140, H), (x - 60, 205), (x + 50, 200), (x + 150, H)], c.vary((60, 50, 50)))
    for band in range(6):
        upper, lower = top + 15 + band * 25, top + 40 + band * 25
        near, far = wide * (0.7 + band * 0.06), wide * (0.76 + band * 0.06)
        paint = (205, 40, 45) if band % 2 else WHITE
        c.shape([(x - near, upper), (x + near, upper), (x + far, lower), (x - far, lower)], paint)
    c.box(x - wide * 0.6, top - 12, wide * 1.2, 27, (255, 240, 160))
    c.shape([(x - wide * 0.8, top - 10), (x + wide * 0.8, top - 10), (x, top - 32)], (120, 25, 30))
    return c


def mountains(rng: np.random.Generator) -> Canvas:
    """Snow-capped grey peaks above green slopes."""
    c = Canvas(rng, top=(120, 175, 225), bottom=(225, 235, 245))
    for _ in range(c.count(3, 5)):
        x, top, half = c.uniform(20, 460), c.uniform(25, 100), c.uniform(90, 170)
        slope = (230 - top) / half
        c.shape([(x - half, 230), (x, top), (x + half, 230)], c.vary((110, 115, 130), 18))
        cap = c.uniform(25, 45)
        c.shape(
            [
                (x - cap / slope, top + cap),
                (x, top),
                (x + cap / slope, top + cap),
                (x + 4, top + cap * 0.6),
                (x - 6, top + cap * 1.2),
            ],
            WHITE,
        )
    c.ridge(205, 15, c.vary((75, 125, 70)), bumps=1.5)
    c.ridge(238, 10, c.vary((50, 100, 50)), bumps=2)
    return c


def desert(rng: np.random.Generator) -> Canvas:
    """Orange dunes, a hard sun and cacti."""
    c = Canvas(rng, top=(255, 190, 90), bottom=(255, 225, 160))
    c.disc(c.uniform(50, 430), c.uniform(35, 90), c.uniform(22, 38), (255, 250, 205))
    c.ridge(c.uniform(150, 170), 22, c.vary((225, 150, 70)), bumps=1)
    c.ridge(c.uniform(190, 210), 18, c.vary((200, 115, 50)), bumps=1.4)
    c.ridge(c.uniform(230, 245), 10, c.vary((170, 90, 40)), bumps=1)
    for _ in range(c.count(1, 3)):
        x, foot, tall, green = c.uniform(40, 440), c.uniform(215, 255), c.uniform(55, 105), c.vary((60, 115, 60))
        c.line([(x, foot), (x, foot - tall)], green, 14)
        c.line([(x - 28, foot - tall * 0.8), (x - 28, foot - tall * 0.45), (x, foot - tall * 0.45)], green, 9)
        c.line([(x + 26, foot - tall * 0.9), (x + 26, foot - tall * 0.6), (x, foot - tall * 0.6)], green, 9)
    return c


def forest(rng: np.random.Generator) -> Canvas:
    """Dark firs in green mist."""
    c = Canvas(rng, top=(165, 200, 175), bottom=(60, 105, 65))
    for layer in range(3):
        green = c.vary((95 - layer * 32, 140 - layer * 38, 90 - layer * 28), 12)
        foot = 185 + layer * 42
        for _ in range(8 - layer):
            x, tall = c.uniform(-10, W + 10), c.uniform(85, 135) + layer * 25
            c.box(x - 4, foot - 12, 8, 24, (70, 50, 35))
            for tier in range(3):
                upper, half = foot - tall + tier * tall * 0.25, tall * (0.16 + 0.07 * tier)
                c.shape([(x - half, upper + tall * 0.42), (x, upper), (x + half, upper + tall * 0.42)], green)
    return c


def aurora(rng: np.random.Generator) -> Canvas:
    """Green and violet curtains of light over a black ridge, a tent below."""
    c = Canvas(rng, top=(8, 10, 40), bottom=(20, 35, 70))
    c.dots(60, (0, 0, W, 180), 1.6, (230, 235, 255))
    for _ in range(c.count(2, 3)):
        light, x0, phase = c.pick((60, 230, 140), (70, 240, 170), (160, 90, 220)), c.uniform(-40, 240), c.uniform(0, 6)
        for step in range(34):
            x = x0 + step * 8
            y = 60 + 25 * math.sin(step / 5 + phase)
            fade = 1 - abs(step - 17) / 24
            dim = (int(light[0] * fade), int(light[1] * fade), int(light[2] * fade))
            c.line([(x, y), (x + 4, y + c.uniform(50, 85))], dim, 6)
    c.ridge(215, 18, (8, 12, 18), bumps=1.5, rough=0.25)
    x = c.uniform(100, 380)
    c.shape([(x - 32, 250), (x, 208), (x + 32, 250)], c.pick((250, 170, 60), (240, 120, 60)))
    return c

"""Cover scenes of the town and of sport: streets, tracks, courts and slopes."""

import math

import numpy as np

from mmctr.demo.canvas import Canvas, Colour, H, W

WHITE: Colour = (245, 245, 245)


def skyline(rng: np.random.Generator) -> Canvas:
    """Towers with lit windows under a violet night."""
    c = Canvas(rng, top=(20, 12, 60), bottom=(150, 60, 130))
    c.disc(c.uniform(40, 440), c.uniform(30, 60), c.uniform(12, 22), (250, 240, 200))
    x = -5.0
    while x < W:
        wide, tall = c.uniform(32, 62), c.uniform(80, 205)
        c.box(x, H - tall, wide, tall, c.vary((28, 28, 55), 12))
        lit = c.pick((255, 215, 110), (255, 190, 90), (190, 220, 255))
        for row in range(int(tall // 18)):
            for column in range(int(wide // 13)):
                if c.rng.random() < 0.5:
                    c.draw.rectangle(
                        (x + 5 + column * 13, H - tall + 7 + row * 18, x + 11 + column * 13, H - tall + 16 + row * 18),
                        fill=lit,
                    )
        x += wide + c.uniform(0, 5)
    return c


def trains(rng: np.random.Generator) -> Canvas:
    """A long train on rails before flat fields."""
    c = Canvas(rng, top=(185, 205, 215), bottom=(225, 225, 210))
    c.ridge(150, 10, c.vary((140, 165, 110)), bumps=1)
    c.box(0, 215, W, H, c.vary((115, 105, 95)))
    for sleeper in range(17):
        c.box(sleeper * 30 + c.uniform(-2, 2), 226, 12, 16, (80, 60, 45))
    c.line([(0, 226), (W, 226)], (190, 190, 195), 4)
    c.line([(0, 242), (W, 242)], (200, 200, 205), 4)
    paint, start, tall = c.pick((190, 30, 40), (30, 90, 60), (40, 60, 140)), c.uniform(-200, 60), c.uniform(75, 105)
    for car in range(5):
        x = start + car * 150
        c.box(x, 218 - tall, 144, tall, paint, corner=12)
        c.box(x, 218 - tall * 0.35, 144, 8, (240, 220, 140))
        for window in range(4):
            c.box(x + 10 + window * 33, 218 - tall * 0.8, 24, tall * 0.32, (205, 230, 240), corner=4)
        for wheel in (24, 56, 92, 122):
            c.disc(x + wheel, 220, 10, (40, 40, 45))
    return c


def racing(rng: np.random.Generator) -> Canvas:
    """A low car on grey asphalt, red and white kerbs, a grandstand behind."""
    c = Canvas(rng, top=(150, 190, 220), bottom=(200, 210, 215))
    c.box(0, 70, W, 50, c.vary((95, 95, 110)))
    for _ in range(70):
        c.disc(c.uniform(0, W), c.uniform(74, 116), 4, c.vary((160, 130, 130), 90))
    c.box(0, 120, W, H, c.vary((85, 88, 92)))
    for step in range(20):
        c.box(step * 25, 120, 25, 12, (215, 35, 35) if step % 2 else WHITE)
    x, y, long = c.uniform(150, 320), c.uniform(185, 220), c.uniform(90, 125)
    paint = c.pick((225, 25, 30), (250, 200, 20), (20, 90, 220), (240, 120, 20))
    c.shape(
        [
            (x - long, y),
            (x - long, y - 26),
            (x - long * 0.4, y - 34),
            (x - long * 0.2, y - 56),
            (x + long * 0.25, y - 56),
            (x + long * 0.5, y - 30),
            (x + long * 1.1, y - 16),
            (x + long * 1.1, y),
        ],
        paint,
    )
    c.shape(
        [(x - long * 0.15, y - 50), (x + long * 0.2, y - 50), (x + long * 0.38, y - 32), (x - long * 0.25, y - 32)],
        (40, 60, 80),
    )
    c.box(x - long * 1.15, y - 46, 32, 9, (30, 30, 30))
    for wheel in (-0.6, 0.7):
        c.disc(x + wheel * long, y, 23, (25, 25, 28))
        c.disc(x + wheel * long, y, 10, (180, 180, 185))
    c.box(x - 18, y - 26, 26, 18, WHITE, corner=6)
    return c


def rain(rng: np.random.Generator) -> Canvas:
    """A grey street in the rain with bright umbrellas."""
    c = Canvas(rng, top=(85, 95, 110), bottom=(140, 148, 155))
    for left in range(0, W, 80):
        c.box(left, c.uniform(20, 80), 76, 160, c.vary((100, 105, 115), 14))
    c.box(0, 185, W, H, c.vary((70, 76, 84)))
    for _ in range(c.count(2, 4)):
        x, y, wide = c.uniform(60, 420), c.uniform(110, 165), c.uniform(38, 62)
        cloth = c.pick((225, 40, 60), (250, 200, 40), (40, 160, 190), (230, 90, 170))
        c.line([(x, y), (x, y + 60)], (40, 40, 45), 4)
        c.box(x - 13, y + 30, 26, 62, c.vary((50, 50, 65)), corner=10)
        c.draw.pieslice((x - wide, y - wide * 0.8, x + wide, y + wide * 0.8), 180, 360, fill=cloth)
        c.oval(x, y + 104, 24, 5, c.vary(cloth, 40))
    for x, y in zip(c.rng.uniform(0, W, 70), c.rng.uniform(0, H, 70), strict=True):
        c.line([(float(x), float(y)), (float(x) - 5, float(y) + 18)], (185, 195, 205), 1)
    return c


def football(rng: np.random.Generator) -> Canvas:
    """A striped green pitch, a goal, players and a ball."""
    c = Canvas(rng, top=(50, 60, 75), bottom=(60, 70, 80))
    upper, stripe = c.uniform(60, 95), c.uniform(40, 65)
    for step in range(12):
        c.box(step * stripe, upper, stripe, H, (60, 150, 60) if step % 2 else (75, 170, 70))
    c.dots(80, (0, 0, W, upper - 6), 4, (150, 150, 165))
    c.line([(0, upper), (W, upper)], WHITE, 4)
    x = c.uniform(90, 250)
    c.line([(x, upper + 45), (x, upper - 25), (x + 150, upper - 25), (x + 150, upper + 45)], WHITE, 6)
    c.draw.arc((60, 200, 420, 360), 180, 360, fill=WHITE, width=4)
    kit = c.pick((220, 30, 40), (30, 60, 200), (250, 220, 50))
    for _ in range(c.count(2, 5)):
        px, py = c.uniform(40, 440), c.uniform(upper + 40, 220)
        c.line([(px - 6, py + 44), (px, py + 20), (px + 8, py + 44)], (225, 180, 150), 6)
        c.box(px - 11, py - 8, 22, 30, kit, corner=5)
        c.disc(px, py - 16, 8, (170, 120, 90))
    c.disc(c.uniform(60, 420), c.uniform(215, 250), c.uniform(9, 14), WHITE)
    return c


def basketball(rng: np.random.Generator) -> Canvas:
    """An orange ball at the hoop above a wooden floor."""
    c = Canvas(rng, top=(60, 30, 35), bottom=(110, 55, 45))
    c.box(0, 195, W, H, c.vary((215, 155, 95)))
    for step in range(9):
        c.line([(step * 62 - 20, H), (step * 46 + 55, 195)], (190, 130, 75), 2)
    x, y = c.uniform(120, 320), c.uniform(25, 55)
    c.box(x - 70, y, 140, 92, WHITE)
    c.draw.rectangle((x - 28, y + 36, x + 28, y + 76), outline=(220, 50, 40), width=4)
    for strand in range(-3, 4):
        c.line([(x + strand * 11, y + 86), (x + strand * 6, y + 130)], (235, 235, 235), 2)
    c.oval(x, y + 86, 36, 7, (235, 80, 30))
    bx, by, radius = x + c.uniform(-110, 110), c.uniform(60, 190), c.uniform(26, 40)
    c.disc(bx, by, radius, c.vary((235, 120, 35), 14))
    c.line([(bx - radius, by), (bx + radius, by)], (60, 30, 15), 3)
    c.line([(bx, by - radius), (bx, by + radius)], (60, 30, 15), 3)
    c.draw.arc((bx - radius * 1.9, by - radius, bx - radius * 0.3, by + radius), 300, 60, fill=(60, 30, 15), width=3)
    return c


def skiing(rng: np.random.Generator) -> Canvas:
    """A white slope, red gates and a skier under a cold sky."""
    c = Canvas(rng, top=(60, 130, 215), bottom=(165, 205, 240))
    left, right = c.uniform(60, 120), c.uniform(170, 230)
    c.shape([(0, left), (W, right), (W, H), (0, H)], (240, 246, 252))
    c.shape([(0, left + 60), (W * 0.6, H), (0, H)], (215, 228, 242))
    for _ in range(c.count(3, 6)):
        x = c.uniform(10, 470)
        y = left + (right - left) * x / W + c.uniform(10, 40)
        c.line([(x, y), (x, y - 40)], (210, 30, 40), 4)
        c.shape([(x, y - 40), (x + 28, y - 34), (x, y - 22)], c.pick((220, 40, 50), (40, 70, 200)))
    x, y, suit = c.uniform(140, 340), c.uniform(165, 200), c.pick((250, 120, 20), (30, 30, 40), (200, 30, 120))
    c.line([(x - 50, y + 22), (x + 50, y + 48)], (30, 40, 90), 5)
    c.line([(x, y + 34), (x + 14, y + 10), (x - 4, y - 8), (x + 12, y - 34)], suit, 14)
    c.disc(x + 20, y - 46, 11, (40, 40, 50))
    c.line([(x + 8, y - 18), (x + 46, y - 4), (x + 38, y + 40)], (90, 90, 100), 3)
    c.dots(45, (0, 0, W, H), 2.5, (255, 255, 255))
    return c


def tennis(rng: np.random.Generator) -> Canvas:
    """A clay court with a net, a racket and a yellow ball."""
    c = Canvas(rng, top=(35, 85, 70), bottom=(45, 100, 80))
    c.box(0, 85, W, H, c.vary((190, 95, 60), 14))
    edge = c.uniform(20, 90)
    c.line([(edge, H), (edge + 70, 95), (W - edge - 70, 95), (W - edge, H)], WHITE, 5)
    net = c.uniform(115, 140)
    for left in range(0, W, 14):
        c.line([(left, net), (left, net + 34)], (60, 50, 50), 1)
    c.line([(0, net), (W, net)], WHITE, 6)
    x, y, size, tilt = c.uniform(130, 330), c.uniform(155, 200), c.uniform(34, 46), c.uniform(0.3, 1.2)
    c.line([(x, y), (x + 2.2 * size * math.cos(tilt), y + 2.2 * size * math.sin(tilt))], (40, 40, 45), 10)
    c.oval(x, y, size, size * 0.85, c.pick((40, 60, 160), (200, 30, 60), (30, 30, 30)))
    c.oval(x, y, size - 7, size * 0.85 - 7, (225, 215, 190))
    for strand in range(-2, 3):
        c.line([(x + strand * 11, y - size * 0.6), (x + strand * 11, y + size * 0.6)], (170, 160, 140), 1)
        c.line([(x - size * 0.7, y + strand * 10), (x + size * 0.7, y + strand * 10)], (170, 160, 140), 1)
    c.disc(c.uniform(50, 430), c.uniform(40, 220), c.uniform(11, 17), (215, 240, 60))
    return c

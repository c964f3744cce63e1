"""Procedural textures: wood, tiles, carpet, brick, books, pictures and more. Tinted by the part's colour.

A pattern takes a random stream and returns (S, S) grey levels or (S, S, 3) colours in 0..1.
"""

from __future__ import annotations

import functools

import numpy as np

SIDE_PX = 64
_GRID = np.linspace(0, 1, SIDE_PX, endpoint=False)


def smooth_noise(rng: np.random.Generator, octaves: tuple[int, ...]) -> np.ndarray:
    """(S, S) tileable noise in 0..1: random cosines of the given frequencies, in cycles a tile."""
    x, y = np.meshgrid(_GRID, _GRID, indexing="ij")
    total = np.zeros_like(x)
    for frequency in octaves:
        for _ in range(4):
            fx, fy = rng.integers(-frequency, frequency + 1, 2)
            total += np.cos(2 * np.pi * (fx * x + fy * y) + rng.uniform(0, 2 * np.pi)) / frequency
    return (total - total.min()) / max(float(np.ptp(total)), 1e-9)


def wood(rng: np.random.Generator) -> np.ndarray:
    """Grain along one axis, bent by noise."""
    bend = smooth_noise(rng, (1, 2)) * rng.uniform(0.3, 1.0)
    rings = np.sin(2 * np.pi * (rng.integers(3, 9) * _GRID[:, None] + bend * 2))
    return 0.7 + 0.2 * rings + 0.1 * smooth_noise(rng, (8, 16))


def tiles(rng: np.random.Generator) -> np.ndarray:
    """Square tiles of slightly different brightness with dark joints."""
    count = int(rng.choice((1, 2, 4)))
    size = SIDE_PX // count
    shade = np.kron(rng.uniform(0.8, 1.0, (count, count)), np.ones((size, size)))
    joint = np.arange(SIDE_PX) % size < max(1, size // 16)
    shade[joint] = shade[:, joint] = rng.uniform(0.3, 0.6)
    return shade


def carpet(rng: np.random.Generator) -> np.ndarray:
    """Fine noise."""
    return rng.uniform(1 - rng.uniform(0.2, 0.6), 1.0, (SIDE_PX, SIDE_PX))


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Bands, hard or soft."""
    wave = np.sin(2 * np.pi * rng.integers(1, 8) * _GRID)[:, None] * np.ones(SIDE_PX)
    return 0.75 + 0.25 * (np.sign(wave) if rng.random() < 0.5 else wave)


def checks(rng: np.random.Generator) -> np.ndarray:
    """A chess board."""
    count = int(rng.integers(1, 5)) * 2
    index = (_GRID * count).astype(int)
    return np.where((index[:, None] + index[None]) % 2, 1.0, rng.uniform(0.3, 0.8))


def blotches(rng: np.random.Generator) -> np.ndarray:
    """Soft stains, as on plaster or stone."""
    return 0.55 + 0.45 * smooth_noise(rng, (1, 2, 4, 8))


def planks(rng: np.random.Generator) -> np.ndarray:
    """Boards of uneven shade with dark gaps, every one begun elsewhere."""
    rows = int(rng.choice((2, 4, 8)))
    row = (_GRID * rows).astype(int)[:, None]  # (S, 1)
    along = (_GRID[None] + rng.random(rows)[row]) * rng.choice((1, 2))  # (S, S)
    shade = rng.uniform(rng.uniform(0.4, 0.9), 1.0, (rows, 4))[row, along.astype(int) % 4]
    gap = (np.arange(SIDE_PX) % (SIDE_PX // rows) == 0)[:, None] | (along % 1 < 1 / SIDE_PX)
    return np.where(gap, rng.uniform(0.1, 0.6), shade * grain(rng))


def grain(rng: np.random.Generator) -> np.ndarray:
    """Fine streaks along one axis, as in sawn wood and brushed metal."""
    length = int(rng.choice((4, 8, 16, 32)))
    streaks = np.cumsum(rng.standard_normal((SIDE_PX, SIDE_PX + length)), axis=1)
    streaks = (streaks[:, length:] - streaks[:, :-length]) / np.sqrt(length)  # a moving average, of variance 1
    return np.clip(0.75 + rng.uniform(0.05, 0.25) * streaks, 0.1, 1)


def bricks(rng: np.random.Generator) -> np.ndarray:
    """Courses of bricks, every other one shifted by half a brick, in lighter or darker mortar."""
    rows, columns = ((4, 2), (8, 4), (8, 2))[rng.integers(3)]
    y, x = np.meshgrid(_GRID * rows, _GRID * columns, indexing="ij")
    x = (x + 0.5 * (y.astype(int) % 2)) % columns
    brick = rng.uniform(rng.uniform(0.4, 0.8), 1.0, (rows, columns))[y.astype(int), x.astype(int)]
    width = rng.uniform(0.06, 0.16)  # of the joints, in courses
    joint = (y % 1 < width) | (x % 1 < width * columns / rows)
    return np.where(joint, rng.uniform(0.2, 1.0), brick * (0.6 + 0.4 * carpet(rng)))


def speckle(rng: np.random.Generator) -> np.ndarray:
    """Grains of a few pixels and much contrast, as of tweed, terrazzo and gravel."""
    size = int(rng.choice((1, 2, 4)))
    grains = np.kron(rng.random((SIDE_PX // size, SIDE_PX // size)), np.ones((size, size)))
    return 1 - rng.uniform(0.3, 0.9) * grains ** rng.uniform(1, 4)


def marble(rng: np.random.Generator) -> np.ndarray:
    """Veins on a plain ground, or a plain ground on veins."""
    veins = np.abs(2 * smooth_noise(rng, (1, 2, 4)) - 1) ** rng.uniform(0.3, 1.0)
    return 0.3 + 0.7 * (veins if rng.random() < 0.7 else 1 - veins)


def shelves(rng: np.random.Generator) -> np.ndarray:
    """Shelves with things of all colours standing on them side by side: books, folders, boxes."""
    rows = int(rng.choice((1, 2, 4)))
    height = SIDE_PX // rows
    colours = np.full((SIDE_PX, SIDE_PX, 3), rng.uniform(0.1, 0.5))
    for top in range(0, SIDE_PX, height):
        left = 0
        while left < SIDE_PX:
            width, gap = int(rng.integers(2, 9)), int(height * rng.uniform(0.05, 0.4))
            colours[top + gap : top + height - 1, left : left + width] = _any_colour(rng)
            left += width
        colours[top + height - 1 : top + height] = rng.uniform(0.3, 1.0)
    return colours


def collage(rng: np.random.Generator) -> np.ndarray:
    """Rectangles and discs of all colours over each other, as on posters, paintings and toys."""
    y, x = np.meshgrid(_GRID, _GRID, indexing="ij")
    colours = np.tile(_any_colour(rng), (SIDE_PX, SIDE_PX, 1))
    for _ in range(int(rng.integers(2, 12))):
        cy, cx, ry, rx = *rng.random(2), *rng.uniform(0.05, 0.4, 2)
        dy, dx = ((y - cy + 0.5) % 1 - 0.5) / ry, ((x - cx + 0.5) % 1 - 0.5) / rx  # tile without a seam
        inside = np.hypot(dy, dx) < 1 if rng.random() < 0.5 else np.maximum(abs(dy), abs(dx)) < 1
        colours[inside] = _any_colour(rng)
    return colours


def rug(rng: np.random.Generator) -> np.ndarray:
    """Frames of all colours within each other, with or without a motif between."""
    ring = (np.minimum(_GRID, 1 - _GRID) * 2 * rng.integers(2, 9)).astype(int)
    ring = np.minimum(ring[:, None], ring[None])
    colours = np.stack([_any_colour(rng) for _ in range(int(ring.max()) + 1)])[ring]
    return colours * (checks(rng) if rng.random() < 0.5 else carpet(rng))[..., None]


def _any_colour(rng: np.random.Generator) -> np.ndarray:
    """(3,): grey as often as coloured."""
    return rng.uniform(0.25, 1.0) * (1 - rng.choice((0, 1)) * rng.random(3))


PATTERNS = (
    *(wood, tiles, carpet, stripes, checks, blotches),
    *(planks, grain, bricks, speckle, marble, shelves, collage, rug),
)


@functools.lru_cache(maxsize=2)
def texture_bank(count: int) -> np.ndarray:
    """(count, S, S, 3) uint8, always the same for a count: draws index it, so it must not vary."""
    rng = np.random.default_rng(20)
    bank = np.stack([_in_colour(PATTERNS[k % len(PATTERNS)](rng), rng) for k in range(count)])
    return np.ascontiguousarray(np.clip(bank * 255, 0, 255).astype(np.uint8))


def _in_colour(pattern: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(S, S) or (S, S, 3) -> (S, S, 3), lying or standing; what is dark of a grey one has a tint."""
    if rng.random() < 0.5:
        pattern = pattern.swapaxes(0, 1)
    return pattern if pattern.ndim == 3 else pattern[..., None] * (1 - 0.25 * rng.random(3) * (1 - pattern[..., None]))

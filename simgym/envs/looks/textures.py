"""Procedural textures: wood, tiles, carpet, stripes, checks, blotches in grey levels, tinted by the part's colour.

Rows of books and patchwork, for pictures and rugs, have colours of their own.
"""

from __future__ import annotations

import colorsys
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


def book_rows(rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) spines of a few widths, heights and colours on two to five boards; row 0 is the top."""
    count, inside = int(rng.integers(2, 6)), rng.uniform(0.02, 0.8)
    board = _colour(rng, saturation=0.6)
    out = np.full((SIDE_PX, SIDE_PX, 3), inside * board)
    filled, high = rng.uniform(0.6, 1.0), SIDE_PX / count
    for shelf in range(count):
        bottom, u = round((shelf + 1) * high) - 1, 0
        while u < SIDE_PX:
            width, top = int(rng.integers(1, 6)), bottom - round(rng.uniform(0.5, 0.92) * high)
            if rng.random() < filled:
                out[top:bottom, u : u + width] = _colour(rng, saturation=0.8)
            u += width
        out[bottom : bottom + 1] = board
    return out


def patchwork(rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) rectangles and ellipses of different colours, and a stain over all; its middle is in the corners."""
    out = np.full((SIDE_PX, SIDE_PX, 3), _colour(rng, saturation=0.7))
    x, y = np.meshgrid(_GRID, _GRID)
    for _ in range(int(rng.integers(1, 12))):
        (u, v), (half_width, half_height) = rng.random(2), rng.uniform(0.02, 0.35, 2)
        across, along = np.abs(x - u) / half_width, np.abs(y - v) / half_height
        distance = np.maximum(across, along) if rng.random() < 0.6 else np.hypot(across, along)
        out[distance < 1] = _colour(rng, saturation=0.9)
    shade = 1 - rng.uniform(0, 0.4) * smooth_noise(rng, (1, 2, 4))
    return np.roll(out * shade[..., None], (SIDE_PX // 2, SIDE_PX // 2), (0, 1))  # a part's middle shows a corner


def _colour(rng: np.random.Generator, saturation: float) -> np.ndarray:
    """(3,) 0..1, up to so saturated."""
    hue, saturated, value = rng.uniform((0.0, 0.0, 0.05), (1.0, saturation, 1.0))
    return np.array(colorsys.hsv_to_rgb(hue, saturated, value))


PATTERNS = (wood, tiles, carpet, stripes, checks, blotches)
COLOURED = (book_rows, patchwork)
VARIANTS = 24  # of each coloured one


@functools.lru_cache(maxsize=2)
def texture_bank(count: int) -> tuple[np.ndarray, dict[str, range]]:
    """(T, S, S, 3) uint8, ``count`` in grey levels first, and the rows of the coloured ones by name.

    Always the same for a count: draws index it, so it must not vary.
    """
    rng = np.random.default_rng(20)
    bank = np.stack([PATTERNS[k % len(PATTERNS)](rng) for k in range(count)])
    bank = np.where(rng.random((count, 1, 1)) < 0.5, bank, bank.transpose(0, 2, 1))
    tint = 1 - 0.25 * rng.random((count, 1, 1, 3)) * (1 - bank[..., None])
    coloured = [make(rng) for make in COLOURED for _ in range(VARIANTS)]
    rows = {make.__name__: range(count + k * VARIANTS, count + (k + 1) * VARIANTS) for k, make in enumerate(COLOURED)}
    whole = np.concatenate([bank[..., None] * tint, coloured])
    return np.ascontiguousarray(np.clip(whole * 255, 0, 255).astype(np.uint8)), rows

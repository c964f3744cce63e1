"""Procedural textures in grey levels: wood, tiles, carpet, stripes, checks, blotches. Tinted by the part's colour."""

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


PATTERNS = (wood, tiles, carpet, stripes, checks, blotches)


@functools.lru_cache(maxsize=2)
def texture_bank(count: int) -> np.ndarray:
    """(count, S, S, 3) uint8, always the same for a count: draws index it, so it must not vary."""
    rng = np.random.default_rng(20)
    bank = np.stack([PATTERNS[k % len(PATTERNS)](rng) for k in range(count)])
    bank = np.where(rng.random((count, 1, 1)) < 0.5, bank, bank.transpose(0, 2, 1))
    tint = 1 - 0.25 * rng.random((count, 1, 1, 3)) * (1 - bank[..., None])
    return np.ascontiguousarray(np.clip(bank[..., None] * tint * 255, 0, 255).astype(np.uint8))

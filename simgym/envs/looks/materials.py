"""Textures in colour for the photo look, generated: wood, carpet, tiles, plaster, brick, fabric, pictures and more.

A generator takes a random stream and returns (S, S, 3) floats in 0..1 that tile without a seam. Those that show one
thing (a picture, a door, a window) show it whole, once; `texture_bank` shifts them by half, because a part's middle is
where textures begin.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

SIDE_PX = 128
VARIANTS = 12  # of each material; even ones are for even places
_V, _U = np.meshgrid(np.arange(SIDE_PX) / SIDE_PX, np.arange(SIDE_PX) / SIDE_PX, indexing="ij")  # rows down, columns


def noise(rng: np.random.Generator, roughness: float, along_u: float = 1.0, along_v: float = 1.0) -> np.ndarray:
    """(S, S) of mean 0.5 in 0..1 that tiles. 0 is rough as sand, 2 smooth as clouds; a factor above 1 stretches."""
    fv, fu = np.fft.fftfreq(SIDE_PX)[:, None] * along_v, np.fft.rfftfreq(SIDE_PX)[None] * along_u
    frequency = np.hypot(fu, fv)
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal((SIDE_PX, SIDE_PX))) * frequency**-roughness
    values = np.fft.irfft2(spectrum, (SIDE_PX, SIDE_PX))
    return np.clip(0.5 + values / (6 * values.std()), 0, 1)


def _mix(share: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(S, S) shares of the second of two colours (3,)."""
    return first + share[..., None] * (second - first)


def _hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    phase = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    return value * (1 - saturation * np.clip(np.minimum(phase, 4 - phase), 0, 1))


def _wood_colour(rng: np.random.Generator) -> np.ndarray:
    """From maple to wenge."""
    return _hsv(rng.uniform(0.045, 0.1), rng.uniform(0.35, 0.7), rng.uniform(0.25, 0.85))


def _any_colour(rng: np.random.Generator, saturation: float = 0.8, lowest: float = 0.15) -> np.ndarray:
    """A dyed colour: often grey or beige, seldom neon."""
    hue = rng.choice((0.0, 0.04, 0.08, 0.1, 0.13, 0.33, 0.5, 0.58, 0.62, 0.02)) + rng.uniform(-0.03, 0.03)
    return _hsv(hue % 1, saturation * rng.random() ** 1.5, rng.uniform(lowest, 0.9))


def _grain(rng: np.random.Generator, shift: np.ndarray | float = 0.0) -> np.ndarray:
    """Lines along u, bent; boards have their own by ``shift``."""
    lines = np.sin(2 * np.pi * (6 * _V + 2.5 * noise(rng, 1.8, along_u=5) + shift))
    return 0.5 + 0.25 * lines + 0.5 * (noise(rng, 0.6, along_u=14) - 0.5)


def planks(rng: np.random.Generator) -> np.ndarray:
    """A floor of boards with staggered joints."""
    rows = int(rng.choice((4, 6, 8)))
    row = (_V * rows).astype(int)
    along = (_U * 2 + rng.random(rows)[row]) % 2
    board = row * 2 + along.astype(int)
    tone = rng.uniform(0.75, 1.1, 2 * rows)[board]
    joint = np.minimum(_V * rows % 1, along % 1 * 8) < 0.06
    shade = (0.78 + 0.35 * _grain(rng, rng.random(2 * rows)[board])) * tone * np.where(joint, 0.55, 1.0)
    return np.clip(shade[..., None] * _wood_colour(rng), 0, 1)


def parquet(rng: np.random.Generator) -> np.ndarray:
    """A basket of four strips each."""
    u, v = _U * 4 % 1, _V * 4 % 1
    turned = ((_U * 4).astype(int) + (_V * 4).astype(int)) % 2 == 0
    across = np.where(turned, u, v)
    strip = (across * 4).astype(int) + 4 * ((_U * 4).astype(int) * 4 + (_V * 4).astype(int))
    tone = rng.uniform(0.8, 1.1, 64)[strip] * np.where(across * 4 % 1 < 0.09, 0.65, 1.0)
    grain = np.where(turned, noise(rng, 0.7, along_v=10), noise(rng, 0.7, along_u=10))
    return np.clip(((0.75 + 0.4 * grain) * tone)[..., None] * _wood_colour(rng), 0, 1)


def veneer(rng: np.random.Generator) -> np.ndarray:
    """One piece of wood, as on furniture; standing or lying."""
    shade = 0.75 + 0.4 * _grain(rng)
    return np.clip((shade.T if rng.random() < 0.5 else shade)[..., None] * _wood_colour(rng), 0, 1)


def carpet(rng: np.random.Generator) -> np.ndarray:
    """Loops of two colours, trodden."""
    first = _any_colour(rng, 0.5, 0.2)
    second = np.clip(first * rng.uniform(0.5, 1.4), 0, 1)
    loops = noise(rng, 0.1)
    return np.clip(_mix(loops, first, second) * (0.8 + 0.4 * noise(rng, 1.2))[..., None], 0, 1)


def tiles(rng: np.random.Generator) -> np.ndarray:
    """Square tiles, plain or marbled, sometimes of two colours."""
    count = int(rng.choice((2, 4)))
    u, v = (_U * count).astype(int), (_V * count).astype(int)
    first = _hsv(rng.uniform(0.02, 0.6), rng.uniform(0, 0.25), rng.uniform(0.5, 0.95))
    second = first if rng.random() < 0.6 else _any_colour(rng, 0.6)
    colour = _mix(((u + v) % 2).astype(float), first, second)
    marble = 1 - rng.uniform(0.05, 0.35) * np.abs(np.sin(2 * np.pi * (_U + _V + 2 * noise(rng, 1.6))))
    tone = rng.uniform(0.92, 1.0, (count, count))[v, u]
    joint = np.minimum(_U * count % 1, _V * count % 1) < rng.uniform(0.02, 0.05)
    shade = marble * tone
    return np.clip(np.where(joint[..., None], rng.uniform(0.3, 0.8), colour * shade[..., None]), 0, 1)


def stone(rng: np.random.Generator) -> np.ndarray:
    """Concrete, linoleum or terrazzo: clouds and speckles."""
    base = _hsv(rng.uniform(0.05, 0.6), rng.uniform(0, 0.2), rng.uniform(0.35, 0.8))
    speckle = (noise(rng, 0.3) > rng.uniform(0.6, 0.8))[..., None] * rng.uniform(-0.25, 0.25, 3)
    return np.clip(base * (0.75 + 0.5 * noise(rng, 1.5))[..., None] + speckle, 0, 1)


def plaster(rng: np.random.Generator) -> np.ndarray:
    """Painted walls: nearly flat, most of them pale."""
    strong = rng.random() < 0.25
    hue = rng.choice((0.0, 0.08, 0.12, 0.3, 0.55)) + rng.uniform(-0.03, 0.03)
    saturation, value = rng.uniform((0.3, 0.45) if strong else (0, 0.75), (0.6, 0.9) if strong else (0.2, 1.0))
    colour = _hsv(hue % 1, saturation, value)
    return np.clip(colour * (0.93 + 0.1 * noise(rng, 1.4) + 0.05 * noise(rng, 0.2))[..., None], 0, 1)


def wallpaper(rng: np.random.Generator) -> np.ndarray:
    """Stripes, or a motif that repeats."""
    first = _hsv(rng.choice((0.02, 0.1, 0.13, 0.3, 0.58)), rng.uniform(0.05, 0.35), rng.uniform(0.6, 0.95))
    second = np.clip(first * rng.uniform(0.6, 0.9, 3), 0, 1)
    count = int(rng.choice((4, 6, 8)))
    if rng.random() < 0.5:
        pattern = np.sin(2 * np.pi * count * _U) > rng.uniform(-0.6, 0.6)
    else:
        petals = np.cos(2 * np.pi * count * _U) + np.cos(2 * np.pi * count * _V)
        pattern = petals + 0.5 * np.cos(4 * np.pi * count * (_U + _V)) > rng.uniform(0, 1)
    return _mix(pattern * (0.7 + 0.3 * noise(rng, 0.5)), first, second)


def brick(rng: np.random.Generator) -> np.ndarray:
    """A running bond with mortar, bare or painted over."""
    rows = 8
    row = (_V * rows).astype(int)
    along = (_U * 4 + 0.5 * (row % 2)) % 4
    tone = rng.uniform(0.7, 1.15, (rows, 4))[row, along.astype(int)]
    mortar = np.minimum(_V * rows % 1, along % 1 * 2) < 0.13
    base = _hsv(rng.uniform(0, 0.06), rng.uniform(0.05, 0.65), rng.uniform(0.4, 0.85))
    bricks = base * (tone * (0.75 + 0.5 * noise(rng, 0.6)))[..., None]
    return np.clip(np.where(mortar[..., None], rng.uniform(0.45, 0.8), bricks), 0, 1)


def panelling(rng: np.random.Generator) -> np.ndarray:
    """Upright boards on a wall, of wood or painted."""
    count = int(rng.choice((4, 6)))
    board = (_U * count).astype(int)
    colour = _wood_colour(rng) if rng.random() < 0.6 else _hsv(rng.random(), 0.1, 0.9)
    shade = rng.uniform(0.85, 1.1, count)[board] * (0.8 + 0.4 * _grain(rng).T)
    return np.clip((shade * np.where(_U * count % 1 < 0.06, 0.5, 1.0))[..., None] * colour, 0, 1)


def fabric(rng: np.random.Generator) -> np.ndarray:
    """Upholstery: plain weave, plaid, dots or flowers."""
    base = _any_colour(rng, 0.85, 0.12)
    other, kind = _any_colour(rng, 0.7), rng.random()
    weave = 0.85 + 0.15 * np.sin(2 * np.pi * 32 * _U) * np.sin(2 * np.pi * 32 * _V) + 0.3 * (noise(rng, 0.5) - 0.5)
    if kind < 0.5:
        pattern = np.zeros_like(_U)
    elif kind < 0.7:
        bands = np.sin(2 * np.pi * 4 * np.stack([_U, _V])) > rng.uniform(0.2, 0.8)
        pattern = 0.5 * bands[0] + 0.5 * bands[1]
    else:
        blooms = np.cos(2 * np.pi * 3 * _U) * np.cos(2 * np.pi * 3 * _V) + 0.8 * (noise(rng, 1.2) - 0.5)
        pattern = (blooms > 0.4).astype(float)
    return np.clip(_mix(pattern, base, other) * weave[..., None], 0, 1)


def leather(rng: np.random.Generator) -> np.ndarray:
    """Dark, brown or red hide."""
    colour = _hsv(rng.uniform(0, 0.1), rng.uniform(0.1, 0.7), rng.uniform(0.1, 0.5))
    return np.clip(colour * (0.75 + 0.4 * noise(rng, 0.9) + 0.15 * noise(rng, 0.1))[..., None], 0, 1)


def lacquer(rng: np.random.Generator) -> np.ndarray:
    """Plastic, painted metal or steel: flat, with the faint clouds of a reflection."""
    grey = rng.random() < 0.6
    colour = np.full(3, rng.uniform(0.08, 0.95)) if grey else _any_colour(rng, 1.0)
    return np.clip(colour * (0.85 + 0.3 * noise(rng, 1.8, along_u=3))[..., None], 0, 1)


def cardboard(rng: np.random.Generator) -> np.ndarray:
    """Brown paper with a strip of tape and stains."""
    colour = _hsv(rng.uniform(0.06, 0.1), rng.uniform(0.35, 0.55), rng.uniform(0.5, 0.8))
    shade = 0.85 + 0.2 * noise(rng, 1.3) + 0.06 * np.sin(2 * np.pi * 32 * _V)
    tape = (np.abs(_U - 0.5) < 0.06)[..., None]
    return np.clip(np.where(tape, colour * 1.2, colour * shade[..., None]), 0, 1)


def leaves(rng: np.random.Generator) -> np.ndarray:
    """Foliage: light leaves over dark gaps."""
    colour = _hsv(rng.uniform(0.2, 0.4), rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.75))
    return np.clip(colour * (0.2 + 1.1 * np.abs(np.sin(3 * np.pi * noise(rng, 1.4))))[..., None], 0, 1)


def books(rng: np.random.Generator) -> np.ndarray:
    """Spines of different heights on dark shelves."""
    out = np.full((SIDE_PX, SIDE_PX, 3), 0.08)
    for shelf in range(3):
        floor, u = (shelf + 1) * SIDE_PX // 3 - 3, 0
        while u < SIDE_PX - 3:
            width, height = int(rng.integers(3, 9)), int(rng.integers(22, 37))
            out[floor - height : floor, u : u + width - 1] = _any_colour(rng, 0.8)
            u += width
        out[floor : floor + 3] = _hsv(0.08, 0.4, 0.5)
    return out


def landscape(rng: np.random.Generator) -> np.ndarray:
    """A picture: hills under a sky."""
    sky = _mix(_V, _hsv(rng.uniform(0.5, 1.1) % 1, 0.6, 0.6), _hsv(rng.uniform(0.05, 0.2), 0.3, 1.0))
    for depth in range(3):
        ridge = 0.45 + 0.15 * depth + 0.35 * (noise(rng, 1.7)[0] - 0.5)
        hill = _hsv(rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.7), 0.65 - 0.18 * depth)
        sky = np.where((ridge[None] < _V)[..., None], hill * (0.8 + 0.4 * noise(rng, 0.9))[..., None], sky)
    return np.clip(sky, 0, 1)


def poster(rng: np.random.Generator) -> np.ndarray:
    """A picture: blocks and discs of colour, and lines of print."""
    out = np.tile(_hsv(rng.random(), rng.uniform(0, 0.4), rng.uniform(0.6, 1)), (SIDE_PX, SIDE_PX, 1))
    for _ in range(int(rng.integers(2, 6))):
        u, v, size = rng.uniform((0.1, 0.1, 0.08), (0.9, 0.8, 0.35))
        disc = rng.random() < 0.5
        inside = np.hypot(_U - u, _V - v) < size if disc else np.maximum(abs(_U - u), abs(_V - v) * 1.5) < size
        out[inside] = _any_colour(rng, 0.9)
    ink, lines = _any_colour(rng, 0.4, 0.05) * 0.5, int(rng.integers(0, 6))
    for line in range(lines):
        width = rng.uniform(0.4, 0.85)
        out[(abs(_V - 0.92 + 0.06 * line) < 0.012) & (_U > 0.08) & (width > _U) & (noise(rng, 0.2)[0] > 0.42)] = ink
    return out


def panels(rng: np.random.Generator) -> np.ndarray:
    """The leaf of a door: two panels, or a flush one."""
    wood = rng.random() < 0.5
    base = veneer(rng) if wood else lacquer(rng) * 0.25 + 0.7
    if rng.random() < 0.6:
        beside, above = abs(_U - 0.5) - 0.14, abs(_V - 0.5) - 0.38  # of the panels' outline, from its edges
        outline = np.abs(np.maximum(beside, above)) < 0.012
        rail = (abs(_V - 0.55) < 0.012) & (beside < 0)
        base = base * np.where(outline | rail, 0.55, 1.0)[..., None]
    return base


def view(rng: np.random.Generator) -> np.ndarray:
    """What a window shows: a bright sky over trees or houses, or a blind."""
    if rng.random() < 0.35:
        slats = 0.75 + 0.25 * np.sin(2 * np.pi * 16 * _V)
        return np.clip(slats[..., None] * _hsv(rng.random(), rng.uniform(0, 0.3), 1.0), 0, 1)
    sky = _mix(_V, _hsv(0.58, rng.uniform(0.1, 0.5), 0.95), np.ones(3))
    line = rng.uniform(0.5, 0.7) + 0.4 * (noise(rng, 1.3)[0] - 0.5)
    ground = _hsv(rng.uniform(0.05, 0.4), 0.4, 0.45) * (0.5 + noise(rng, 0.9))[..., None]
    return np.clip(np.where((line[None] < _V)[..., None], ground, sky), 0, 1)


def ornament(rng: np.random.Generator) -> np.ndarray:
    """A rug: borders around a field of diamonds."""
    field, border, third = (_any_colour(rng, 0.8) for _ in range(3))
    inward = np.minimum(np.minimum(_U, 1 - _U), np.minimum(_V, 1 - _V))
    diamonds = np.abs((_U * 6) % 1 - 0.5) + np.abs((_V * 6) % 1 - 0.5) < rng.uniform(0.2, 0.45)
    out = _mix(diamonds.astype(float), field, third)
    out = np.where((inward < 0.14)[..., None], border, out)
    out = np.where((np.abs(inward - 0.07) < 0.015)[..., None], third, out)
    return np.clip(out * (0.8 + 0.4 * noise(rng, 0.2))[..., None], 0, 1)


def ceiling(rng: np.random.Generator) -> np.ndarray:
    """White paint, or panels with holes in a grid."""
    shade = 0.92 + 0.08 * noise(rng, 0.4)
    if rng.random() < 0.5:
        shade = shade * np.where(np.minimum(_U * 2 % 1, _V * 2 % 1) < 0.03, 0.7, 1.0) - 0.2 * (noise(rng, 0.0) > 0.75)
    return np.clip(shade[..., None] * _hsv(rng.uniform(0.05, 0.2), rng.uniform(0, 0.08), 1.0), 0, 1)


SURFACES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    f.__name__: f
    for f in (planks, parquet, veneer, carpet, tiles, stone, plaster, wallpaper, brick, panelling, fabric, leather,
              lacquer, cardboard, leaves, ceiling)
}  # fmt: skip
SHOWN_WHOLE: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    f.__name__: f for f in (books, landscape, poster, panels, view, ornament)
}


@functools.lru_cache(maxsize=1)
def texture_bank() -> tuple[np.ndarray, dict[str, tuple[int, ...]]]:
    """(T, S, S, 3) uint8, and the rows of each material; always the same, because draws index it."""
    rows: dict[str, tuple[int, ...]] = {}
    bank: list[np.ndarray] = []
    for number, (name, generate) in enumerate((SURFACES | SHOWN_WHOLE).items()):
        shift = SIDE_PX // 2 if name in SHOWN_WHOLE else 0
        rows[name] = tuple(range(len(bank), len(bank) + VARIANTS))
        for variant in range(VARIANTS):
            picture = generate(np.random.default_rng([number, variant]))
            bank.append(np.roll(picture, (shift, shift), (0, 1)))
    return (np.stack(bank) * 255 + 0.5).astype(np.uint8), rows

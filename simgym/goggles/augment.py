"""Flaws of real cameras on simulated pictures: the translation of pairs must not fall for them.

Everything is batched, one draw a picture, and comes from one generator.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

EXPOSURE_EV = 0.8  # stops up or down
WHITE_BALANCE_EV = 0.3  # stops of each colour channel up or down
LOG_GAMMA = 0.35  # of the exponent, up or down
BLUR = 0.8  # share of the picture that a 3x3 binomial filter replaces
NOISE = 10 / 255  # standard deviation, of a range of 1
JPEG = 1.0  # times the table of quality 50
DISPLAY_GAMMA = 2.2
BLOCK = 8
# JPEG, ITU-T T.81, table K.1; here for all three components, as a rough stand-in for what cameras send.
QUANTIZATION = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
TO_YCBCR = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)  # ITU-T T.871


def augment(images: torch.Tensor, generator: torch.Generator, strength: float) -> torch.Tensor:
    """Change exposure, white balance and gamma, blur, add noise and compress, in this order, as a camera does.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        generator: on the device of the pictures.
        strength: 0 leaves the pictures as they are, 1 is as strong as the ranges above say.

    Returns:
        (B, 3, H, W) in [-1, 1].
    """
    if strength == 0:
        return images
    count, device = len(images), images.device

    def uniform(low: float, high: float, channels: int = 1) -> torch.Tensor:
        drawn = torch.rand(count, channels, 1, 1, generator=generator, device=device)
        return (low + (high - low) * drawn) * strength

    stops = uniform(-EXPOSURE_EV, EXPOSURE_EV) + uniform(-WHITE_BALANCE_EV, WHITE_BALANCE_EV, channels=3)
    gain = torch.exp2(stops / DISPLAY_GAMMA)  # of display values: light times 2^stops
    exponent = torch.exp(uniform(-LOG_GAMMA, LOG_GAMMA))
    lit = ((images + 1) / 2 * gain).clamp(0, 1).pow(exponent)
    blurred = torch.lerp(lit, _binomial(lit), uniform(0, BLUR))
    noise = torch.randn(images.shape, generator=generator, device=device)
    noisy = torch.addcmul(blurred, noise, uniform(0, NOISE)).clamp(0, 1)
    return compress(noisy, uniform(0, JPEG)).mul(2).sub(1)


def compress(images: torch.Tensor, coarseness: torch.Tensor) -> torch.Tensor:
    """JPEG without its coding: blocks of 8x8, cosine transform, coefficients rounded to multiples of a table.

    Args:
        images: (B, 3, H, W) in [0, 1].
        coarseness: (B, 1, 1, 1) times the table of quality 50; 0 changes nothing but rounding errors.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    height, width = images.shape[2:]
    colours, cosines = TO_YCBCR.to(images), cosine_matrix().to(images)
    padded = functional.pad(images, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate") * 255 - 128
    planes = torch.einsum("ij,bjhw->bihw", colours, padded)
    blocks = planes.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4)  # (B, 3, h, w, 8, 8)
    steps = (QUANTIZATION.to(images) * coarseness[..., None, None]).clamp(min=1e-3)  # (B, 1, 1, 1, 8, 8)
    coefficients = (cosines @ blocks @ cosines.T / steps).round() * steps
    planes = (cosines.T @ coefficients @ cosines).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    decoded = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(colours), planes)
    return ((decoded[..., :height, :width] + 128) / 255).clamp(0, 1)


def cosine_matrix() -> torch.Tensor:
    """(8, 8) orthonormal matrix of the discrete cosine transform of type II."""
    k, n = torch.meshgrid(torch.arange(BLOCK), torch.arange(BLOCK), indexing="ij")
    matrix = torch.cos(math.pi / BLOCK * (n + 0.5) * k) * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return matrix


def _binomial(images: torch.Tensor) -> torch.Tensor:
    """Smoothed by the filter (1, 2, 1) / 4 along both axes; edges are repeated."""
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16

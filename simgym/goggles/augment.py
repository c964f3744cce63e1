"""Flaws of real cameras on simulated pictures: the translation of pairs must not fall for them.

Everything is batched, one draw a picture, and comes from one generator.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

EXPOSURE_EV = 2.0  # stops up or down
WHITE_BALANCE_EV = 0.6  # stops of each colour channel up or down
LOG_GAMMA = 0.5  # of the exponent, up or down
VEIL = 0.3  # share of the contrast that stray light takes
VIGNETTING = 0.6  # share of the light that is lost in the corners
BLUR_PX = 1.5  # standard deviation of the lens's blur, along each axis
MOTION_PX = 5.0  # way of things along the rows while the shutter is open
NOISE = 20 / 255  # standard deviation, of a range of 1
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
    """Blur by lens and motion, change light, contrast and colours, add noise and compress, in this order.

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

    def seldom(high: float) -> torch.Tensor:
        """Often next to nothing, sometimes much."""
        return uniform(0, 1) ** 2 * high / max(strength, 1e-9)

    light = blur((images + 1) / 2, uniform(0, BLUR_PX), seldom(MOTION_PX))
    stops = uniform(-EXPOSURE_EV, EXPOSURE_EV) + uniform(-WHITE_BALANCE_EV, WHITE_BALANCE_EV, channels=3)
    gain = torch.exp2(stops / DISPLAY_GAMMA)  # of display values: light times 2^stops
    corners = 1 - uniform(0, VIGNETTING) * _squared_radius(images)
    exponent = torch.exp(uniform(-LOG_GAMMA, LOG_GAMMA))
    lit = (light * gain * corners).clamp(0, 1).pow(exponent)
    veil = seldom(VEIL)
    veiled = lit * (1 - veil) + veil * uniform(0, 1) / max(strength, 1e-9)
    noise = torch.randn(images.shape, generator=generator, device=device)
    noisy = torch.addcmul(veiled, noise, uniform(0, NOISE)).clamp(0, 1)
    return compress(noisy, uniform(0, JPEG)).mul(2).sub(1)


def blur(images: torch.Tensor, sigma_px: torch.Tensor, motion_px: torch.Tensor) -> torch.Tensor:
    """What a lens blurs along both axes, and motion along the rows.

    A tap at x is the integral of a normal density over a box around it: of one pixel, and as wide as the motion more
    along the rows. Edges are repeated.

    Args:
        images: (B, 3, H, W).
        sigma_px: (B, 1, 1, 1) standard deviation of the normal density.
        motion_px: (B, 1, 1, 1) way of things along the rows while the shutter is open.

    Returns:
        (B, 3, H, W).
    """
    count, channels = images.shape[:2]
    reach = math.ceil(MOTION_PX / 2 + BLUR_PX)
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)  # (T,)
    flat = images.reshape(1, count * channels, *images.shape[2:])
    for width, shape, edge in (
        (motion_px, (1, -1), (reach, reach, 0, 0)),
        (motion_px * 0, (-1, 1), (0, 0, reach, reach)),
    ):
        half, scale = (width.view(-1, 1) + 1) / 2, sigma_px.view(-1, 1).clamp(min=0.05)
        taps = torch.special.ndtr((x + half) / scale) - torch.special.ndtr((x - half) / scale)  # (B, T)
        taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(channels, 0)
        padded = functional.pad(flat, edge, mode="replicate")
        flat = functional.conv2d(padded, taps.view(count * channels, 1, *shape), groups=count * channels)
    return flat.view(images.shape)


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


def _squared_radius(images: torch.Tensor) -> torch.Tensor:
    """(H, W) squared distance from the middle, 1 in the corners."""
    height, width = images.shape[2:]
    y = torch.linspace(-1, 1, height, device=images.device)[:, None] * height / width
    x = torch.linspace(-1, 1, width, device=images.device)
    return (x**2 + y**2) / (1 + (height / width) ** 2)

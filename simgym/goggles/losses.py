"""Every loss of the goggles, as a pure function of tensors; `simgym.goggles.methods` says which method sums which.

Symbols: x a real picture, y a simulated one, (p, c, l) a pair: the same moment in another look and in the canonical
one, with its labels. G translates real to simulated, F back; D_sim and D_real tell translated from genuine pictures; S
is the frozen segmentation network. E is the mean over everything. Pictures are (B, 3, H, W) in [-1, 1].
"""

from __future__ import annotations

import torch
from torch.nn import functional


def generator_loss(fake_scores: torch.Tensor) -> torch.Tensor:
    """L = E (D(G(x)) - 1)^2, least-squares GAN (Mao et al. 2017), as CycleGAN takes it (Zhu et al. 2017, section 4).

    Args:
        fake_scores: (B, 1, h, w) scores of translated pictures.
    """
    return (fake_scores - 1).square().mean()


def discriminator_loss(genuine_scores: torch.Tensor, fake_scores: torch.Tensor) -> torch.Tensor:
    """L = 1/2 E (D(y) - 1)^2 + 1/2 E D(G(x))^2, least-squares GAN; the half is the CycleGAN code's.

    Args:
        genuine_scores: (B, 1, h, w) scores of genuine pictures of the domain.
        fake_scores: (B', 1, h, w) scores of pictures translated into it.
    """
    return ((genuine_scores - 1).square().mean() + fake_scores.square().mean()) / 2


def cycle_loss(reconstructed: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """L = E |F(G(x)) - x|, and the same for G(F(y)) and y (CycleGAN, equation 2)."""
    return (reconstructed - original).abs().mean()


def identity_loss(translated: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """L = E |G(y) - y|: what is in the style already stays as it is (CycleGAN, section 5.2); the same for F(x), x."""
    return (translated - original).abs().mean()


def shift_loss(translated_shifted: torch.Tensor, translated: torch.Tensor, dx: int, dy: int) -> torch.Tensor:
    """L = E_overlap (G(s(x)) - s(G(x)))^2, s a shift by (dx, dy): VR-Goggles (Zhang et al. 2019).

    Pixels that the shift brings in from beyond the edge have no counterpart and do not count. The published weight's
    norm and reduction are not known; these are ours.

    Args:
        translated_shifted: (B, 3, H, W) G(s(x)), see `shift_pixels`.
        translated: (B, 3, H, W) G(x).
        dx: pixels to the right; the published range is 1..K-1, K the generator's down-sampling factor, because a
            shift by a multiple of K changes nothing in how the strides fall.
        dy: pixels down.
    """
    there, here = overlap(dx, dy)
    return (translated_shifted[..., there[0], there[1]] - translated[..., here[0], here[1]]).square().mean()


def shift_pixels(images: torch.Tensor, dx: int, dy: int) -> torch.Tensor:
    """s(x): pictures (B, C, H, W) moved by dx pixels to the right and dy down; the edge is repeated into the gap."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (max(dx, 0), max(-dx, 0), max(dy, 0), max(-dy, 0)), mode="replicate")
    top, left = max(-dy, 0), max(-dx, 0)
    return padded[..., top : top + height, left : left + width]


def overlap(dx: int, dy: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """(rows, columns) of what a shifted picture and the original share: in the shifted one, and in the original."""
    rows, columns = _shared(dy), _shared(dx)
    return (rows[0], columns[0]), (rows[1], columns[1])


def semantic_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """L = E CE(S(G(x)), l), S frozen.

    CyCADA (Hoffman et al. 2018, equation 4): l are the labels where they are known, as of simulated frames, else
    argmax S(x), the segmentation of the picture before its translation.

    Args:
        logits: (B, C, H, W) scores of the classes in the translated picture.
        labels: (B, H, W) int64.
    """
    return functional.cross_entropy(logits, labels)


def paired_loss(translated: torch.Tensor, wanted: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """L = E w |G(p) - c|, the distance to the canonical twin (RCAN, James et al. 2019).

    Args:
        translated: (B, 3, H, W) G(p).
        wanted: (B, 3, H, W) c, or what a teacher makes of the frame.
        weights: (B, H, W) w.
    """
    return ((translated - wanted).abs().mean(1) * weights).mean()


def label_loss(scores: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """L = E w CE(s, l), s the scores that G itself gives the classes.

    Args:
        scores: (B, C, H, W) s.
        labels: (B, H, W) int64, l.
        weights: (B, H, W) w.
    """
    return (functional.cross_entropy(scores, labels, reduction="none") * weights).mean()


def _shared(shift: int) -> tuple[slice, slice]:
    """Along one axis: what is shared, in the shifted picture and in the original."""
    if shift >= 0:
        return slice(shift, None), slice(None, -shift or None)
    return slice(None, shift), slice(-shift, None)

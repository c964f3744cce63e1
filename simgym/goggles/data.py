"""Batches out of frames that are held in memory, and the discriminators' memory of translated ones.

All randomness of a step comes from (seed, process, step): a training that is resumed draws what it would have drawn,
with no generator to save.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace

import numpy as np
import torch

from .augment import augment
from .frames import Frames
from .marked import UNKNOWN
from .methods import PAIRED, TAUGHT, UNPAIRED, Batch, Lesson

HELD_OUT = 0.1  # share of a source's frames that only measures see
MOST_HELD_OUT = 500
MARKED = 4  # of so many real frames that are taught, one has its chairs marked, if there are such
MOST_COLOURED = 500  # frames that the colours of classes are taken from
PLAIN = 4  # varied pictures for each canonical one that the segmentation network sees: those teach it little
LABELLED, PASTING, SPOILING = 1, 2, 3  # streams of a step's randomness, beside the batch's


def to_float(images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels last in memory."""
    return torch.as_tensor(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W) in [-1, 1] -> (B, H, W, 3) uint8, rounded."""
    return images.clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def take(frames: Frames, rows: np.ndarray) -> Frames:
    """Some of the frames, by index or mask."""
    arrays = {item.name: getattr(frames, item.name) for item in fields(frames)}
    return replace(frames, **{name: array[rows] for name, array in arrays.items() if array is not None})


def split(frames: Frames) -> tuple[Frames, Frames]:
    """Frames to learn from, and frames for measures: the last sequences, because neighbours in time are alike.

    A source with fewer than two sequences, or of single photographs, gives its last frames.
    """
    wanted = min(max(1, round(HELD_OUT * len(frames))), MOST_HELD_OUT)
    numbers, counts = np.unique(frames.sequence, return_counts=True)
    backwards = np.cumsum(counts[::-1])  # frames in the last 1, 2, ... sequences
    last = int(np.searchsorted(backwards, wanted)) + 1
    held = np.isin(frames.sequence, numbers[-last:]) if last < len(numbers) else np.zeros(len(frames), bool)
    if not 0 < held.sum() <= max(2 * wanted, 1):  # sequences too long to hold one out
        held = np.arange(len(frames)) >= len(frames) - wanted
    held_rows = np.flatnonzero(held)[:MOST_HELD_OUT]
    return take(frames, ~held), take(frames, held_rows)


class Source:
    """Frames on a device, at random access: (N, H, W, 3) uint8 and, as far as there are any, labels and twins."""

    def __init__(self, frames: Frames, device: torch.device) -> None:
        self.rgb = torch.from_numpy(frames.rgb).to(device)
        self.segmentation = None if frames.segmentation is None else torch.from_numpy(frames.segmentation).to(device)
        self.canonical = None if frames.canonical is None else torch.from_numpy(frames.canonical).to(device)

    def __len__(self) -> int:
        return len(self.rgb)


class Sampler:
    """Draws batches.

    Pictures of all domains are cropped at the same place in one step, because what is above and below differs (VR-
    Goggles, supplement D). Every picture may be mirrored, labels and twin with it: a mirrored room is a room. Shades
    tell left from right only where the camera hardly turns against the light.

    Args:
        sources: ``real``, ``sim``, ``pairs``, as far as the method needs them; ``marked`` joins ``real``.
        batch_size: frames of each.
        augmentation: how strongly to augment pairs, and what the segmentation network learns from.
        crop: edge of the crop as a share of the picture's.
        stride: K of the generators; shifts are 1..K-1.
        seed: of everything drawn.
        rank: number of this process.
        mirrored: whether half of the pictures are mirrored.
    """

    def __init__(
        self,
        sources: dict[str, Source],
        batch_size: int,
        augmentation: float,
        crop: float,
        stride: int,
        seed: int,
        rank: int = 0,
        mirrored: bool = True,
    ) -> None:
        self.sources, self.batch_size, self.augmentation = sources, batch_size, augmentation
        self._stride, self._seed = stride, (seed, rank)
        self._mirrored_share = 0.5 if mirrored else 0.0
        _, height, width, _ = next(iter(sources.values())).rgb.shape
        self._size = (height, width)
        self._crop = (max(1, round(crop * height)), max(1, round(crop * width)))

    def batch(self, step: int, terms: Collection[str]) -> Batch:
        """What step number ``step`` learns from, for these loss terms; pairs are still without flaws."""
        rng = np.random.default_rng((*self._seed, step))
        window = self._window(rng)
        dx, dy = rng.integers(1, max(self._stride, 2), 2).tolist()
        batch = Batch(shift=(dx, dy))
        wanted = set(terms)
        if wanted & {*UNPAIRED, *TAUGHT}:
            batch.real = to_float(self._draw(self.sources["real"], rng, window)["rgb"])
        if wanted & set(UNPAIRED):
            drawn = self._draw(self.sources["sim"], rng, window)
            batch.sim, batch.sim_labels = to_float(drawn["rgb"]), _labels(drawn)
        if wanted & {*PAIRED, *TAUGHT}:
            drawn = self._draw(self.sources["pairs"], rng, window)
            labels = _labels(drawn)
            assert labels is not None
            images, twins = to_float(drawn["rgb"]), to_float(drawn["canonical"])
            batch.paired = Lesson(images, labels, torch.ones_like(labels, dtype=images.dtype), twins)
        if wanted & set(TAUGHT) and "marked" in self.sources:
            self._add_marked(batch, self._draw(self.sources["marked"], rng, window))
        return batch

    def _add_marked(self, batch: Batch, drawn: dict[str, torch.Tensor]) -> None:
        """Put marked frames in the place of some of the real ones."""
        assert batch.real is not None
        part = slice(-(-self.batch_size // MARKED))
        batch.marks = torch.full((len(batch.real), *batch.real.shape[2:]), UNKNOWN, device=batch.real.device)
        batch.real[part], batch.marks[part] = to_float(drawn["rgb"][part]), drawn["segmentation"][part].long()

    def class_colours(self, classes: int) -> torch.Tensor | None:
        """(C, 3) mean colour, 0..1, of every class in the twins of some pairs; grey where it is not; None without."""
        pairs = self.sources.get("pairs")
        if pairs is None or pairs.canonical is None or pairs.segmentation is None:
            return None
        labels = pairs.segmentation[:MOST_COLOURED].flatten().long().cpu()
        pixels = pairs.canonical[:MOST_COLOURED].reshape(-1, 3).float().cpu() / 255
        counts = torch.bincount(labels, minlength=classes)
        sums = torch.zeros(classes, 3).index_add_(0, labels, pixels)
        return torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), 0.5)

    def pasted_classes(self, step: int, classes: int) -> torch.Tensor:
        """(B, C) bool, half of them true: which classes of a step's pairs are pasted into its real frames."""
        rng = np.random.default_rng((*self._seed, PASTING, step))
        device = next(iter(self.sources.values())).rgb.device
        return torch.from_numpy(rng.random((self.batch_size, classes)) < 0.5).to(device)

    def spoil(self, step: int, part: int, images: torch.Tensor) -> torch.Tensor:
        """Pictures (B, 3, H, W) with flaws of cameras; parts of a step get flaws of their own."""
        seed = int(np.random.default_rng((*self._seed, SPOILING, part, step)).integers(2**62))
        return augment(images, torch.Generator(images.device).manual_seed(seed), self.augmentation)

    def labelled(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures (B, 3, H, W) with labels (B, H, W) int64 of all looks there are, for the segmentation network.

        All sources must have labels.
        """
        rng = np.random.default_rng((*self._seed, LABELLED, step))
        window, pictures, labels = self._window(rng), [], []
        for name, source in self.sources.items():
            drawn = self._draw(source, rng, window)
            for look in ("rgb", "canonical"):
                if look in drawn:
                    plain = "pairs" in self.sources and (name, look) != ("pairs", "rgb")
                    part = slice(-(-self.batch_size // PLAIN) if plain else self.batch_size)
                    generator = torch.Generator(drawn[look].device).manual_seed(int(rng.integers(2**62)))
                    pictures.append(augment(to_float(drawn[look][part]), generator, self.augmentation))
                    labels.append(drawn["segmentation"][part].long())
        return torch.cat(pictures), torch.cat(labels)

    def _window(self, rng: np.random.Generator) -> tuple[slice, slice]:
        top, left = (int(rng.integers(size - part + 1)) for size, part in zip(self._size, self._crop, strict=True))
        return slice(top, top + self._crop[0]), slice(left, left + self._crop[1])

    def _draw(self, source: Source, rng: np.random.Generator, window: tuple[slice, slice]) -> dict[str, torch.Tensor]:
        """Random frames, (B, h, w, 3) and (B, h, w) uint8 by name, some of them mirrored."""
        device = source.rgb.device
        rows = torch.from_numpy(rng.integers(len(source), size=self.batch_size)).to(device)
        mirrored = torch.from_numpy(rng.random(self.batch_size) < self._mirrored_share).to(device)
        drawn = {}
        for name in ("rgb", "segmentation", "canonical"):
            array = getattr(source, name)
            if array is not None:
                cut = array[rows, *window]
                flip = mirrored.view(-1, *[1] * (cut.ndim - 1))
                drawn[name] = torch.where(flip, cut.flip(2), cut)
        return drawn


class HistoryPool:
    """Some earlier translated pictures, so that a discriminator does not forget them (Shrivastava et al. 2017).

    Args:
        size: how many; 0 remembers nothing.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: torch.Tensor | None = None  # (n, 3, H, W), n <= size

    def exchange(self, fakes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Store pictures (B, 3, H, W); give back each or, half of the time once the pool is full, an older one."""
        if self.size == 0:
            return fakes
        room = self.size - (0 if self.images is None else len(self.images))
        kept = fakes[:room].clone()
        self.images = kept if self.images is None else torch.cat([self.images, kept])
        given = fakes.clone()
        late = np.arange(min(room, len(fakes)), len(fakes))  # those that found the pool full
        swapped = late[rng.random(len(late)) < 0.5]
        places = rng.permutation(self.size)[: len(swapped)]
        swapped = swapped[: len(places)]
        given[swapped], self.images[places] = self.images[places], fakes[swapped]
        return given


def _labels(drawn: dict[str, torch.Tensor]) -> torch.Tensor | None:
    return drawn["segmentation"].long() if "segmentation" in drawn else None

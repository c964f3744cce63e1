"""Batches: the same draw again for the same step, and what belongs together stays together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.goggles.augment import augment, compress, cosine_matrix
from simgym.goggles.data import HistoryPool, Sampler, Source, split, to_float, to_uint8
from simgym.goggles.frames import Frames
from simgym.goggles.methods import PAIRED, UNPAIRED, Batch, Lesson
from tests.goggles.scenes import domains

CPU = torch.device("cpu")
ALL = (*PAIRED, *UNPAIRED)


def sampler(crop: float = 1.0, seed: int = 0, rank: int = 0, augmentation: float = 0.0) -> Sampler:
    sources = {name: Source(frames, CPU) for name, frames in domains().items()}
    return Sampler(sources, 4, augmentation, crop, 8, seed, rank)


def part(batch: Batch, name: str) -> torch.Tensor:
    """What must be there."""
    value = getattr(batch, name)
    assert isinstance(value, torch.Tensor)
    return value


def pairs_of(batch: Batch) -> Lesson:
    """What must be there."""
    assert batch.paired is not None
    return batch.paired


def where(count: int) -> Frames:
    """Frames whose pixels say where they are: red the row, green the column, blue the frame."""
    rows, columns = np.mgrid[:24, :32].astype(np.uint8)
    rgb = np.stack([np.dstack([rows, columns, np.full_like(rows, i)]) for i in range(count)])
    return Frames(rgb, np.zeros(count, np.int64), np.full(count, np.nan), rgb[..., 1], rgb)


def test_bytes_survive_the_way_in_and_out() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    images = to_float(every)
    assert images.min() == -1 and images.max() == 1
    assert images.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(to_uint8(images).numpy(), every)


def test_the_same_step_draws_the_same() -> None:
    first, again = (sampler(augmentation=0.5).batch(7, ALL) for _ in range(2))
    for name in ("real", "sim", "sim_labels"):
        assert torch.equal(part(first, name), part(again, name))
    for field in ("images", "wanted", "labels"):
        assert torch.equal(getattr(pairs_of(first), field), getattr(pairs_of(again), field))
    assert first.shift == again.shift
    for other in (sampler().batch(8, ALL), sampler(rank=1).batch(7, ALL), sampler(seed=1).batch(7, ALL)):
        assert not torch.equal(part(first, "real"), part(other, "real"))


def test_only_what_terms_want_is_drawn() -> None:
    batch = sampler().batch(0, PAIRED)
    assert batch.real is None and batch.sim is None and batch.paired is not None
    batch = sampler().batch(0, ["cycle"])
    assert batch.real is not None and batch.paired is None
    batch = sampler().batch(0, ["taught"])
    assert batch.real is not None and batch.paired is not None and batch.sim is None


def test_flaws_are_of_the_step_and_the_part() -> None:
    drawn, x = sampler(augmentation=0.5), noise()
    assert torch.equal(drawn.spoil(3, 0, x), drawn.spoil(3, 0, x))
    for other in (drawn.spoil(3, 1, x), drawn.spoil(4, 0, x)):
        assert not torch.equal(other, drawn.spoil(3, 0, x))
    assert sampler(augmentation=0.0).spoil(3, 0, x) is x


def test_the_colours_of_classes_are_their_means() -> None:
    frames = where(3)  # labels are columns, and the twins' green is the column too
    colours = Sampler({"pairs": Source(frames, CPU)}, 1, 0.0, 1.0, 8, 0).class_colours(40)
    assert colours is not None
    torch.testing.assert_close(colours[:32, 1] * 255, torch.arange(32.0))
    torch.testing.assert_close(colours[:32, 0] * 255, torch.full((32,), 11.5))
    assert bool((colours[32:] == 0.5).all())
    assert Sampler({"real": Source(frames, CPU)}, 1, 0.0, 1.0, 8, 0).class_colours(40) is None


def test_half_of_the_classes_are_pasted() -> None:
    pasted = torch.stack([sampler().pasted_classes(step, 10) for step in range(100)])  # (100, 4, 10)
    assert torch.equal(pasted[7], sampler().pasted_classes(7, 10))
    assert 0.4 < pasted.float().mean() < 0.6


def test_shifts_stay_below_the_stride() -> None:
    shifts = {value for step in range(200) for value in sampler_at(step).shift}
    assert shifts == set(range(1, 8))


def sampler_at(step: int):
    return Sampler({"pairs": Source(where(3), CPU)}, 1, 0.0, 1.0, 8, 0).batch(step, PAIRED)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.5, 1.0]))
def test_all_domains_are_cropped_at_the_same_place_and_labels_move_along(step: int, crop: float) -> None:
    sources = {name: Source(where(20), CPU) for name in ("real", "sim", "pairs")}
    batch = Sampler(sources, 5, 0.0, crop, 8, 0).batch(step, ALL)
    pairs = pairs_of(batch)
    assert pairs.wanted is not None
    pictures = {"real": part(batch, "real"), "sim": part(batch, "sim"), "pairs": pairs.images, "twins": pairs.wanted}
    shown = {name: to_uint8(images) for name, images in pictures.items()}
    assert shown["real"].shape[1:3] == (round(crop * 24), round(crop * 32))
    tops = {int(rgb[..., 0].min()) for rgb in shown.values()}
    lefts = {int(rgb[i, ..., 1].min()) for rgb in shown.values() for i in range(5)}
    assert len(tops) == len(lefts) == 1
    assert torch.equal(shown["sim"][..., 1].long(), part(batch, "sim_labels"))
    assert torch.equal(shown["pairs"], shown["twins"])
    assert torch.equal(shown["pairs"][..., 1].long(), pairs.labels)


def test_about_half_of_the_pictures_are_mirrored() -> None:
    batch = Sampler({"pairs": Source(where(3), CPU)}, 400, 0.0, 1.0, 8, 0).batch(0, PAIRED)
    mirrored = pairs_of(batch).labels[:, 0, 0] == 31
    assert 150 < int(mirrored.sum()) < 250


def test_no_picture_is_mirrored_where_left_and_right_differ() -> None:
    batch = Sampler({"pairs": Source(where(3), CPU)}, 400, 0.0, 1.0, 8, 0, mirrored=False).batch(0, PAIRED)
    assert bool((pairs_of(batch).labels[:, 0, 0] == 0).all())


def test_the_segmentation_network_learns_on_every_look_and_most_on_the_varied_one() -> None:
    sources = {name: Source(frames, CPU) for name, frames in domains().items() if name != "real"}
    images, labels = Sampler(sources, 4, 0.0, 1.0, 8, 0).labelled(0)
    assert images.shape == (6, 3, 24, 32)  # a simulated one, four of pairs, the twin of the first
    assert labels.shape == (6, 24, 32) and labels.dtype == torch.int64
    assert torch.equal(labels[1], labels[5])


def test_without_pairs_the_segmentation_network_learns_on_all_simulated_pictures() -> None:
    plain = replace(where(2), canonical=None)
    images, labels = Sampler({"sim": Source(plain, CPU)}, 4, 0.0, 1.0, 8, 0).labelled(0)
    assert images.shape == (4, 3, 24, 32) and labels.shape == (4, 24, 32)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_held_out_frames_are_of_other_sequences(lengths: list[int]) -> None:
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    count = len(sequence)
    rgb = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    if count < 2:
        return
    learned, held_out = split(Frames(rgb, sequence, np.full(count, np.nan)))
    assert len(learned) and len(held_out)
    assert not set(learned.rgb[:, 0, 0, 0]) & set(held_out.rgb[:, 0, 0, 0])
    if len(set(learned.sequence) & set(held_out.sequence)):
        assert max(lengths) > 0.1 * count  # only where sequences are too long to spare one


def test_a_source_of_single_photographs_gives_its_last_ones() -> None:
    frames = Frames(np.zeros((50, 2, 2, 3), np.uint8), np.zeros(50, np.int64), np.arange(50.0))
    learned, held_out = split(frames)
    np.testing.assert_array_equal(held_out.stamp_s, np.arange(45.0, 50.0))
    assert len(learned) == 45


@given(st.integers(0, 12), st.lists(st.integers(1, 5), min_size=1, max_size=12))
def test_a_pool_gives_back_what_it_was_once_given(size: int, batches: list[int]) -> None:
    pool, rng, seen = HistoryPool(size), np.random.default_rng(0), set()
    number = 0
    for count in batches:
        fakes = torch.arange(number, number + count).float().view(-1, 1, 1, 1)
        number += count
        seen |= set(fakes.flatten().tolist())
        room = size - (0 if pool.images is None else len(pool.images))
        given = pool.exchange(fakes, rng)
        assert given.shape == fakes.shape and set(given.flatten().tolist()) <= seen
        assert torch.equal(given[:room], fakes[:room]) or size == 0
        if pool.images is not None:
            kept = pool.images.flatten().tolist()
            assert len(kept) == len(set(kept)) <= size
    if size == 0:
        assert pool.images is None and torch.equal(given, fakes)


def test_a_full_pool_gives_an_older_picture_half_of_the_time() -> None:
    pool, rng = HistoryPool(50), np.random.default_rng(0)
    older = 0
    for step in range(450):
        fake = torch.full((1, 1, 1, 1), float(step))
        older += int(pool.exchange(fake, rng).item() != step)
    assert 150 < older < 250


def noise(seed: int = 0) -> torch.Tensor:
    return torch.rand(6, 3, 20, 28, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_augmentation_is_seeded_bounded_and_can_be_off() -> None:
    x = noise()
    first, again = (augment(x, torch.Generator().manual_seed(3), 1.0) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(x, torch.Generator().manual_seed(4), 1.0))
    assert first.abs().max() <= 1 and (first - x).abs().mean() > 0.05
    assert augment(x, torch.Generator(), 0.0) is x
    assert torch.equal(x, noise()), "the pictures are left alone"


def test_augmentation_differs_from_picture_to_picture() -> None:
    grey = torch.zeros(16, 3, 16, 16)
    means = augment(grey, torch.Generator().manual_seed(0), 1.0).mean((2, 3))
    assert means.std(0).min() > 0.05


def test_compression_is_a_cosine_transform() -> None:
    matrix = cosine_matrix()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(8), rtol=0, atol=1e-6)
    x = (noise() + 1) / 2
    none, coarse = torch.zeros(6, 1, 1, 1), torch.ones(6, 1, 1, 1)
    torch.testing.assert_close(compress(x, none), x, rtol=0, atol=1e-3)
    assert (compress(x, coarse) - x).abs().mean() > 0.02
    flat = torch.full((1, 3, 20, 28), 0.4)
    assert compress(flat, coarse[:1]).std() == pytest.approx(0, abs=1e-6)

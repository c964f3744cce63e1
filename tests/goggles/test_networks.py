"""Networks: any size in, the same size out; the published ones have the published size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from simgym.goggles.losses import label_loss
from simgym.goggles.networks import (
    GENERATORS,
    Generator,
    Painter,
    SegmentationNetwork,
    added_blocks,
    begin_as_nothing,
    make_discriminator,
    make_generator,
    make_painter,
    make_segmentation,
)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def picture(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height * width)) * 2 - 1


@pytest.fixture(scope="module")
def unet() -> Generator:
    torch.manual_seed(0)
    return make_generator("unet").eval()


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40))
def test_any_size_goes_through(unet: Generator, height: int, width: int) -> None:
    out = unet(picture(height, width))
    assert out.shape == (1, 3, height, width)
    assert out.abs().max() <= 1


@pytest.mark.parametrize("name", GENERATORS)
def test_the_simulated_camera_goes_through_every_generator(name: str) -> None:
    torch.manual_seed(0)
    generator = make_generator(name).eval()
    with torch.no_grad():
        assert generator(picture(60, 80)).shape == (1, 3, 60, 80)
    assert generator.stride == {"unet": 8, "deep": 8, "mobile": 8, "resnet9": 4}[name]


def test_padding_is_cut_off_again(unet: Generator) -> None:
    x = picture(60, 80)
    padded = torch.cat([x, x[:, :, -1:].expand(-1, -1, 4, -1)], 2)  # the edge repeated to 64 rows
    with torch.no_grad():
        torch.testing.assert_close(unet(x), unet(padded)[:, :, :60], rtol=0, atol=1e-5)


def test_published_networks_have_the_published_size() -> None:
    # Both as the authors' code prints them: 11.378 M and 2.765 M.
    assert round(count(make_generator("resnet9")) / 1e6, 3) == 11.378
    discriminator = make_discriminator("basic")
    assert round(count(discriminator) / 1e6, 1) == 2.8


def test_ours_are_small() -> None:
    assert 0.6e6 < count(make_generator("unet")) < 1.1e6
    assert round(count(make_generator("deep")) / 1e6, 1) == 1.7
    assert count(make_generator("mobile")) < 0.25e6
    assert count(make_segmentation(14)) < 1.1e6


def test_a_network_grows_from_one_with_fewer_blocks_alone() -> None:
    growing = {
        (large, small)
        for large in GENERATORS
        for small in GENERATORS
        if large != small and GENERATORS[large].grows_from(GENERATORS[small])
    }
    assert growing == {("deep", "unet")}
    assert all(config.grows_from(config) for config in GENERATORS.values())


def test_added_blocks_do_nothing_at_first_and_learn() -> None:
    torch.manual_seed(0)
    small, large = make_generator("unet"), make_generator("deep")
    added = added_blocks(large, small.state_dict())
    assert len(added) == 2 + 2  # at the smallest size, and one at each of the others
    begin_as_nothing(added.values())
    keys = large.load_state_dict(small.state_dict(), strict=False)
    assert not keys.unexpected_keys and all(key.startswith(tuple(added)) for key in keys.missing_keys)
    x = picture(60, 80, 4)
    for mode in (True, False):
        torch.testing.assert_close(large.train(mode)(x), small.train(mode)(x), rtol=0, atol=0)
    large.train()(x).square().mean().backward()
    for block in added.values():
        scale = block.second[-1].get_parameter("weight")
        assert scale.grad is not None and scale.grad.abs().max() > 0


@pytest.mark.parametrize(("size", "field"), [("basic", 70), ("small", 34)])
def test_a_score_sees_a_patch(size: str, field: int) -> None:
    torch.manual_seed(0)
    layers = [layer for layer in make_discriminator(size).layers if not isinstance(layer, torch.nn.InstanceNorm2d)]
    scores = torch.nn.Sequential(*layers)  # an instance's mean and deviation are of all of it
    x = picture(128, 128).requires_grad_()
    middle = scores(x)
    middle[0, 0, middle.shape[2] // 2, middle.shape[3] // 2].backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (field, field)


@pytest.mark.parametrize("name", ["unet", "deep", "mobile"])
def test_flat_stays_flat(name: str) -> None:
    torch.manual_seed(0)
    generator = make_generator(name).eval()
    with torch.no_grad():
        out = generator(torch.full((1, 3, 320, 320), 0.3))
    middle = out[..., 152:168, 152:168]  # farther from the edge than the network sees
    squares = functional.pixel_unshuffle(middle, generator.trunk.config.fold)  # what is folded repeats itself
    assert (squares - squares[..., :1, :1]).abs().max() < 1e-5


def test_a_frame_is_translated_the_same_alone_and_among_others(unet: Generator) -> None:
    batch = picture(24, 32, batch=4)
    with torch.no_grad():
        torch.testing.assert_close(unet(batch)[:1], unet(batch[:1]), rtol=0, atol=1e-5)


def test_segmentation_scores_classes_and_has_features() -> None:
    network = SegmentationNetwork(14).eval()
    assert network(picture(30, 40, 2)).shape == (2, 14, 30, 40)
    assert network.features(picture(30, 40, 2)).shape == (2, 128)


COLOURS = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
HEAVY = torch.tensor([1.0, 1.0, 1.0, 3.0, 1.0])


def painter(weights: torch.Tensor = HEAVY, caution: torch.Tensor | None = None) -> Painter:
    torch.manual_seed(0)
    return make_painter("unet", weights, COLOURS, caution).eval()


def test_a_sure_painter_paints_the_colours_of_classes() -> None:
    network = painter()
    head = network.trunk.head
    with torch.no_grad():
        head.weight.zero_()
        assert head.bias is not None
        head.bias.zero_()
        head.bias[2 * 4 : 3 * 4] = 100.0  # class 2, all four pixels of a square; light at its middle: times 1
        painted, scores = network.with_scores(picture(24, 32))
    assert scores.shape == (1, 5, 24, 32) and bool((scores.argmax(1) == 2).all())
    torch.testing.assert_close((painted + 1) / 2, COLOURS[2].view(1, 3, 1, 1).expand(1, 3, 24, 32))


def unsure(network: Painter, scores: list[float]) -> Painter:
    """With these scores everywhere, and light at its middle."""
    head = network.trunk.head
    with torch.no_grad():
        head.weight.zero_()
        assert head.bias is not None
        head.bias.zero_()
        head.bias[: 4 * len(scores)] = torch.tensor(scores).repeat_interleave(4)
    return network


def test_an_unsure_painter_mixes_colours_in_training_and_decides_afterwards() -> None:
    scores = [2.0, 0.0, 1.9, 0.0, 0.0]
    network = unsure(painter(torch.ones(5)), scores)
    mixture = torch.tensor(scores).softmax(0) @ COLOURS
    with torch.no_grad():
        decided, mixed = network(picture(24, 32)), network.train()(picture(24, 32))
    torch.testing.assert_close((decided[0, :, 5, 5] + 1) / 2, COLOURS[0])
    torch.testing.assert_close((mixed[0, :, 5, 5] + 1) / 2, mixture)


@pytest.mark.parametrize(("caution", "painted"), [(1.0, 0), (1.05, 0), (1.2, 2)])
def test_what_wants_caution_is_painted_only_where_it_is_so_much_more_probable(caution: float, painted: int) -> None:
    """Class 0 is e^0.1 = 1.105 times as probable as class 2."""
    network = unsure(painter(torch.ones(5), torch.tensor([caution, 1, 1, 1, 1])), [2.0, 0.0, 1.9, 0.0, 0.0])
    with torch.no_grad():
        torch.testing.assert_close((network(picture(24, 32))[0, :, 5, 5] + 1) / 2, COLOURS[painted])


def test_a_painter_takes_the_weights_of_classes_out_again() -> None:
    scores = torch.zeros(1, 5, 2, 2)
    weighted = (HEAVY / HEAVY.sum()).log().view(1, 5, 1, 1).expand(1, 5, 2, 2)  # what weighting makes of no idea
    torch.testing.assert_close(painter().probabilities(weighted), torch.full_like(scores, 0.2))


def test_labels_learned_with_the_weights_of_their_classes_get_the_probabilities_that_they_have() -> None:
    shares = torch.tensor([0.1, 0.2, 0.3, 0.15, 0.25])
    labels = torch.arange(5).repeat_interleave((100 * shares).round().long()).view(1, 1, 100)
    scores = (HEAVY * shares).log()[None, :, None, None].expand(1, 5, 1, 100).clone().requires_grad_()
    label_loss(scores, labels, HEAVY[labels]).backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad.sum((2, 3)), torch.zeros(1, 5), atol=1e-6, rtol=0)  # so these are learned
    torch.testing.assert_close(painter().probabilities(scores[..., :1]).flatten(), shares)


def test_a_painter_translates_what_it_scores() -> None:
    network, x = painter(), picture(24, 32)
    with torch.no_grad():
        assert torch.equal(network(x), network.with_scores(x)[0])
        assert network(x).abs().max() <= 1

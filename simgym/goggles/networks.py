"""Networks of the goggles: generators in one family, PatchGAN discriminators, the segmentation network.

Pictures are (B, 3, H, W) float32 in [-1, 1], in memory channels last, which is what frames (B, H, W, 3) are anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import torch
from torch import nn
from torch.nn import functional

Network = TypeVar("Network", bound=nn.Module)
PATCHES = {"basic": (3, 64), "small": (2, 32)}  # halvings and channels of a PatchGAN


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """A fully convolutional network that halves the picture ``depth`` times, thinks, and doubles it again.

    Args:
        width: channels at full size; they double with every halving.
        depth: halvings.
        blocks: residual blocks at the smallest size.
        norm: ``batch`` or ``instance``. Instance normalization looks at one picture alone and, on a bare wall, blows
            noise up to objects; batch normalization keeps flat what is flat.
        skips: whether the encoder's features are added to the decoder's of the same size (U-Net, Ronneberger et al.
            2015, by sums): edges stay where they are.
        separable: depthwise separable convolutions (Howard et al. 2017), some six times fewer multiplications.
        edge_kernel: size of the first and last convolution's kernel.
        transposed: whether pictures are doubled by transposed convolutions, as in the CycleGAN code, or by repetition
            and convolution, which leaves no checkerboard (Odena et al. 2016).
        padding: ``zeros`` or ``reflect``, around the first, the last and the residual blocks' convolutions.
        fold: squares of this many pixels a side become channels before everything else, and pixels again at the end
            (Shi et al. 2016): the costly layers at full size are saved.
        refine: residual blocks at each of the larger sizes, on the way down.
    """

    width: int
    depth: int
    blocks: int
    norm: str = "batch"
    skips: bool = True
    separable: bool = False
    edge_kernel: int = 3
    transposed: bool = False
    padding: Literal["zeros", "reflect"] = "zeros"
    fold: int = 1
    refine: int = 0

    @property
    def stride(self) -> int:
        """K: by how much the picture shrinks on the way."""
        return self.fold * 2**self.depth

    def grows_from(self, smaller: EncoderDecoderConfig) -> bool:
        """Whether this is the other network, or that with residual blocks added; see `begin_as_nothing`."""
        pruned = replace(self, blocks=smaller.blocks, refine=smaller.refine)
        larger = smaller.blocks <= self.blocks and smaller.refine <= self.refine and self.norm == "batch"
        return self == smaller or (pruned == smaller and larger)


# Goggles of unet may go on as deep, half as slow again: 86 % of 450 episodes, where as many steps more left unet at 83.
GENERATORS = {
    "unet": EncoderDecoderConfig(width=32, depth=2, blocks=3, fold=2),
    "deep": EncoderDecoderConfig(width=32, depth=2, blocks=5, fold=2, refine=1),
    "mobile": EncoderDecoderConfig(width=16, depth=3, blocks=3, separable=True),
    # Johnson et al. 2016 as CycleGAN and VR-Goggles have it.
    "resnet9": EncoderDecoderConfig(
        64, 2, 9, norm="instance", skips=False, edge_kernel=7, transposed=True, padding="reflect"
    ),
}
# In 210 s of a core 86.8 % of held-out varied pixels, IoU of chairs 0.26; one of width 12, depth 3: 86.0 %, 0.19.
SEGMENTATION = GENERATORS["unet"]


class EncoderDecoder(nn.Module):
    """The common trunk: (B, 3, H, W) -> (B, C, H, W), any H and W.

    Sizes that the stride does not divide are padded with repeated edges on the right and below, and cut again.
    """

    def __init__(self, config: EncoderDecoderConfig, out_channels: int) -> None:
        super().__init__()
        self.config = config
        widths = [config.width << level for level in range(config.depth + 1)]
        self.stem = _convolution(config, 3 * config.fold**2, widths[0], config.edge_kernel, separable=False)
        self.down = nn.ModuleList(
            _convolution(config, inside, outside, 3, stride=2, padding_mode="zeros")
            for inside, outside in zip(widths, widths[1:], strict=False)
        )
        self.blocks = _residual_blocks(config, widths[-1], config.blocks)
        self.refine = nn.ModuleList(_residual_blocks(config, width, config.refine) for width in widths[:-1])
        pairs = list(zip(widths[1:], widths, strict=False))[::-1]
        self.narrow = nn.ModuleList(_upsampling(config, inside, outside) for inside, outside in pairs)
        self.merge = nn.ModuleList(
            nn.Identity() if config.transposed else _convolution(config, outside, outside, 3) for _, outside in pairs
        )
        pad = config.edge_kernel // 2
        out = out_channels * config.fold**2
        self.head = nn.Conv2d(widths[0], out, config.edge_kernel, padding=pad, padding_mode=config.padding)

    def bottleneck(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, 3, H, W) -> the deepest features (B, W_depth, H/K, W/K), and those on the way there."""
        folded = functional.pixel_unshuffle(_padded(images, self.config.stride), self.config.fold)
        features = [self.stem(folded)]
        for refine, layer in zip(self.refine, self.down, strict=True):
            features[-1] = refine(features[-1])
            features.append(layer(features[-1]))
        return self.blocks(features.pop()), features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, C, H, W)."""
        x, features = self.bottleneck(images)
        for narrow, merge in zip(self.narrow, self.merge, strict=True):
            x, skip = narrow(x), features.pop()
            x = merge(x + skip if self.config.skips else x)
        return functional.pixel_shuffle(self.head(x), self.config.fold)[..., : images.shape[2], : images.shape[3]]


class Generator(nn.Module):
    """Translates pictures: (B, 3, H, W) in [-1, 1] -> the same, through a hyperbolic tangent."""

    def __init__(self, config: EncoderDecoderConfig, out_channels: int = 3) -> None:
        super().__init__()
        self.trunk = EncoderDecoder(config, out_channels)

    @property
    def stride(self) -> int:
        """K, the down-sampling factor: only shifts that it does not divide can change the translation."""
        return self.trunk.config.stride

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 3, H, W)."""
        return torch.tanh(self.trunk(images))


class Painter(Generator):
    """A generator that knows what it paints: every pixel gets a class, the class its colour, and the light a factor.

    A simulator's plain style is little more than a colour a class, so a network that colours pixels freely spends
    itself on mixtures: what may be a chair or a table gets a colour of neither. Here labels teach what is where, at
    once for the colours, and there are no others than those of classes.

    In training a pixel has the mean of the colours, weighted by their probabilities, so that it can be learned from. In
    evaluation it has one of them, or mixtures would pass for what has such a colour by itself: half wall, half table is
    the colour of floor. It is the class of least expected cost, where to see class c in place of another is
    ``caution(c)`` times as bad as to see the other in place of c.

    Args:
        config: of the trunk.
        class_weights: (C,) what a pixel of each class weighs in the loss of the scores; what they say too often for it,
            p(c) ~ softmax(s)(c) / w(c), is taken out again.
        colours: (C, 3) of the classes, 0..1, to begin with.
        caution: (C,) how much more probable a class must be than others to be painted, 1 where it need not.
    """

    def __init__(
        self, config: EncoderDecoderConfig, class_weights: torch.Tensor, colours: torch.Tensor, caution: torch.Tensor
    ) -> None:
        super().__init__(config, len(class_weights) + 1)
        self.bias: torch.Tensor
        self.caution: torch.Tensor
        # (C, 1, 1); of this training's settings, so not among the weights that another one begins with
        self.register_buffer("bias", class_weights.log()[:, None, None], persistent=False)
        self.register_buffer("caution", caution[:, None, None], persistent=False)
        self.colours = nn.Parameter(colours.clone())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 3, H, W)."""
        return self.with_scores(images)[0]

    def with_scores(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) -> the translation (B, 3, H, W) and the scores of its classes, (B, C, H, W) logits."""
        features = self.trunk(images)
        scores, light = features[:, :-1], 2 * torch.sigmoid(features[:, -1:])
        probabilities = self.probabilities(scores)
        if self.training:
            painted = torch.einsum("bchw,cd->bdhw", probabilities, self.colours)
        else:
            painted = self.colours[(probabilities / self.caution).argmax(1)].permute(0, 3, 1, 2)
        return (2 * light * painted - 1).clamp(-1, 1), scores

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """Of the classes, (B, C, H, W), without the bias that their weights put into the scores."""
        return (scores - self.bias).softmax(1)


class SegmentationNetwork(nn.Module):
    """Scores of the semantic classes, (B, 3, H, W) -> (B, C, H, W); its bottleneck is what KID compares."""

    def __init__(self, num_classes: int, config: EncoderDecoderConfig = SEGMENTATION) -> None:
        super().__init__()
        self.trunk = EncoderDecoder(config, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, C, H, W) logits."""
        return self.trunk(images)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D): the deepest features, as means over the picture."""
        return self.trunk.bottleneck(images)[0].mean((2, 3))


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): one score a patch, (B, 3, H, W) -> (B, 1, h, w).

    Args:
        size: ``basic`` sees patches of 70x70 pixels with 64 channels, as published; ``small`` sees 34x34 with 32
            channels: a patch of a picture of 80x60 should not be all of it, or the score judges what is in the scene.
    """

    def __init__(self, size: str) -> None:
        super().__init__()
        halvings, width = PATCHES[size]
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for level in range(1, halvings + 1):
            stride = 2 if level < halvings else 1
            layers += [
                nn.Conv2d(width << level - 1, width << level, 4, stride=stride, padding=1, bias=False),
                nn.InstanceNorm2d(width << level),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width << halvings, 1, 4, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, 1, h, w)."""
        return self.layers(images)


class ResidualBlock(nn.Module):
    """Two convolutions beside the way straight through."""

    def __init__(self, config: EncoderDecoderConfig, width: int) -> None:
        super().__init__()
        self.first = _convolution(config, width, width, 3)
        self.second = _convolution(config, width, width, 3, active=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.second(self.first(x))


def added_blocks(network: nn.Module, known: Collection[str]) -> dict[str, ResidualBlock]:
    """The residual blocks of ``network`` that a smaller one lacks, by name.

    Args:
        network: the larger one.
        known: names of layers or of their weights in the smaller one.
    """
    return {
        name: block
        for name, block in network.named_modules()
        if isinstance(block, ResidualBlock) and not any(key.startswith(f"{name}.") for key in known)
    }


def begin_as_nothing(blocks: Iterable[ResidualBlock]) -> None:
    """Let batch-normalized residual blocks add nothing at first: a network that works goes on, with more room.

    The scale at the end of the residual branch becomes zero (Goyal et al. 2017, 5.1).
    """
    for block in blocks:
        scale = block.second[-1]
        assert isinstance(scale, nn.BatchNorm2d)  # `EncoderDecoderConfig.grows_from` admits no other
        nn.init.zeros_(scale.weight)


def initialize(modules: Iterable[nn.Module], gain: float = 0.02) -> None:
    """Weights from a normal distribution of this standard deviation, biases zero, as in the CycleGAN code."""
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, std=gain)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)


def make_generator(name: str) -> Generator:
    """A freshly initialized generator by name, see `GENERATORS`, in channels-last memory."""
    config = GENERATORS[name]
    generator = Generator(config)
    if config.norm == "instance":  # as published; batch normalization does better with torch's own start
        initialize([generator])
    return channels_last(generator)


def make_painter(
    name: str, class_weights: torch.Tensor, colours: torch.Tensor, caution: torch.Tensor | None = None
) -> Painter:
    """A freshly initialized painter by the generator's name, see `Painter`, in channels-last memory."""
    caution = torch.ones_like(class_weights) if caution is None else caution
    return channels_last(Painter(GENERATORS[name], class_weights, colours, caution))


def make_discriminator(size: str) -> PatchDiscriminator:
    """A freshly initialized discriminator in channels-last memory."""
    discriminator = PatchDiscriminator(size)
    initialize([discriminator])
    return channels_last(discriminator)


def make_segmentation(num_classes: int) -> SegmentationNetwork:
    """A freshly initialized segmentation network in channels-last memory."""
    return channels_last(SegmentationNetwork(num_classes))


def channels_last(module: Network) -> Network:
    """The module with its weights as frames are in memory; convolutions on a CPU take half the time so."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _convolution(
    config: EncoderDecoderConfig,
    inside: int,
    outside: int,
    kernel: int,
    stride: int = 1,
    active: bool = True,
    padding_mode: Literal["zeros", "reflect"] | None = None,
    separable: bool = True,
) -> nn.Sequential:
    """Convolution, normalization and, where ``active``, a ReLU; separable where the network is and the layer may be."""
    mode = padding_mode or config.padding
    layers: list[nn.Module]
    shape = {"kernel_size": kernel, "stride": stride, "padding": kernel // 2, "padding_mode": mode}
    bias = config.norm == "instance"  # as published, though the normalization takes it out again
    if config.separable and separable:
        layers = [
            nn.Conv2d(inside, inside, groups=inside, bias=False, **shape),  # type: ignore[arg-type]
            nn.Conv2d(inside, outside, 1, bias=False),
        ]
    else:
        layers = [nn.Conv2d(inside, outside, bias=bias, **shape)]  # type: ignore[arg-type]
    layers.append(_norm(config, outside))
    return nn.Sequential(*layers, *([nn.ReLU()] if active else []))


def _residual_blocks(config: EncoderDecoderConfig, width: int, number: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(config, width) for _ in range(number)))


def _upsampling(config: EncoderDecoderConfig, inside: int, outside: int) -> nn.Sequential:
    """Half the channels, twice the size; the channels first, where that is cheaper."""
    if config.transposed:
        layer = nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1)
        return nn.Sequential(layer, _norm(config, outside), nn.ReLU())
    pointwise = replace(config, separable=False)
    return nn.Sequential(_convolution(pointwise, inside, outside, 1, padding_mode="zeros"), nn.Upsample(scale_factor=2))


def _norm(config: EncoderDecoderConfig, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if config.norm == "batch" else nn.InstanceNorm2d(width)


def _padded(images: torch.Tensor, stride: int) -> torch.Tensor:
    """With edges repeated on the right and below, up to the next multiple of the stride."""
    right, below = -images.shape[3] % stride, -images.shape[2] % stride
    return functional.pad(images, (0, right, 0, below), mode="replicate") if right or below else images

"""Which frames play which part in a training, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from simgym.config.goggles import CLASSES, ColorMethod, GogglesMethod, NetworkMethod
from simgym.config.schema import GogglesTrainConfig
from simgym.config.sources import SourceConfig
from simgym.deploy.camera import Camera
from simgym.errors import UsageError, UserError

from .frames import Frames
from .marked import load_marked
from .sources import read_frames

FEWEST = 10  # frames of a source: there is no style in fewer
SMALLEST_CROP_PX = 24
SIMULATED = SourceConfig(min_change=0.0)  # collected frames are used as they are


def camera_of(config: GogglesTrainConfig) -> Camera:
    """The simulated camera that the task's policies see through."""
    path = getattr(config.env, "camera", None)
    return Camera.from_yaml(path) if path else Camera()


def load_domains(config: GogglesTrainConfig, camera: Camera) -> dict[str, Frames]:
    """Frames by the part they play: ``real``, ``sim`` (in the canonical look), ``pairs``, ``marked``, as far as given.

    A ``sim=`` source with canonical twins, as `simgym.collect` writes it with ``paired=true``, also serves as
    ``pairs=``, and a ``pairs=`` source without ``sim=`` shows by its twins what simulation looks like.

    Raises:
        UsageError: the method needs a source that is not given.
        UserError: a source has too few frames, other sizes than the camera, unknown labels, or no twins or labels where
            they are needed.
    """
    given = {name: getattr(config, name) for name in ("real", "sim", "pairs")}
    domains = {name: _load(name, text, config, camera) for name, text in given.items() if text is not None}
    for name, frames in domains.items():
        _check(f"{name}={given[name]}", frames, camera)
    sim, pairs = domains.get("sim"), domains.get("pairs")
    if pairs is None and sim is not None and sim.canonical is not None:
        domains["pairs"] = pairs = sim
    if pairs is not None and pairs.canonical is None:
        raise UserError(
            f"pairs={given['pairs']}: its frames have no canonical twins; make them with "
            "python -m simgym.collect domain=randomized paired=true"
        )
    shown = sim if sim is not None else pairs
    if shown is not None:
        domains["sim"] = shown if shown.canonical is None else replace(shown, rgb=shown.canonical, canonical=None)
    if config.marked is not None:
        domains["marked"], said = load_marked(config.marked, config.frames, camera)
        print(f"marked: {said}", flush=True)
    check_needs(config.goggles.method, domains)
    _check_crop(config, camera)
    return domains


def _load(name: str, source: str, config: GogglesTrainConfig, camera: Camera) -> Frames:
    """Frames as the simulated camera would see them; what was read and what was not is said in one line."""
    frames, report = read_frames(source, config.frames if name == "real" else SIMULATED, camera, FEWEST)
    print(f"{name}: {report.summary()}", flush=True)
    return frames


def check_needs(method: GogglesMethod, domains: Mapping[str, Frames]) -> None:
    """Raise UsageError where the method lacks a source, or labels, that one of its terms needs."""
    wanted = []
    if isinstance(method, ColorMethod) or (isinstance(method, NetworkMethod) and method.real_needed):
        wanted += ["real"]
    if isinstance(method, ColorMethod) or (isinstance(method, NetworkMethod) and method.unpaired_needed):
        wanted += ["sim"]
    if isinstance(method, NetworkMethod) and method.pairs_needed:
        wanted += ["pairs"]
    if not wanted:
        raise UsageError(f"goggles/method={method.name}: all weights are 0, so there is nothing to learn")
    missing = [name for name in wanted if name not in domains]
    if missing:
        raise UsageError(f"goggles/method={method.name} needs {'= and '.join(missing)}=: give a source of frames")
    if "marked" in domains and not (isinstance(method, NetworkMethod) and method.taught_needed):
        raise UsageError(
            f"marked= does nothing with goggles/method={method.name} unless goggles.method.taught is above 0"
        )
    if not isinstance(method, NetworkMethod):
        return
    if method.pairs_needed and domains["pairs"].segmentation is None:
        raise UserError("the paired terms need labels, but the frames of pairs= have no segmentation/*.png")
    if method.segmentation_needed and not any(labelled(domains)):
        raise UserError(
            f"goggles/method={method.name} needs labelled simulated frames: sim= or pairs= with segmentation/*.png"
        )


def labelled(domains: Mapping[str, Frames]) -> list[str]:
    """The simulated sources that have labels."""
    return [name for name in ("sim", "pairs") if name in domains and domains[name].segmentation is not None]


def _check_crop(config: GogglesTrainConfig, camera: Camera) -> None:
    width, height = round(config.crop * camera.width), round(config.crop * camera.height)
    if min(width, height) < SMALLEST_CROP_PX:
        raise UsageError(
            f"crop={config.crop}: crops of {width}x{height} pixels are smaller than the {SMALLEST_CROP_PX} that a "
            "discriminator needs: raise it"
        )


def _check(name: str, frames: Frames, camera: Camera) -> None:
    if len(frames) < FEWEST:
        raise UserError(f"{name}: has {len(frames)} frames, expected at least {FEWEST}")
    size = (camera.height, camera.width)
    for key in ("rgb", "segmentation", "canonical"):
        array = getattr(frames, key)
        if array is not None and array.shape[1:3] != size:
            raise UserError(
                f"{name}: its {key} pictures are {array.shape[2]}x{array.shape[1]}, but the camera of env= has "
                f"{camera.width}x{camera.height}"
            )
    if frames.segmentation is not None and frames.segmentation.max() >= len(CLASSES):
        raise UserError(
            f"{name}: its labels go up to {frames.segmentation.max()}, but there are only {len(CLASSES)} classes "
            f"(0 {CLASSES[0]} to {len(CLASSES) - 1} {CLASSES[-1]})"
        )

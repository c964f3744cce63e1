"""Measure on real photographs whether a policy turns to the chair, and whether goggles keep it; needs no robot.

Photographs and chair masks (255 = chair) are matched by stem. Of those whose largest chair lies clearly to one side,
the share is counted in which the policy, standing still, turns to that side; chance is 50 %. Of all that show a chair,
the IoU is measured of its pixels and those that pass for a chair in the simulator's style, before and after goggles.
Frames that simgym.collect wrote, with their labels, do as well: leave masks= out.
Writes photos.json and photos.png, where green arrows turn to the chair and red ones away from it; orange pixels are
chair and pass for it, violet ones only are chair, blue ones only pass for it.

Examples:
    python -m simgym.evaluate_photos policy=pretrained rgb=rooms/rgb masks=rooms/chair_mask
    python -m simgym.evaluate_photos policy=runs/x/policy.onnx goggles=pretrained rgb=a masks=b camera=camera_info.yaml
    python -m simgym.collect domain=sim frames=1000 stride=200 run=1 out=runs/first_frames
    python -m simgym.evaluate_photos policy=pretrained rgb=runs/first_frames
"""

from __future__ import annotations

import math
import sys
from typing import Any

from simgym.config.command import run_command
from simgym.config.run_dir import run_folder
from simgym.config.schema import PhotosConfig

WHEN = {"before": "without goggles", "after": "behind them"}


def main(config: PhotosConfig) -> None:
    """Measure and say what was found."""
    from simgym.deploy import Calibration
    from simgym.policies.photos import evaluate_photos

    calibration = Calibration.from_yaml(config.camera) if config.camera else None
    fov_rad = math.radians(config.horizontal_fov_deg)
    with run_folder(config) as out:
        result = evaluate_photos(
            config.policy, config.rgb, config.masks, out, config.goggles, calibration, fov_rad, config.env.name
        )
    low, high = result["ci95"]
    print(
        f"steering agreement {result['agreement']:.1%} (95 % interval {low:.1%} to {high:.1%}) "
        f"on {result['n']} of {result['photos']} photographs"
    )
    print("by the chair's side: " + ", ".join(_side(name, result[name]) for name in ("left", "right")))
    chairs = result["chair_iou"]
    if chairs["photos"]:
        kept = {name: part for name in ("before", "after") if (part := chairs[name]) is not None}
        means = ", ".join(
            f"{part['mean']:.3f} ({part['ci95'][0]:.3f} to {part['ci95'][1]:.3f}) {WHEN[name]}"
            for name, part in kept.items()
        )
        print(f"chairs kept, mean IoU {means}, on {chairs['photos']} photographs with a chair in sight")
    print(f"wrote {out}/photos.json and {out}/photos.png")


def _side(name: str, part: dict[str, Any]) -> str:
    return f"{name} {part['agreement']:.1%} of {part['n']}" if part["n"] else f"{name} none"


if __name__ == "__main__":
    sys.exit(run_command(PhotosConfig, main))

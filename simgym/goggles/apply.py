"""Translate recorded frames through goggles: pictures, a video or a rosbag.

What comes out is of the kind that went in: pictures/*.png, translated.mp4, or bag/ (rosbag 2), where the topic
/camera/image_raw becomes /camera/goggles/image_raw beside a camera_info, with the stamps that it had.

Examples:
    python -m simgym.goggles.apply goggles=pretrained source=office/*.jpg side_by_side=true
    python -m simgym.goggles.apply goggles=goggles.onnx source=drive.mp4 frames.camera=camera_info.yaml
    python -m simgym.goggles.apply goggles=goggles.onnx source=drive.mcap frames.topic=/camera/image_raw
"""

from __future__ import annotations

import sys

from simgym.config.command import run_command
from simgym.config.run_dir import run_folder
from simgym.config.schema import ApplyConfig


def main(config: ApplyConfig) -> None:
    """Translate and say what was read and written."""
    from simgym.goggles.playback import write_translated
    from simgym.shipped import load_goggles

    goggles = load_goggles(config.goggles, config.env.name)
    with run_folder(config) as out:
        report, written = write_translated(goggles, config.source, config.frames, out, config.side_by_side)
    print(f"{report.summary()}; wrote {written}")


if __name__ == "__main__":
    sys.exit(run_command(ApplyConfig, main))

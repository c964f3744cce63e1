"""Collect frames with labels, for training goggles or a student by imitation.

Writes rgb/*.png, segmentation/*.png (semantic classes), frames.csv, camera_info.yaml and, with paired=true,
canonical/*.png: each frame in the simulator's plain style, pixel by pixel. The same seed gives the same frames,
whatever num_envs is. The camera delivers every frame at once, so that labels fit.

Examples:
    python -m simgym.collect domain=randomized frames=5000
    python -m simgym.collect domain=standin domain.place=0 paired=false policy=pretrained
    python -m simgym.collect env=Grasp policy=random stride=4
    python -m simgym.collect domain=randomized policy=pretrained goggles=pretrained stride=6 run=1
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from dataclasses import replace

from simgym.config.command import run_command
from simgym.config.run_dir import run_folder
from simgym.config.schema import CollectConfig


def main(config: CollectConfig) -> None:
    """Collect and say how fast it went."""
    from simgym.envs.simulation import Simulation
    from simgym.policies.actors import make_actor
    from simgym.policies.collection import collect, fresh_frames

    config = replace(config, domain=fresh_frames(config.domain))
    worlds = min(config.num_envs, config.frames)
    with (
        run_folder(config) as out,
        closing(Simulation(config.env, config.domain, worlds, config.split, twin=True)) as simulation,
    ):
        actor = make_actor(config.policy, config.goggles, simulation, config.seed)
        begin = time.perf_counter()
        rows = collect(simulation, actor, out, config.frames, config.seed, config.stride, config.run, config.paired)
        rate = len(rows) / (time.perf_counter() - begin)
    episodes = rows[-1]["episode"] + 1
    folders = "rgb, segmentation, canonical" if config.paired else "rgb, segmentation"
    print(f"{len(rows)} frames of {episodes} episodes, {rate:.0f} a second; wrote {folders}, frames.csv in {out}")


if __name__ == "__main__":
    sys.exit(run_command(CollectConfig, main))

"""Preview what a domain draws: a picture grid of what the robot may meet.

Writes preview.png. Each cell shows what the robot sees, and its world from aside, two seconds into an episode: the
scripted expert has turned it off the wall that it may have started at, or has brought its hand to an object.

Examples:
    python -m simgym.preview env=ChairNav domain=randomized
    python -m simgym.preview env=Grasp env.view=shoulder
    python -m simgym.preview domain=randomized split=test rows=8 seed=2
    python -m simgym.preview domain=randomized 'domain.randomization.look.saturation=[0,0.2]'
"""

from __future__ import annotations

import sys
from contextlib import closing

import numpy as np

from simgym.config.command import run_command
from simgym.config.run_dir import run_folder
from simgym.config.schema import PreviewConfig

VIEW_PX = 180  # about the height of a cell
DRIVE_S = 2.0


def main(config: PreviewConfig) -> None:
    """Draw the grid."""
    from simgym.files import write_image
    from simgym.report_page import tile

    with run_folder(config) as out:
        cells = _draw_cells(config)
        write_image(out / "preview.png", tile(cells, config.columns, gap_px=8))
    print(f"drew {len(cells)} worlds of {config.domain.name}; wrote {out / 'preview.png'}")


def _draw_cells(config: PreviewConfig) -> list[np.ndarray]:
    """What the robot sees beside its world, for each episode."""
    from simgym.envs.simulation import Simulation
    from simgym.policies.evaluation import episode_seeds
    from simgym.policies.pictures import draw_world
    from simgym.report_page import enlarge

    cells = []
    with closing(Simulation(config.env, config.domain, config.columns, config.split)) as simulation:
        worlds = np.arange(config.columns)
        height, width = simulation.camera.height, simulation.camera.width
        factor = max(1, round(VIEW_PX / height))
        seeds = episode_seeds(config.seed, config.rows * config.columns, config.split)
        for row in np.reshape(seeds, (config.rows, config.columns)):
            simulation.reset(worlds, row)
            for _ in range(round(DRIVE_S / simulation.task.control_dt_s)):
                simulation.step(simulation.expert_action())
            views = simulation.observe().image
            for world in worlds.tolist():
                aside = draw_world(simulation, world, width * factor, height * factor)
                cells.append(np.hstack([enlarge(views[world], factor), aside]))
    return cells


if __name__ == "__main__":
    sys.exit(run_command(PreviewConfig, main))

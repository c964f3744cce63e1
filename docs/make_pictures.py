"""Draw the pictures of the documentation: `python docs/make_pictures.py [policy]` writes them beside this file."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.actors import make_actor
from simgym.policies.evaluation import episode_seeds, evaluate
from simgym.policies.video import write_video

FOLDER = Path(__file__).parent
EPISODES, SEED = 3, 1  # of the test split


def draw_behaviour(policy: str) -> Path:
    """An animation of a policy's first episodes, good or bad."""
    env, path = ChairNavConfig(), FOLDER / "chair_nav.gif"
    with closing(Simulation(env, DOMAINS["sim"], EPISODES, "test")) as simulation:
        actor = make_actor(policy, None, simulation, SEED)
        traces = evaluate(simulation, actor, episode_seeds(SEED, EPISODES, "test"), EPISODES).traces
    write_video(path, traces, env.control_rate_hz)
    return path


if __name__ == "__main__":
    print(f"wrote {draw_behaviour(sys.argv[1] if len(sys.argv) > 1 else 'pretrained')}")

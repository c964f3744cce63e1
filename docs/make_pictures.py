"""Draw the pictures of the documentation: `python docs/make_pictures.py [policy]` writes them beside this file."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.actors import make_actor
from simgym.policies.collection import fresh_frames
from simgym.policies.evaluation import episode_seeds, evaluate
from simgym.policies.video import write_video
from simgym.report_page import enlarge
from simgym.shipped import PRETRAINED, load_goggles

FOLDER = Path(__file__).parent
EPISODES, SEED = 4, 77  # the first ones of the evaluation in the README
ROOMS, STEPS = 5, 12  # of the picture of domains: rooms a row, and steps of the expert into an episode
STANDIN = DOMAINS["standin"]
ROWS = (DOMAINS["sim"], STANDIN, replace(STANDIN, place=5), replace(STANDIN, place=None))


def draw_behaviour(policy: str) -> Path:
    """An animation of a policy's first episodes, good or bad."""
    env, path = ChairNavConfig(), FOLDER / "chair_nav.gif"
    with closing(Simulation(env, DOMAINS["sim"], EPISODES, "test")) as simulation:
        actor = make_actor(policy, None, simulation, SEED)
        traces = evaluate(simulation, actor, episode_seeds(SEED, EPISODES, "test"), EPISODES).traces
    write_video(path, traces, env.control_rate_hz)
    return path


def draw_domains(rows: tuple[DomainConfig, ...] = ROWS) -> Path:
    """What a robot sees: `sim`, then the stand-in's place 0, another place, and another place for every room."""
    path, pictures = FOLDER / "domains.jpg", []
    for domain in rows:
        with closing(Simulation(ChairNavConfig(), domain, ROOMS, "test")) as simulation:
            simulation.reset(np.arange(ROOMS), np.array(episode_seeds(SEED, ROOMS, "test")))
            for _ in range(STEPS):
                simulation.step(simulation.expert_action())
            pictures.append(np.hstack([enlarge(image, 3) for image in simulation.observe().image]))
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(pictures), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return path


def draw_goggles(places: tuple[int, ...] = (0, 2, 4)) -> Path:
    """What a robot sees in the stand-in, what the shipped goggles make of it, and what simulation would show."""
    path, columns, goggles = FOLDER / "goggles.jpg", [], load_goggles(PRETRAINED, "ChairNav")
    seeds = np.array(episode_seeds(SEED, ROOMS, "test"))
    for place in places:
        domain = fresh_frames(replace(STANDIN, place=place))
        with closing(Simulation(ChairNavConfig(), domain, ROOMS, "test", twin=True)) as simulation:
            simulation.reset(np.arange(ROOMS), seeds)
            for _ in range(STEPS):
                simulation.step(simulation.expert_action())
            seen = simulation.observe().image
            rows = (seen, goggles.translate(seen), simulation.canonical().rgb)
            columns.append(np.vstack([np.hstack([enlarge(image, 2) for image in row]) for row in rows]))
    picture = cv2.cvtColor(np.vstack(columns), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return path


if __name__ == "__main__":
    print(f"wrote {draw_goggles()}")
    print(f"wrote {draw_domains()}")
    print(f"wrote {draw_behaviour(sys.argv[1] if len(sys.argv) > 1 else 'pretrained')}")

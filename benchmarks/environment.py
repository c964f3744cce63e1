"""Speed of the environments: ``python -m benchmarks.environment [--peer <python>] [--json results.json]``.

Steps a second with pictures, in a batch and through `gymnasium.make`, and the time of a reset; the same batch with
the engine `bullet`, and with the renderer `bullet` as well, where PyBullet is installed; then Grasp. With ``--peer``
(the Python of an environment that has ``miniworld`` installed, see `benchmarks/_miniworld.py`) MiniWorld's FourRooms is
measured in the same run, before and after, and the ratio is given; with ``--grasp-peer`` (one with ``robosuite``, see
`benchmarks/_robosuite.py`) robosuite's Lift likewise. The machine is rarely ours alone: each figure is the best of
several repeats.
"""

from __future__ import annotations

import importlib.util
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np

import simgym  # noqa: F401 (registers the environments)
from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.policies.evaluation import episode_seeds

from . import _figures

BATCH = 16
REPEATS = 5
TARGETS = {
    "batch_steps_per_s": 4000,
    "batch_bullet_steps_per_s": 2500,
    "batch_standin_steps_per_s": 300,
    "single_steps_per_s": 1200,
    "reset_ms": 2.0,
    "ratio_to_miniworld": 4.0,
    "grasp_batch_steps_per_s": 800,
    "ratio_to_robosuite": 5.0,
}
BULLET = replace(DOMAINS["sim"], engine="bullet")
BULLET_PICTURES = replace(BULLET, renderer="bullet")


def batch_speed(domain: str | DomainConfig, num_steps: int = 250, task: str = "ChairNav") -> float:
    """World steps a second of a batch with random actions, resets included."""
    env = gymnasium.make_vec(f"simgym/{task}-v0", BATCH, domain=domain)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (num_steps, *env.action_space.shape))  # type: ignore[misc]
    started = time.perf_counter()
    for action in actions:
        env.step(action)
    seconds = time.perf_counter() - started
    env.close()
    return num_steps * BATCH / seconds


def single_speed(num_steps: int = 600, task: str = "ChairNav") -> float:
    """Steps a second of one environment from `gymnasium.make`, resets included."""
    env = gymnasium.make(f"simgym/{task}-v0", disable_env_checker=True)
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (num_steps, *env.action_space.shape))  # type: ignore[misc]
    actions = actions.astype(np.float32)
    started = time.perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
    seconds = time.perf_counter() - started
    env.close()
    return num_steps / seconds


def reset_ms(domain: DomainConfig = DOMAINS["sim"], count: int = 200, task: str = "ChairNav") -> float:
    """Milliseconds to draw, place and see a new episode in one world of a batch."""
    simulation = Simulation(TASKS[task].load("config")(), domain, BATCH)
    seeds = np.array(episode_seeds(0, count, "train"))
    simulation.reset(np.arange(BATCH), np.array(episode_seeds(1, BATCH, "train")))
    started = time.perf_counter()
    for k, seed in enumerate(seeds):
        simulation.reset(np.array([k % BATCH]), np.array([seed]))
    seconds = time.perf_counter() - started
    simulation.close()
    return 1000 * seconds / count


def bullet_figures() -> dict[str, float]:
    """The figures of the batch with Bullet's physics, with its pictures as well, and in the stand-in for reality."""
    return {
        "batch_bullet_steps_per_s": max(batch_speed(BULLET) for _ in range(REPEATS)),
        "batch_bullet_pictures_steps_per_s": max(batch_speed(BULLET_PICTURES, 100) for _ in range(REPEATS)),
        "batch_standin_steps_per_s": max(batch_speed("standin", 100) for _ in range(REPEATS)),
        "reset_bullet_ms": min(reset_ms(BULLET) for _ in range(REPEATS)),
        "reset_bullet_pictures_ms": min(reset_ms(BULLET_PICTURES, 50) for _ in range(REPEATS)),
    }


def grasp_figures() -> dict[str, float]:
    """The figures of Grasp."""
    return {
        "grasp_batch_steps_per_s": max(batch_speed("sim", task="Grasp") for _ in range(REPEATS)),
        "grasp_batch_randomized_steps_per_s": max(batch_speed("randomized", task="Grasp") for _ in range(REPEATS)),
        "grasp_batch_bullet_steps_per_s": max(batch_speed(BULLET, 60, task="Grasp") for _ in range(REPEATS)),
        "grasp_single_steps_per_s": max(single_speed(300, task="Grasp") for _ in range(REPEATS)),
        "grasp_reset_ms": min(reset_ms(task="Grasp") for _ in range(REPEATS)),
    }


def peer_speed(python: str, peer: str = "miniworld") -> float:
    """Steps a second of a peer at our picture size, in its own Python environment: the last line that it prints."""
    script = Path(__file__).with_name(f"_{peer}.py")
    done = subprocess.run([python, str(script)], capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = _figures.parser("environment", __doc__)
    parser.add_argument("--peer", help="python of an environment with miniworld")
    parser.add_argument("--grasp-peer", help="python of an environment with robosuite")
    arguments = parser.parse_args()
    batch_speed("sim", 10)  # compiles
    peer = [peer_speed(arguments.peer)] if arguments.peer else []
    result = {
        "batch_steps_per_s": max(batch_speed("sim") for _ in range(REPEATS)),
        "batch_randomized_steps_per_s": max(batch_speed("randomized") for _ in range(REPEATS)),
        "single_steps_per_s": max(single_speed() for _ in range(REPEATS)),
        "reset_ms": min(reset_ms() for _ in range(REPEATS)),
    }
    if importlib.util.find_spec("pybullet"):
        result |= bullet_figures() | grasp_figures()
    if arguments.grasp_peer:
        result["robosuite_steps_per_s"] = peer_speed(arguments.grasp_peer, "robosuite")
        result["ratio_to_robosuite"] = result["grasp_batch_steps_per_s"] / result["robosuite_steps_per_s"]
    if peer:
        result["miniworld_steps_per_s"] = max([*peer, peer_speed(arguments.peer)])
        result["ratio_to_miniworld"] = result["batch_steps_per_s"] / result["miniworld_steps_per_s"]
    for name, value in result.items():
        print(f"{name:36s} {value:10.2f}   target {TARGETS.get(name, '-')}")
    _figures.write(arguments.json, result)


if __name__ == "__main__":
    main()

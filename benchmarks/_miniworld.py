"""MiniWorld's FourRooms at ChairNav's picture size, for `benchmarks.environment`; needs `pip install miniworld`.

Prints steps a second with random actions, resets included, the best of several repeats.
"""

import os

os.environ.setdefault("PYGLET_HEADLESS", "true")

import time

import pyglet

pyglet.options["headless"] = True

import gymnasium  # noqa: E402
import miniworld  # noqa: E402, F401


def speed(num_steps: int = 600) -> float:
    """Steps a second of one environment; MiniWorld has no batch."""
    env = gymnasium.make("MiniWorld-FourRooms-v0", obs_width=80, obs_height=60, disable_env_checker=True)
    env.reset(seed=0)
    env.action_space.seed(0)
    started = time.perf_counter()
    for _ in range(num_steps):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    seconds = time.perf_counter() - started
    env.close()
    return num_steps / seconds


print(max(speed() for _ in range(5)))

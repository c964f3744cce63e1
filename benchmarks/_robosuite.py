"""robosuite's Lift at Grasp's picture size, for `benchmarks.environment`; needs `pip install robosuite "mujoco<3.4"`.

robosuite 1.5 is older than MuJoCo 4. Prints steps a second with random actions, resets included, the best of several
repeats.
"""

import os

os.environ.setdefault("MUJOCO_GL", "egl")

import time

import numpy as np
import robosuite


def speed(num_steps: int = 300) -> float:
    """Steps a second of one environment at 10 Hz; robosuite has no batch."""
    env = robosuite.make(
        "Lift",
        robots="Panda",
        has_renderer=False,
        has_offscreen_renderer=True,
        use_camera_obs=True,
        camera_names="agentview",
        camera_heights=60,
        camera_widths=80,
        control_freq=10,
        horizon=150,
    )
    env.reset()
    low, high = env.action_spec
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(num_steps):
        _, _, done, _ = env.step(rng.uniform(low, high))
        if done:
            env.reset()
    seconds = time.perf_counter() - started
    env.close()
    return num_steps / seconds


print(max(speed() for _ in range(5)))

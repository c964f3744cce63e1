"""The bullet renderer in several processes: the same pictures, and nothing left behind."""

import gc
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from simgym.envs.config import DOMAINS
from simgym.envs.renderers.workers import WorkerRenderer
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.errors import UserError
from tests.envs.helpers import assert_same, record, seeds_of

pytest.importorskip("pybullet", reason="PyBullet has wheels for Python 3.11 only")
DOMAIN = replace(DOMAINS["randomized"], renderer="bullet")


def with_processes(count: int, n: int = 3) -> Simulation:
    """A simulation that draws in so many processes, whatever the machine has."""
    simulation = Simulation(ChairNavConfig(), DOMAIN, 1)
    simulation.close()
    textures = simulation._look.textures
    simulation = Simulation(ChairNavConfig(), replace(DOMAIN, renderer="raster"), n)
    simulation.renderer.close()
    simulation.renderer = WorkerRenderer(textures, count)
    simulation.renderer.load(simulation.task.scene, simulation.camera, n)
    return simulation


def test_pictures_do_not_depend_on_how_many_processes_draw_them():
    runs: list[dict] = []
    for count in (1, 2):
        simulation = with_processes(count)
        first = record(simulation, seeds_of("train", 3), 2)
        simulation.reset(np.array([2]), np.array([40]))  # one world anew
        again = {name: value.copy() for name, value in vars(simulation.observe()).items()}
        overview = simulation.overview(1, 40)[0]
        runs.append({"first": first, "again": again, "overview": overview})
        simulation.close()
    assert_same(runs[0], runs[1])
    assert runs[0]["overview"].std() > 5


def test_a_process_that_is_killed_is_one_clear_error():
    simulation = with_processes(2)
    simulation.reset(np.arange(3), np.array(seeds_of("train", 3)))
    worker = simulation.renderer._workers[1]  # type: ignore[attr-defined]
    worker._process.kill()
    worker._process.wait()
    with pytest.raises(UserError, match=r"a process of domain.renderer=bullet ended \(exit code -9\)"):
        for _ in range(2):
            simulation.step(np.zeros((3, 2)))
    simulation.close()


def test_a_draw_that_the_bank_cannot_serve_is_refused_as_in_one_process():
    simulation = with_processes(2)
    draw = simulation._draw(0, 2)
    draw.look.part_texture[:] = 10_000
    simulation.renderer.apply(np.array([0]), draw.layout, draw.look)
    state = simulation.engine.state
    with pytest.raises(ValueError, match="asks for texture 10000"):
        simulation.renderer.render(state.moving_pos, state.moving_quat)
    simulation.close()


def test_processes_end_with_the_renderer():
    for how in ("closed", "forgotten"):
        renderer = WorkerRenderer(None, 2)
        processes = [worker._process for worker in renderer._workers]
        assert all(process.poll() is None for process in processes)
        if how == "closed":
            renderer.close()
            renderer.close()
        else:
            del renderer
            gc.collect()
        assert [process.poll() for process in processes] == [0, 0]


def test_a_plain_script_needs_no_main_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from simgym.envs.renderers.workers import WorkerRenderer\n"
        "renderer = WorkerRenderer(None, 2)\nrenderer.close()\nprint('done')\n"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, env=path)
    assert done.stdout.splitlines().count("done") == 1, done.stderr

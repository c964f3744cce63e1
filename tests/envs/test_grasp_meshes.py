"""Meshes of a user's folder in Grasp: hulls against closed forms, rest, pictures, the expert, and bad files."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.envs.config import DOMAINS
from simgym.envs.engines.rigid import object_inertia
from simgym.envs.hull import MAX_VERTICES, Hull, convex_hull
from simgym.envs.scene import Body
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.grasp.config import GraspConfig, GraspLayoutConfig
from simgym.envs.tasks.grasp.meshes import find_grasps, read_meshes
from simgym.envs.tasks.grasp.objects import LOWEST_M
from simgym.errors import UsageError, UserError
from tests.envs import meshes
from tests.envs.helpers import seeds_of

pytest.importorskip("pybullet", reason="PyBullet has wheels for Python 3.11 only")
ENGINES = ("mujoco", "bullet")
STAY = np.array([[0.0, 0.0, 0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return meshes.write_folder(tmp_path_factory.mktemp("meshes"))


def config(folder: Path, objects: tuple[int, int] = (1, 1), **layout) -> GraspConfig:
    return GraspConfig(layout=GraspLayoutConfig(objects=objects, meshes=str(folder), **{"mesh_share": 1.0} | layout))


def load(folder: Path, engine: str, n: int = 1, renderer: str = "raster", **layout) -> Simulation:
    return Simulation(config(folder, **layout), replace(DOMAINS["sim"], engine=engine, renderer=renderer), n)


def hull_of(mesh: meshes.Mesh, path: Path) -> Hull:
    return convex_hull(meshes.write_obj(path, mesh))


# --- hulls ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(edges=st.tuples(*[st.floats(0.01, 0.3)] * 3), unit=st.sampled_from([0.001, 1.0, 1000.0]))
def test_the_hull_of_a_box_is_the_box(edges, unit, tmp_path_factory):
    hull = hull_of(meshes.box(*(unit * edge for edge in edges)), tmp_path_factory.mktemp("box") / "box.obj")
    x, y, z = (unit * edge for edge in edges)
    volume, com, inertia = hull.solid
    assert len(hull.vertices) == 8 and len(hull.triangles) == 12
    assert volume == pytest.approx(x * y * z)
    np.testing.assert_allclose(com, [0, 0, z / 2], atol=1e-9 * unit)
    expected = volume / 12 * np.diag([y * y + z * z, x * x + z * z, x * x + y * y])
    np.testing.assert_allclose(inertia, expected, atol=1e-6 * expected.max())


def test_a_hull_fills_what_is_hollow_and_what_is_bent(tmp_path):
    corner, mug = meshes.angle_iron(0.06, 0.02, 0.05), meshes.mug()
    assert hull_of(corner, tmp_path / "l.obj").solid[0] == pytest.approx(0.05 * (0.06**2 - 0.04**2 / 2))
    sides = 24 / 2 * np.sin(2 * np.pi / 24)  # area of the polygon over radius squared
    hull = hull_of(mug, tmp_path / "mug.obj")
    assert hull.solid[0] == pytest.approx(sides * 0.032**2 * 0.09, rel=1e-4)


def test_a_fine_hull_is_thinned_out_and_stays_closed(tmp_path):
    ball = meshes.lathe(
        [(1e-4, -0.03), *[(0.03 * np.cos(a), 0.03 * np.sin(a)) for a in np.linspace(-1.5, 1.5, 40)]], 60
    )
    hull = hull_of(ball, tmp_path / "ball.obj")
    assert len(hull.vertices) <= MAX_VERTICES
    assert hull.solid[0] == pytest.approx(4 / 3 * np.pi * 0.03**3, rel=0.06)
    edges = np.sort(hull.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_a_mesh_weighs_what_the_same_box_weighs(tmp_path):
    """Wherever its file has its origin, in whatever unit."""
    vertices, triangles = meshes.box(40, 90, 70)
    meshes.write_obj(tmp_path / "box.obj", (vertices + (500, -20, 3), triangles))
    (mesh,) = read_meshes(str(tmp_path), 0.001)
    assert mesh.thing.half_m == pytest.approx((0.02, 0.045)) and mesh.thing.height_m == pytest.approx(0.07)
    size, pos, quat = (np.array([value]) for value in (mesh.part.size, mesh.part.pos, mesh.part.quat))
    inertia = object_inertia(Body("object0", (mesh.part,)), size, pos, quat, np.ones(1, bool), 0.3)
    np.testing.assert_allclose(inertia.com, [0, 0, 0.035], atol=1e-9)
    expected = 0.3 / 12 * np.array([0.09**2 + 0.07**2, 0.04**2 + 0.07**2, 0.04**2 + 0.09**2])
    np.testing.assert_allclose(np.diag(inertia.tensor), expected, rtol=1e-6)


# --- grasps --------------------------------------------------------------------------------------------------------


def test_a_box_is_taken_across_its_narrow_side(tmp_path):
    grasps, width = find_grasps(hull_of(meshes.box(0.04, 0.09, 0.07), tmp_path / "box.obj"))
    assert width == pytest.approx(0.04)
    assert len(grasps) == 1
    np.testing.assert_allclose(grasps[0], (0, 0, 0.04, np.pi / 2), atol=1e-9)  # the fingers close along x


def test_a_low_box_is_taken_as_low_as_fingers_reach(tmp_path):
    grasps, _ = find_grasps(hull_of(meshes.box(0.05, 0.05, 0.02), tmp_path / "box.obj"))
    assert {round(yaw, 6) for *_, yaw in grasps} == {0.0, round(np.pi / 2, 6)}
    assert {z for _, _, z, _ in grasps} == {LOWEST_M}


def test_what_is_round_is_taken_from_all_around(tmp_path):
    grasps, width = find_grasps(hull_of(meshes.mug(), tmp_path / "mug.obj"))
    yaws = np.sort([yaw for *_, yaw in grasps])
    assert len(grasps) == 8 and np.diff(yaws).max() < 0.7 and width == pytest.approx(0.064, abs=1e-3)
    np.testing.assert_allclose(np.array(grasps)[:, :2], 0, atol=1e-9)


def test_what_is_wide_below_is_taken_at_its_top(tmp_path):
    """A wide foot, a narrow neck: the hull leans, and only near the top is it narrow."""
    foot = meshes.lathe([(1e-4, 0.0), (0.045, 0.0), (0.02, 0.15), (1e-4, 0.15)])
    grasps, width = find_grasps(hull_of(foot, tmp_path / "foot.obj"))
    assert grasps and width < 0.07 and min(z for _, _, z, _ in grasps) >= 0.12


# --- in a world ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_meshes_rest_on_the_table(folder, engine):
    simulation, kinds = load(folder, engine, 6, objects=(3, 3)), set()
    simulation.reset(np.arange(6), np.array(seeds_of("train", 6)))
    start = simulation.engine.state.object_pos[:, :3].copy()
    for _ in range(20):
        simulation.step(np.repeat(STAY, 6, axis=0))
    state = simulation.engine.state
    there = simulation.task.half_m[..., 2] > 0
    assert np.abs(simulation.task.lowest_points(state)[there]).max() < 2e-3  # Bullet's hulls have a margin of 1 mm
    assert np.abs(state.object_pos[:, :3] - start)[there[:, :3]].max() < 3e-3
    for draw in simulation.draws:
        kinds |= set(draw["layout"]["objects"])
    assert kinds == {"box.obj", "iron.stl", "mug.STL"}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_expert_lifts_meshes(folder, engine):
    """A few episodes; docs/grasp.md has the rate over fifty."""
    n = 6
    simulation = load(folder, engine, n)
    simulation.reset(np.arange(n), np.array(seeds_of("train", n)))
    success = np.zeros(n, bool)
    for _ in range(simulation.task.max_steps):
        simulation.step(simulation.expert_action())
        success |= simulation.task.success
        if success.all():
            break
    assert success.sum() >= n - 1
    assert {draw["layout"]["objects"][0] for draw in simulation.draws} == {"box.obj", "iron.stl", "mug.STL"}


def test_both_renderers_draw_the_mesh_and_not_its_hull(tmp_path):
    """Into a wide bowl, the camera at the wrist sees deeper than a lid would let it; both renderers alike."""
    bowl = [(1e-4, 0.0), (0.034, 0.0), (0.034, 0.06), (0.031, 0.06), (0.031, 0.004), (1e-4, 0.004)]
    meshes.write_obj(tmp_path / "bowl.obj", meshes.lathe(bowl))
    lid = meshes.lathe([(1e-4, 0.0), (0.034, 0.0), (0.034, 0.06), (1e-4, 0.06)])
    (tmp_path / "lid").mkdir()
    meshes.write_obj(tmp_path / "lid" / "lid.obj", lid)
    seen = {}
    for name, where in (("bowl", tmp_path), ("lid", tmp_path / "lid")):
        for renderer in ("raster", "bullet"):
            simulation = load(where, "mujoco", renderer=renderer)
            simulation.reset(np.array([0]), np.array([4]))
            observation = simulation.observe()
            mine = observation.segmentation[0, ..., 1] == simulation.task.scene.num_fixed
            assert mine.sum() > 20
            seen[name, renderer] = mine, np.where(mine, observation.depth[0], 0.0)
            simulation.close()
    for name in ("bowl", "lid"):
        (first, depth), (second, other) = seen[name, "raster"], seen[name, "bullet"]
        assert (first != second).sum() < 0.2 * first.sum()
        assert np.median(np.abs(depth - other)[first & second]) < 5e-3
    assert (seen["bowl", "raster"][1] - seen["lid", "raster"][1]).max() > 0.015


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_share_of_meshes_is_the_users(folder, share):
    simulation, names = load(folder, "mujoco", mesh_share=share), []
    for seed in seeds_of("train", 60):
        simulation.reset(np.array([0]), np.array([seed]))
        names += simulation.draws[0]["layout"]["objects"]
    mine = np.mean(["." in name for name in names])
    assert abs(mine - share) <= (0.2 if share else 0)


# --- bad input -----------------------------------------------------------------------------------------------------


def one_file(name: str, mesh: meshes.Mesh) -> Callable[[Path], object]:
    return lambda folder: meshes.write_obj(folder / name, mesh)


def inside_out(mesh: meshes.Mesh) -> meshes.Mesh:
    return mesh[0], mesh[1][:, ::-1]


FLAT = np.array([(0, 0, 0), (0.05, 0, 0), (0.05, 0.05, 0), (0, 0.05, 0)]), np.array([(0, 1, 2), (0, 2, 3)])
LEANING = meshes.prism([(0, 0), (0.03, 0), (0.03, 0.03), (0, 0.03)], 0.1)
LEANING[0][4:] += (0.08, 0, 0)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda folder: None, ["no .obj or .stl files"]),
        (lambda folder: (folder / "a.obj").write_text("v 1 2\nf 1 2 3\n"), ["a.obj", "not a readable OBJ mesh"]),
        (lambda folder: (folder / "a.stl").write_bytes(b"\x00" * 90), ["a.stl", "not a readable STL mesh"]),
        (lambda folder: (folder / "a.obj").write_text(""), ["a.obj", "no triangles"]),
        (lambda folder: (folder / "a.obj").mkdir(), ["a.obj", "no such mesh file"]),
        (one_file("a.obj", FLAT), ["a.obj", "flat", "no volume"]),
        (one_file("a.obj", inside_out(meshes.box(0.04, 0.04, 0.04))), ["a.obj", "inwards", "normals"]),
        (one_file("a.obj", meshes.box(0.09, 0.1, 0.05)), ["a.obj: 9 x 10 x 5 cm", "too large", "9 cm across"]),
        (one_file("a.obj", meshes.box(40.0, 60.0, 80.0)), ["a.obj", "too large", "mesh_unit_m", "millimetres"]),
        (one_file("a.obj", meshes.box(0.05, 0.05, 0.005)), ["a.obj: 5 x 5 x 0.5 cm", "too small"]),
        (one_file("a.obj", meshes.box(0.002, 0.002, 0.02)), ["a.obj: 0.2 x 0.2 x 2 cm", "too small"]),
        (one_file("a.obj", LEANING), ["a.obj", "would fall over", "z up"]),
        (one_file("a.obj", meshes.lathe([(1e-4, 0), (0.05, 0), (1e-4, 0.05)])), ["a.obj", "no two opposite"]),
    ],
)
def test_a_bad_mesh_is_one_clear_line(tmp_path, write, words):
    write(tmp_path)
    with pytest.raises(UserError) as caught:
        Simulation(config(tmp_path), DOMAINS["sim"], 1)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="env.layout.meshes=.*nowhere: no such folder"):
        read_meshes(str(tmp_path / "nowhere"), 1.0)


def test_too_many_triangles_are_refused(folder, monkeypatch):
    monkeypatch.setattr("simgym.envs.tasks.grasp.meshes.MAX_TRIANGLES", 100)
    with pytest.raises(UserError, match=r"320 triangles in 3 files.*at most 100"):
        read_meshes(str(folder), 1.0)


@pytest.mark.parametrize("idle", [{"mesh_unit_m": 0.001}, {"mesh_share": 0.1}])
def test_options_of_meshes_without_meshes_are_refused(idle):
    with pytest.raises(UsageError, match=f"env.layout.{next(iter(idle))} does nothing without meshes"):
        GraspLayoutConfig(**idle)

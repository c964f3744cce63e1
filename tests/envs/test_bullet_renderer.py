"""Bullet's own renderer: the geometry of the raster renderer, and light, textures and shadows of its own."""

import gc
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from simgym.deploy.camera import Camera
from simgym.envs.config import DOMAINS
from simgym.envs.draw import PARKED_Z_M, Layout, Look
from simgym.envs.renderers import make_renderer
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.errors import UsageError
from tests.envs.helpers import assert_same, record, seeds_of
from tests.envs.raster_scenes import CAMERA, FACING_MINUS_X, NO_LINKS, body, plain_look

pybullet = pytest.importorskip("pybullet", reason="PyBullet has wheels for Python 3.11 only")
from simgym.envs.engines.bullet_base import connect, disconnect  # noqa: E402
from simgym.envs.renderers import raster_kernels as kernels  # noqa: E402
from simgym.envs.renderers.bullet import BulletRenderer  # noqa: E402
from simgym.envs.renderers.meshes import UnitMesh  # noqa: E402
from simgym.envs.renderers.raster import RasterRenderer, look_at  # noqa: E402
from simgym.envs.renderers.tiny import Files, Light, Surface, TinyWorld  # noqa: E402

ALL_BUT_PLANE = [shape for shape in Shape if shape != Shape.PLANE]


def shoot(scene: Scene, look: Look | None = None, camera=CAMERA, links=NO_LINKS, kind=BulletRenderer, textures=None):
    """Frames of one world, without the world axis."""
    renderer = kind(textures)
    renderer.load(scene, camera, 1)
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), look or plain_look(scene))
    frames = renderer.render(*links)
    renderer.close()
    return frames.rgb[0], frames.depth[0], frames.segmentation[0]


def away_from_edges(body_index: np.ndarray) -> np.ndarray:
    return maximum_filter(body_index, 3) == minimum_filter(body_index, 3)


# --- against raster ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["sim", "randomized"])
def test_chair_nav_is_the_same_place_as_raster_draws(domain):
    """Depth, classes and bodies of random draws, wherever no edge is; with either engine."""
    pair = [
        Simulation(ChairNavConfig(), replace(DOMAINS[domain], renderer=name, engine=engine), 4, "test")
        for name, engine in (("raster", "bullet"), ("bullet", "bullet"))
    ]
    same, close = [], []
    for first in (0, 4):
        for simulation in pair:
            simulation.reset(np.arange(4), np.array(seeds_of("test", 4, first)))
            for _ in range(2):
                simulation.step(np.full((4, 2), 0.3))
        raster, bullet = (simulation.observe() for simulation in pair)
        for world in range(4):
            inside = away_from_edges(raster.segmentation[world, ..., 1])
            same.append((raster.segmentation[world] == bullet.segmentation[world]).all(-1)[inside].mean())
            close.append(np.isclose(raster.depth[world], bullet.depth[world], rtol=1e-2)[inside].mean())
    assert min(close) > 0.97
    # Two coplanar faces (a poster behind another) may come out either way.
    assert np.median(same) > 0.99 and np.mean(same) > 0.97
    assert bullet.image.dtype == np.uint8 and bullet.depth.dtype == np.float32 and bullet.segmentation.dtype == np.int16
    for simulation in pair:
        simulation.close()


@pytest.mark.parametrize("shape", ALL_BUT_PLANE)
def test_every_shape_is_drawn_as_raster_draws_it(shape, tmp_path):
    mesh = tmp_path / "wedge.obj"
    mesh.write_text(
        "v -1 -1 -1\nv 1 -1 -1\nv 0 1 -1\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"  # a tetrahedron
    )
    quat = np.array([0.8, 0.2, -0.4, 0.4])
    piece = body("piece", shape, (0.5, 0.4, 0.3), (2, 0.1, 0.1), quat, mesh=mesh if shape == Shape.MESH else None)
    scene = Scene((piece, body("wall", Shape.PLANE, (9, 9, 0), (5, 0, 0), FACING_MINUS_X)))
    look = plain_look(scene, light_dir=(0.6, 0.0, -0.8), light_rgb=0.4, ambient_rgb=0.5, part_rgb=[[0.8, 0.4, 0.2]] * 2)
    raster, bullet = (shoot(scene, look, kind=kind) for kind in (RasterRenderer, BulletRenderer))
    inside, same = away_from_edges(raster[2][..., 1]), raster[2][..., 1] == bullet[2][..., 1]
    np.testing.assert_array_equal(bullet[2][inside], raster[2][inside])
    np.testing.assert_allclose(bullet[1][same], raster[1][same], rtol=2e-2)
    on_piece = inside & (raster[2][..., 1] == 0)
    assert on_piece.sum() > 50
    assert np.abs(raster[0][on_piece].mean(0) - bullet[0][on_piece].mean(0)).max() < 25


@pytest.mark.parametrize("distance", [0.1, 1.0, 8.0])
def test_depth_is_metres_along_the_optical_axis(distance):
    scene = Scene((body("wall", Shape.PLANE, (100, 100, 0), (distance, 0, 0), FACING_MINUS_X),))
    _, depth, segmentation = shoot(scene)
    np.testing.assert_allclose(depth, distance, rtol=2e-3)
    assert (segmentation == (Semantic.BOX, 0)).all()


def test_an_odd_pinhole_and_a_moved_camera_see_what_raster_sees():
    camera = Camera(64, 48, 70.0, 60.0, 28.0, 27.0)
    pieces = [body(f"b{i}", Shape.BOX, (0.2, 0.2, 0.2), (2 + 0.4 * i, 0.5 * i - 1, 0.3 * i - 0.5)) for i in range(5)]
    scene = Scene(tuple(pieces))
    look = plain_look(scene, camera_offset=(-0.2, 0.1, 0.2), camera_rpy_rad=(0.2, 0.1, -0.15), focal_scale=0.9)
    raster, bullet = (shoot(scene, look, camera, kind=kind) for kind in (RasterRenderer, BulletRenderer))
    assert len(np.unique(raster[2][..., 1])) == 6
    assert (raster[2] == bullet[2]).all(-1).mean() > 0.99


@pytest.fixture(scope="module")
def cubes():
    """Two clients that show a box with edges of 0.6 m around the origin: one that stands still, and one that moves."""
    files = Files(None)
    clients: list[int] = []
    connect(pybullet, clients, 2)
    part = Part(Shape.BOX, Semantic.BOX)
    mesh = UnitMesh(part, 12).placed(np.full(3, 0.3), np.zeros(3), np.array([1.0, 0, 0, 0]), 1.0)
    worlds = [TinyWorld(pybullet, client, files) for client in clients]
    for carrier, world in zip((-1, 0), worlds, strict=True):
        world.build([Surface(mesh, (1.0, 1.0, 1.0), -1, (int(Semantic.BOX), 0), carrier)])
    yield worlds
    disconnect(pybullet, clients)
    files.close()


def look_from(eye, towards):
    view = np.zeros(1, kernels.VIEW)
    view["eye"], view["rotation"] = eye, look_at(np.array(eye, float), np.add(eye, towards, dtype=float))
    view["fx"], view["fy"], view["cx"], view["cy"] = 60.0, 55.0, 33.0, 31.0
    return view[0]


@settings(max_examples=100)
@given(st.tuples(*[st.floats(-2, 2)] * 3), st.tuples(*[st.floats(-1, 1)] * 3))
def test_what_is_out_of_sight_is_in_no_picture(cubes, eye, towards):
    assume(np.linalg.norm(towards) > 0.1)
    view, light = look_from(eye, towards), Light.of(np.array([0.0, 0, -1]), np.ones(3), np.ones(3))
    shot = np.zeros((60, 80, 3), np.uint8), np.full((60, 80), np.inf, np.float32), np.zeros((60, 80, 2), np.int16)
    cubes[0].shoot(view, light, False, *shot)
    if cubes[0].is_out_of_sight(view, 80, 60):
        assert np.isinf(shot[1]).all()


@pytest.mark.parametrize(
    ("towards", "hidden"), [((1, 0, 0), False), ((-1, 0, 0), True), ((0, 0, 5), True), ((0, 3, 0), True)]
)
def test_what_lies_behind_the_camera_or_beside_its_view_is_out_of_sight(cubes, towards, hidden):
    still, moving = cubes
    assert still.is_out_of_sight(look_from((-3, 0, 0.2), towards), 80, 60) == hidden
    assert not moving.is_out_of_sight(look_from((-3, 0, 0.2), towards), 80, 60)  # wherever it is by now


def test_nothing_hit_is_black_infinite_and_of_no_body():
    for scene in (Scene(()), Scene((body("behind", Shape.BOX, (1, 1, 1), (-3, 0, 0)),))):
        rgb, depth, segmentation = shoot(scene)
        assert (rgb == 0).all() and np.isinf(depth).all() and (segmentation == (0, -1)).all()


# --- light ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("light_dir", [(1, 0, 0), (0.6, 0.8, 0), (0.5, 0.0, -0.9), (0, 0, -1)])
def test_a_flat_colour_is_about_what_raster_makes_of_it(light_dir):
    direction = np.array(light_dir) / np.linalg.norm(light_dir)
    scene = Scene((body("wall", Shape.PLANE, (99, 99, 0), (2, 0, 0), FACING_MINUS_X),))
    light: dict = {"light_dir": direction, "light_rgb": (0.4, 0.3, 0.2), "ambient_rgb": (0.3, 0.4, 0.5)}
    look = plain_look(scene, part_rgb=(0.9, 0.5, 0.2), **light)
    raster, bullet = (shoot(scene, look, kind=kind)[0].astype(int) for kind in (RasterRenderer, BulletRenderer))
    assert np.abs(raster - bullet).max() < 25  # a faint gloss, and shadow where the surface turns from the light
    assert 10 < bullet.mean() < 245


def test_a_box_darkens_the_floor_on_the_far_side_of_the_light():
    floor = body("floor", Shape.PLANE, (4, 4, 0), semantic=Semantic.FLOOR)
    scene = Scene((floor, body("box", Shape.BOX, (0.3, 0.3, 0.5), (0, 0, 0.5))))
    light: dict = {"light_dir": (0, 0.6, -0.8), "light_rgb": 0.6, "ambient_rgb": 0.3}
    view: dict = {"camera_offset": (-3, 0, 2.5), "camera_rpy_rad": (0, 0.7, 0)}
    rgb, _, segmentation = shoot(scene, plain_look(scene, **light, **view))
    alone, _, _ = shoot(Scene((floor,)), plain_look(Scene((floor,)), **light, **view))
    on_floor = away_from_edges(segmentation[..., 1]) & (segmentation[..., 1] == 0)
    darker = on_floor & (rgb[..., 0] < 0.95 * alone[..., 0])
    left, right = darker[:, :40].sum(), darker[:, 40:].sum()  # light from the right, so shadow on the left (+y)
    assert left > 30 and right < 0.1 * left
    assert np.ptp(alone[on_floor].astype(int), axis=0).max() < 10  # and stripes nowhere


def test_a_ceiling_keeps_no_light_off_the_room():
    floor = body("floor", Shape.PLANE, (4, 4, 0), semantic=Semantic.FLOOR)
    ceiling = body("ceiling", Shape.PLANE, (4, 4, 0), (0, 0, 2.5), (0.0, 1.0, 0.0, 0.0), semantic=Semantic.CEILING)
    light: dict = {"light_dir": (0.0, 0.6, -0.8), "light_rgb": 0.5, "ambient_rgb": 0.4}
    view: dict = {"camera_offset": (-2, 0, 1.0)}
    with_it, _, segmentation = shoot(Scene((floor, ceiling)), plain_look(Scene((floor, ceiling)), **light, **view))
    without, _, _ = shoot(Scene((floor,)), plain_look(Scene((floor,)), **light, **view))
    assert {0, 1} <= set(np.unique(segmentation[..., 1]))
    np.testing.assert_array_equal(with_it[segmentation[..., 1] == 0], without[segmentation[..., 1] == 0])
    assert (with_it[segmentation[..., 1] == 1] > 0).all()


# --- textures ------------------------------------------------------------------------------------------------------


def checkerboard(edge: int, cell: int) -> np.ndarray:
    row, column = np.indices((edge, edge)) // cell
    return np.repeat(np.where((row + column) % 2, 200, 50).astype(np.uint8)[None, ..., None], 3, axis=-1)


@pytest.mark.parametrize("shape", [Shape.PLANE, Shape.BOX, Shape.CYLINDER, Shape.CAPSULE])
@pytest.mark.parametrize("size_m", [0.4, 1.3])
def test_textures_lie_where_raster_lays_them(shape, size_m):
    size = {Shape.PLANE: (3, 3, 0), Shape.BOX: (0.5, 0.6, 0.7)}.get(shape, (0.5, 0.7, 0))
    quat = FACING_MINUS_X if shape == Shape.PLANE else (0.9, 0.1, 0.1, 0.4)
    texture = checkerboard(64, 32)
    texture[:, :32, :32, 1] = 120  # not its own mirror
    scene = Scene((body("piece", shape, size, (1.8, 0, 0), np.array(quat) / np.linalg.norm(quat)),))
    look = plain_look(scene, part_texture=0, texture_size_m=size_m, part_rgb=1.0)
    kinds = (RasterRenderer, BulletRenderer)
    raster, bullet = (shoot(scene, look, kind=kind, textures=texture)[0].astype(int) for kind in kinds)
    flat = (maximum_filter(raster, (3, 3, 1)) - minimum_filter(raster, (3, 3, 1))).max(-1) < 10  # no border near
    assert flat.sum() > 200
    assert (np.abs(raster - bullet).max(-1)[flat] < 12).mean() > 0.95


def test_textures_live_in_a_folder_that_goes_with_the_renderer():
    renderer = BulletRenderer(checkerboard(8, 2))
    folder = renderer._files.folder
    assert len(list(folder.iterdir())) == 1
    renderer.close()
    renderer.close()
    assert not folder.exists()


def test_a_texture_that_the_bank_lacks_is_refused():
    scene = Scene((body("b", Shape.BOX, (1, 1, 1)),))
    with pytest.raises(ValueError, match="asks for texture 3"):
        shoot(scene, plain_look(scene, part_texture=3), textures=checkerboard(8, 1))


# --- worlds --------------------------------------------------------------------------------------------------------


def test_links_move_and_the_camera_rides_on_one():
    wall = body("wall", Shape.PLANE, (99, 99, 0), (0, 5, 0), (np.sqrt(0.5), np.sqrt(0.5), 0, 0))
    base = Body("base", (Part(Shape.BOX, Semantic.ROBOT, (0.1, 0.1, 0.1)),))
    arm = Body("arm", (Part(Shape.SPHERE, Semantic.ROBOT, (0.2, 0, 0)),))
    scene = Scene((wall,), (base, arm), camera_link=0)
    pos = np.array([[[1.0, 1.0, 0.0], [1.0, 3.0, 0.5]]])
    quat = np.tile([np.sqrt(0.5), 0, 0, np.sqrt(0.5)], (1, 2, 1))  # the robot faces +y
    look = plain_look(scene, camera_offset=(0.3, 0, 0.5))
    raster, bullet = (shoot(scene, look, links=(pos, quat), kind=kind) for kind in (RasterRenderer, BulletRenderer))
    assert set(np.unique(bullet[2][..., 1])) == {0, 2}
    assert (raster[2] == bullet[2]).all(-1).mean() > 0.99


@pytest.mark.parametrize("how", ["hidden", "parked", "body parked"])
def test_parts_that_a_draw_does_not_use_are_not_drawn(how):
    scene = Scene((body("box", Shape.BOX, (1, 1, 1), (3, 0, 0)),))
    layout = Layout.nominal(scene, 1)
    if how == "hidden":
        layout.part_visible[:] = False
    else:
        (layout.part_pos if how == "parked" else layout.body_pos)[..., 2] = PARKED_Z_M
    renderer = BulletRenderer()
    renderer.load(scene, CAMERA, 1)
    renderer.apply(np.array([0]), layout, plain_look(scene, camera_rpy_rad=(0, np.pi / 2, 0)))
    assert np.isinf(renderer.render(*NO_LINKS).depth).all()
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), plain_look(scene))
    assert np.isfinite(renderer.render(*NO_LINKS).depth).any()
    renderer.close()


def test_episodes_are_the_same_whatever_the_batch():
    domain = replace(DOMAINS["randomized"], engine="bullet", renderer="bullet")
    runs = []
    for n in (3, 1):
        simulation = Simulation(ChairNavConfig(), domain, n)
        rng = np.random.default_rng(0)
        actions = rng.uniform(-1, 1, (4, 3, 2))[:, :n]
        simulation.reset(np.arange(n), np.array(seeds_of("train", 3)[:n]))
        images = []
        for action in actions:
            simulation.step(action)
            images.append(simulation.observe().image[0].copy())
        runs.append(np.stack(images))
        if n == 3:
            assert_same(record(simulation, seeds_of("train", 3), 2), record(simulation, seeds_of("train", 3), 2))
        simulation.close()
    np.testing.assert_array_equal(runs[0], runs[1])


@settings(max_examples=4, phases=[Phase.explicit, Phase.generate])
@given(seeds=st.lists(st.integers(0, 2**20), min_size=1, max_size=4), domain=st.sampled_from(["standin", "randomized"]))
def test_a_world_that_was_reset_often_draws_as_a_fresh_one(seeds, domain):
    often, fresh = (Simulation(ChairNavConfig(), replace(DOMAINS[domain], renderer="bullet"), 1) for _ in range(2))
    for seed in seeds:
        seen = record(often, [seed], 2)
    assert_same(seen, record(fresh, seeds[-1:], 2))
    np.testing.assert_array_equal(often.overview(0, 40)[0], fresh.overview(0, 40)[0])
    often.close()
    fresh.close()


def test_many_labels_and_many_surfaces_of_one_label_are_told_apart():
    """More than Bullet takes in one body, and in one link."""
    tile = Part(Shape.BOX, Semantic.BOX, (0.02, 0.05, 0.05))
    places = [(3, 0.13 * (i % 15 - 7), 0.13 * (i // 15 - 4)) for i in range(140)]
    wall = Body("wall", tuple(replace(tile, pos=place) for place in places[:30]))
    scene = Scene((wall, *(Body(f"b{i}", (replace(tile, pos=place),)) for i, place in enumerate(places[30:]))))
    look = plain_look(scene)
    look.part_rgb[0] = np.linspace(0.2, 0.9, 3 * 140).reshape(140, 3)  # each a surface of its own
    camera = Camera.from_fov(240, 180, np.radians(69))
    raster, bullet = (shoot(scene, look, camera, kind=kind) for kind in (RasterRenderer, BulletRenderer))
    assert set(np.unique(bullet[2][..., 1])) == set(range(-1, 111))
    assert (raster[2] == bullet[2]).all(-1).mean() > 0.98
    inside = away_from_edges(raster[2][..., 1]) & (raster[2][..., 1] >= 0)
    assert inside.sum() > 1000 and np.abs(raster[0].astype(int) - bullet[0])[inside].max() < 25


def test_it_draws_for_either_engine():
    for engine in ("mujoco", "bullet"):
        simulation = Simulation(ChairNavConfig(), replace(DOMAINS["sim"], engine=engine, renderer="bullet"), 1)
        seen = record(simulation, [2], 3)
        assert np.isfinite(seen["depth"]).all() and seen["image"].std() > 5
        picture, side_m = simulation.overview(0, 60)
        assert picture.shape == (60, 60, 3) and picture.std() > 5 and side_m > 5
        simulation.close()


def test_a_snapshot_from_the_cameras_place_is_the_cameras_picture():
    ball = body("ball", Shape.SPHERE, (0.4, 0, 0), (2, 0.3, 0.2))
    scene = Scene((body("wall", Shape.PLANE, (9, 9, 0), (4, 0, 0), FACING_MINUS_X), ball))
    renderer = BulletRenderer()
    renderer.load(scene, CAMERA, 1)
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), plain_look(scene, light_dir=(0.6, 0, -0.8), light_rgb=0.5))
    frames = renderer.render(*NO_LINKS)
    kept = frames.rgb.copy()
    np.testing.assert_array_equal(renderer.snapshot(0, CAMERA, (0, 0, 0), (1, 0, 0), supersample=1), kept[0])
    assert renderer.snapshot(0, Camera(120, 90, 80, 80, 60, 45), (0, 0, 5), (1, 0, 0)).shape == (90, 120, 3)
    np.testing.assert_array_equal(frames.rgb, kept)
    renderer.close()


def test_an_unknown_renderer_is_refused():
    with pytest.raises(UsageError, match="expected 'raster' or 'bullet'"):
        make_renderer("vulkan")


def test_clients_are_released_when_forgotten():
    renderer = BulletRenderer()
    renderer.load(Scene((body("b", Shape.BOX, (1, 1, 1)),)), CAMERA, 2)
    clients = [world._client for world in renderer._worlds]
    assert len(clients) == 2 and all(map(pybullet.isConnected, clients))
    del renderer
    gc.collect()
    assert not any(map(pybullet.isConnected, clients))


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("resets", [60, pytest.param(3_000, marks=pytest.mark.slow)])
def test_resets_do_not_leak(resets):
    simulation = Simulation(ChairNavConfig(), replace(DOMAINS["randomized"], renderer="bullet"), 1)
    draws = [simulation._draw(0, seed) for seed in seeds_of("train", 5)]

    def reset(times: int) -> None:
        for i in range(times):
            simulation.renderer.apply(np.array([0]), draws[i % 5].layout, draws[i % 5].look)

    reset(50)
    before = resident_mb()
    reset(resets)
    assert resident_mb() < 1.02 * before
    simulation.close()

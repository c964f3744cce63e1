"""The raster renderer against closed forms and against MuJoCo's own ray casting."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from simgym.deploy.camera import Camera
from simgym.envs.draw import PARKED_Z_M, Layout, Look
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.renderers.raster_kernels import NEAR_M
from simgym.envs.scene import Body, Scene, Semantic, Shape
from tests.envs.raster_scenes import (
    CAMERA,
    FACING_MINUS_X,
    FACING_X,
    MUJOCO_GEOM,
    NO_LINKS,
    SETTINGS,
    WEDGE,
    WEDGE_FACES,
    body,
    checkerboard,
    meet_geoms,
    plain_look,
    rays,
    render_scene,
    rpy_matrix,
    write_wedge,
)

# --- against MuJoCo ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def wedge(tmp_path_factory) -> Path:
    return write_wedge(tmp_path_factory.mktemp("meshes"))


def random_scene(rng: np.random.Generator, mesh: Path) -> Scene:
    """Every shape at least once, anywhere within a metre of the origin, any way round."""
    bodies = []
    for i, shape in enumerate([*Shape, *rng.choice(list(Shape), 4)]):
        size = (1.0, 1.0, 1.0) if shape == Shape.MESH else rng.uniform(0.1, 0.5, 3)
        quat = rng.normal(size=4)
        path = mesh if shape == Shape.MESH else None
        bodies.append(body(f"b{i}", shape, size, rng.uniform(-1, 1, 3), quat / np.linalg.norm(quat), mesh=path))
    return Scene(tuple(bodies))


def cast_rays(scene: Scene, eye: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What MuJoCo sees along ``directions`` (H, W, 3): distance in lengths of the direction (or inf), body (or -1)."""
    spec = mujoco.MjSpec()
    spec.add_mesh(name="wedge", uservert=WEDGE.ravel(), userface=WEDGE_FACES.ravel())
    for part in scene.parts:
        geom = spec.worldbody.add_geom(type=MUJOCO_GEOM[part.shape], pos=part.pos, quat=part.quat)
        if part.shape == Shape.MESH:
            geom.meshname = "wedge"
        else:
            geom.size = (*part.size[:2], 1.0) if part.shape == Shape.PLANE else part.size
    depth, geom = meet_geoms(spec, eye, directions)
    return np.where(geom >= 0, depth, np.inf), geom


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1))
def test_depth_and_bodies_are_those_of_mujocos_rays(wedge, seed):
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, wedge)
    # The camera circles the shapes, looks roughly at their middle, rolled and zoomed.
    azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(-2, 2)
    eye = np.array([3 * np.cos(azimuth), 3 * np.sin(azimuth), height], np.float32).astype(float)
    rpy = np.array([rng.uniform(-1, 1), np.arctan2(height, 3), azimuth + np.pi], np.float32).astype(float)
    zoom = float(np.float32(rng.uniform(0.9, 1.1)))
    look = plain_look(scene, camera_offset=eye, camera_rpy_rad=rpy, focal_scale=zoom)
    _, depth, segmentation = render_scene(scene, look, sides=128)
    directions = rays(replace(CAMERA, fx=CAMERA.fx * zoom, fy=CAMERA.fy * zoom)) @ rpy_matrix(*rpy).T
    true_depth, true_body = cast_rays(scene, eye, directions)

    inside = maximum_filter(true_body, 3) == minimum_filter(true_body, 3)  # not at an edge between bodies
    assert inside.mean() > 0.5
    assert (segmentation[inside, 1] == true_body[inside]).mean() > 0.999
    hit = inside & (true_body >= 0) & (segmentation[..., 1] == true_body)
    # 128 sides lie within 0.15 mm of a curved surface of 0.5 m; seen at a slant, that is more along the ray.
    assert (np.abs(depth[hit] - true_depth[hit]) < 2e-3).mean() > 0.99
    flat = np.isin([p.shape for p in scene.parts], [Shape.BOX, Shape.PLANE, Shape.MESH])
    hit_flat = hit & flat[true_body]
    # A convex body can show two of its faces to a pixel's neighbours, never to its centre: depth is exact.
    np.testing.assert_allclose(depth[hit_flat], true_depth[hit_flat], rtol=1e-4)


# --- closed forms --------------------------------------------------------------------------------------------------


@SETTINGS
@given(distance=st.floats(0.03, 50), supersample=st.sampled_from([1, 2, 3]))
def test_a_plane_ahead_has_the_depth_of_its_distance(distance, supersample):
    scene = Scene((body("wall", Shape.PLANE, (100, 100, 0), (distance, 0, 0), FACING_MINUS_X),))
    _, depth, segmentation = render_scene(scene, supersample=supersample)
    np.testing.assert_allclose(depth, distance, rtol=1e-6)
    assert (segmentation == (Semantic.BOX, 0)).all()


def test_nothing_hit_is_black_infinite_and_of_no_body():
    rgb, depth, segmentation = render_scene(Scene((body("behind", Shape.BOX, (1, 1, 1), (-3, 0, 0)),)))
    assert (rgb == 0).all() and np.isinf(depth).all() and (segmentation == (0, -1)).all()


def test_a_scene_without_parts_renders():
    _, depth, _ = render_scene(Scene(()))
    assert np.isinf(depth).all()


@SETTINGS
@given(
    distance=st.floats(0.5, 5),
    centre=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    half=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
)
def test_a_box_fills_the_rectangle_that_its_front_projects_to(distance, centre, half):
    # The box is a thin plate: nothing of its sides shows beyond the front face's rectangle.
    plate = body("plate", Shape.BOX, (1e-4, *half), (distance + 1e-4, *centre))
    _, depth, segmentation = render_scene(Scene((plate,)))
    y, z = rays()[..., 1] * distance, rays()[..., 2] * distance
    margin = np.minimum(half[0] - np.abs(y - centre[0]), half[1] - np.abs(z - centre[1]))
    hit = segmentation[..., 1] == 0
    tolerance = 1e-3  # the plate's sides and float32 rounding
    assert hit[margin > tolerance].all() and not hit[margin < -tolerance].any()
    np.testing.assert_allclose(depth[margin > tolerance], distance, rtol=1e-6)


def test_pixels_lie_where_the_camera_says():
    """A point left of the axis (y > 0) and above it falls on smaller u and smaller v."""
    speck = body("speck", Shape.SPHERE, (0.06, 0, 0), (2, 0.5, 0.25))
    _, _, segmentation = render_scene(Scene((speck,)))
    v, u = np.argwhere(segmentation[..., 1] == 0).mean(axis=0) + 0.5
    assert u == pytest.approx(CAMERA.cx - CAMERA.fx * 0.25, abs=0.5)
    assert v == pytest.approx(CAMERA.cy - CAMERA.fy * 0.125, abs=0.5)


def test_pitch_looks_down_and_yaw_looks_left():
    ahead = Scene((body("ball", Shape.SPHERE, (0.2, 0, 0), (3, 0, 0)),))
    for rpy, axis, sign in (((0, 0.2, 0), 0, -1), ((0, 0, 0.2), 1, 1)):
        _, _, segmentation = render_scene(ahead, plain_look(ahead, camera_rpy_rad=rpy))
        middle = np.argwhere(segmentation[..., 1] == 0).mean(axis=0) + 0.5 - (CAMERA.cy, CAMERA.cx)
        assert middle[axis] == pytest.approx(sign * CAMERA.fx * np.tan(0.2), abs=0.6)  # down: the ball moves up


def test_planes_are_one_sided():
    scene = Scene((body("wall", Shape.PLANE, (100, 100, 0), (2, 0, 0), FACING_X),))
    assert np.isinf(render_scene(scene)[1]).all()


# --- the near plane ------------------------------------------------------------------------------------------------


@SETTINGS
@given(clearance=st.floats(0.005, 0.1), roll=st.floats(-3.1, 3.1))
def test_surfaces_that_pass_by_the_camera_are_cut_at_the_near_plane(clearance, roll):
    """A floor that starts behind the camera: exact depth beyond the near plane, nothing nearer."""
    roll = float(np.float32(roll))
    scene = Scene((body("floor", Shape.BOX, (20, 20, 1), (0, 0, -1 - clearance)),))
    _, depth, _ = render_scene(scene, plain_look(scene, camera_rpy_rad=(roll, 0, 0)))
    down = -(rays() @ rpy_matrix(roll, 0, 0).T)[..., 2]
    true_depth = np.where(down > 0, clearance / np.maximum(down, 1e-9), np.inf)
    seen = (true_depth > NEAR_M * 1.01) & (true_depth < 10)
    np.testing.assert_allclose(depth[seen], true_depth[seen], rtol=1e-3)
    assert np.isinf(depth[(true_depth < NEAR_M * 0.99) | np.isinf(true_depth)]).all()


def test_from_inside_a_closed_shape_nothing_of_it_shows():
    scene = Scene((body("around", Shape.BOX, (1, 1, 1)), body("beyond", Shape.BOX, (0.1, 9, 9), (4, 0, 0))))
    _, depth, segmentation = render_scene(scene)
    assert (segmentation[..., 1] == 1).all()
    np.testing.assert_allclose(depth, 3.9, rtol=1e-6)


@SETTINGS
@given(seed=st.integers(0, 2**32 - 1))
def test_faces_that_share_an_edge_leave_no_gap(seed):
    """Inside its outline a ball of a thousand faces hides all that is behind it."""
    rng = np.random.default_rng(seed)
    distance, quat = rng.uniform(0.55, 3), rng.normal(size=4)
    ball = body("ball", Shape.SPHERE, (0.5, 0, 0), (distance, 0, 0), quat / np.linalg.norm(quat))
    scene = Scene((body("wall", Shape.PLANE, (99, 99, 0), (9, 0, 0), FACING_MINUS_X), ball))
    _, _, segmentation = render_scene(scene, sides=48)
    directions = rays() / np.linalg.norm(rays(), axis=-1, keepdims=True)
    off_axis = distance * np.linalg.norm(np.cross(directions, (1.0, 0, 0)), axis=-1)
    assert (segmentation[off_axis < 0.49, 1] == 1).all()
    assert (segmentation[off_axis > 0.5, 1] == 0).all()


# --- worlds --------------------------------------------------------------------------------------------------------


def random_worlds(wedge: Path, n: int) -> tuple[Scene, Layout, Look, tuple[np.ndarray, np.ndarray]]:
    """Worlds that differ in everything, with a robot that carries the camera."""
    rng = np.random.default_rng(3)
    arm = tuple(replace(p, semantic=Semantic.ROBOT) for p in random_scene(rng, wedge).parts[:4])
    scene = Scene(random_scene(rng, wedge).bodies, (Body("base", ()), Body("arm", arm)), camera_link=0)
    layout, parts = Layout.nominal(scene, n), len(scene.parts)
    layout.body_pos[:] = rng.normal(size=layout.body_pos.shape)
    layout.part_visible[:] = rng.random(layout.part_visible.shape) < 0.8
    look = plain_look(
        scene, n, part_rgb=rng.random((n, parts, 3)), part_texture=rng.integers(-1, 1, (n, parts)),
        camera_rpy_rad=rng.normal(size=(n, 3)) * 0.1, light_rgb=0.6, ambient_rgb=rng.random((n, 3)),
    )  # fmt: skip
    pos, quat = rng.normal(size=(n, 2, 3)), np.tile([1.0, 0, 0, 0], (n, 2, 1))
    pos[:, 0] = (-3, 0, 0)
    return scene, layout, look, (pos, quat)


def rows(draw, worlds):
    return type(draw)(**{name: value[worlds] for name, value in vars(draw).items()})


def test_a_batch_is_its_worlds_one_by_one_whatever_the_threads(wedge):
    scene, layout, look, (pos, quat) = random_worlds(wedge, 5)
    textures = checkerboard(16, 2)
    for threads in (1, 2, 4):
        batch = RasterRenderer(textures, threads=threads)
        batch.load(scene, CAMERA, 5)
        batch.apply(np.arange(5), layout, look)
        frames = batch.render(pos, quat)
        for world in range(5):
            alone = RasterRenderer(textures)
            alone.load(scene, CAMERA, 1)
            alone.apply(np.array([0]), rows(layout, [world]), rows(look, [world]))
            one = alone.render(pos[[world]], quat[[world]])
            for name in ("rgb", "depth", "segmentation"):
                np.testing.assert_array_equal(getattr(frames, name)[world], getattr(one, name)[0])
    assert len(np.unique(frames.segmentation[..., 1])) > 5


def test_a_new_draw_of_one_world_leaves_the_others_as_they_were(wedge):
    scene, layout, look, links = random_worlds(wedge, 5)
    renderer = RasterRenderer(checkerboard(16, 2))
    renderer.load(scene, CAMERA, 5)
    renderer.apply(np.arange(5), layout, look)
    before = {name: array.copy() for name, array in vars(renderer.render(*links)).items()}
    renderer.apply([2], rows(layout, [4]), rows(look, [4]))
    after = vars(renderer.render(*links))
    others = [0, 1, 3, 4]
    for name, array in before.items():
        np.testing.assert_array_equal(after[name][others], array[others])
        assert (after[name][2] != array[2]).any()


@pytest.mark.parametrize("how", ["hidden", "parked", "body parked"])
def test_parts_that_a_draw_does_not_use_are_not_drawn(how):
    scene = Scene((body("box", Shape.BOX, (1, 1, 1), (3, 0, 0)),))
    layout = Layout.nominal(scene, 1)
    if how == "hidden":
        layout.part_visible[:] = False
    else:
        (layout.part_pos if how == "parked" else layout.body_pos)[..., 2] = PARKED_Z_M
    renderer = RasterRenderer()
    renderer.load(scene, CAMERA, 1)
    renderer.apply(np.array([0]), layout, plain_look(scene, camera_rpy_rad=(0, np.pi / 2, 0)))
    assert np.isinf(renderer.render(*NO_LINKS).depth).all()
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), plain_look(scene))  # and it comes back
    assert np.isfinite(renderer.render(*NO_LINKS).depth).any()


# --- supersampling and snapshots -----------------------------------------------------------------------------------


def test_supersampling_averages_colour_and_takes_the_middle_sample_of_the_rest(wedge):
    scene, _, look, links = random_worlds(wedge, 1)
    textures = checkerboard(16, 2)
    fine_camera = Camera(160, 120, 2 * CAMERA.fx, 2 * CAMERA.fy, 2 * CAMERA.cx, 2 * CAMERA.cy)
    fine = render_scene(scene, look, fine_camera, links, textures=textures)
    rgb, depth, segmentation = render_scene(scene, look, CAMERA, links, textures=textures, supersample=2)
    mean = fine[0].reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(rgb, np.floor(mean + 0.5))
    np.testing.assert_array_equal(depth, fine[1][1::2, 1::2])
    np.testing.assert_array_equal(segmentation, fine[2][1::2, 1::2])


def test_a_snapshot_from_the_cameras_place_is_the_cameras_picture():
    ball = body("ball", Shape.SPHERE, (0.4, 0, 0), (2, 0.3, 0.2))
    scene = Scene((body("wall", Shape.PLANE, (9, 9, 0), (4, 0, 0), FACING_MINUS_X), ball))
    renderer = RasterRenderer()
    renderer.load(scene, CAMERA, 1)
    renderer.apply([0], Layout.nominal(scene, 1), plain_look(scene, light_dir=(0.6, 0, -0.8), light_rgb=0.5))
    frames = renderer.render(*NO_LINKS)
    snapshot = renderer.snapshot(0, CAMERA, (0, 0, 0), (1, 0, 0), supersample=1)
    np.testing.assert_array_equal(snapshot, frames.rgb[0])
    kept = frames.rgb.copy()
    renderer.snapshot(0, Camera(320, 240, 200, 200, 160, 120), (0, 0, 5), (1, 0, 0))
    np.testing.assert_array_equal(frames.rgb, kept)  # a snapshot leaves the frames alone


def test_from_above_the_ceiling_is_invisible_and_plus_y_is_up():
    upside_down = (0.0, 1.0, 0.0, 0.0)
    floor = body("floor", Shape.PLANE, (3, 3, 0))
    north = body("north", Shape.BOX, (0.5, 0.5, 0.5), (0, 2, 0.5))
    ceiling = body("ceiling", Shape.PLANE, (3, 3, 0), (0, 0, 2.5), upside_down)
    scene = Scene((floor, north, ceiling))
    renderer = RasterRenderer()
    renderer.load(scene, CAMERA, 2)
    colours = np.array([[0.2] * 3, [0.6] * 3, [1.0] * 3])
    renderer.apply([1], Layout.nominal(scene, 1), plain_look(scene, part_rgb=colours))
    picture = renderer.snapshot(1, CAMERA, (0, 0, 8), (0, 0, 0), supersample=1)
    assert (picture != 255).all()
    assert np.argwhere(picture[..., 0] == 153)[:, 0].mean() < 20  # the box to the north is at the top
    with pytest.raises(IndexError):
        renderer.snapshot(2, CAMERA, (0, 0, 8), (0, 0, 0))
    with pytest.raises(ValueError, match="its own position"):
        renderer.snapshot(0, CAMERA, (0, 0, 8), (0, 0, 8))


def test_closing_twice_is_fine():
    renderer = RasterRenderer()
    renderer.load(Scene((body("b", Shape.BOX, (1, 1, 1)),)), CAMERA, 1)
    renderer.close()
    renderer.close()

"""The raster renderer against closed forms and against MuJoCo's own ray casting."""

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter, minimum_filter

from simgym.deploy.camera import Camera
from simgym.envs.draw import PARKED_Z_M, Layout, Look
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.renderers.raster_kernels import NEAR_M
from simgym.envs.renderers.shapes import load_mesh
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape

CAMERA = Camera()
NO_LINKS = np.zeros((1, 0, 3)), np.zeros((1, 0, 4))
FACING_X = (np.sqrt(0.5), 0.0, np.sqrt(0.5), 0.0)  # turns +z to +x
FACING_MINUS_X = (np.sqrt(0.5), 0.0, -np.sqrt(0.5), 0.0)
WEDGE = np.array([(-0.3, -0.3, -0.2), (0.4, -0.3, -0.2), (0.0, 0.4, -0.2), (0.1, 0.0, 0.5)])
WEDGE_FACES = np.array([(0, 2, 1), (0, 1, 3), (1, 2, 3), (2, 0, 3)])
SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)


def body(name: str, shape: Shape, size, pos=(0.0, 0.0, 0.0), quat=(1.0, 0.0, 0.0, 0.0), **part) -> Body:
    return Body(name, (Part(shape, part.pop("semantic", Semantic.BOX), tuple(size), tuple(pos), tuple(quat), **part),))


def plain_look(scene: Scene, n: int = 1, **changes) -> Look:
    """Grey, ambient light only, the camera at the origin of its carrier."""
    parts = len(scene.parts)
    look = Look(
        part_rgb=np.full((n, parts, 3), 0.5, np.float32),
        part_texture=np.full((n, parts), -1, np.int32),
        texture_size_m=np.ones((n, parts), np.float32),
        light_dir=np.tile(np.array([1, 0, 0], np.float32), (n, 1)),
        light_rgb=np.zeros((n, 3), np.float32),
        ambient_rgb=np.ones((n, 3), np.float32),
        camera_offset=np.zeros((n, 3), np.float32),
        camera_rpy_rad=np.zeros((n, 3), np.float32),
        focal_scale=np.ones(n, np.float32),
    )
    return replace(look, **{name: np.broadcast_to(v, getattr(look, name).shape).copy() for name, v in changes.items()})


def render_scene(scene: Scene, look: Look | None = None, camera: Camera = CAMERA, links=None, **options):
    """Frames of one world, without the world axis."""
    renderer = RasterRenderer(**options)
    renderer.load(scene, camera, 1)
    renderer.apply(np.array([0]), Layout.nominal(scene, 1), look or plain_look(scene))
    frames = renderer.render(*(links or NO_LINKS))
    return frames.rgb[0], frames.depth[0], frames.segmentation[0]


def rays(camera: Camera = CAMERA) -> np.ndarray:
    """(H, W, 3) x forward, y left, z up; x = 1, so that a ray's parameter is depth."""
    u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    return np.stack([np.ones_like(u), -(u - camera.cx) / camera.fx, -(v - camera.cy) / camera.fy], axis=-1)


def rpy_matrix(roll: float, pitch: float, yaw: float) -> np.ndarray:
    quat, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_euler2Quat(quat, np.array([roll, pitch, yaw]), "XYZ")  # about fixed axes
    mujoco.mju_quat2Mat(matrix, quat)
    return matrix.reshape(3, 3)


# --- against MuJoCo ------------------------------------------------------------------------------------------------

MUJOCO_GEOM = {
    Shape.BOX: mujoco.mjtGeom.mjGEOM_BOX,
    Shape.CYLINDER: mujoco.mjtGeom.mjGEOM_CYLINDER,
    Shape.SPHERE: mujoco.mjtGeom.mjGEOM_SPHERE,
    Shape.CAPSULE: mujoco.mjtGeom.mjGEOM_CAPSULE,
    Shape.PLANE: mujoco.mjtGeom.mjGEOM_PLANE,
    Shape.MESH: mujoco.mjtGeom.mjGEOM_MESH,
}


@pytest.fixture(scope="session")
def wedge(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("meshes") / "wedge.obj"
    lines = [f"v {x} {y} {z}" for x, y, z in WEDGE] + ["f {} {} {}".format(*(f + 1)) for f in WEDGE_FACES]
    path.write_text("\n".join(lines))
    return path


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
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    lengths = np.linalg.norm(directions, axis=-1)
    unit = (directions / lengths[..., None]).ravel()
    geom, distance = np.zeros(lengths.size, np.int32), np.zeros(lengths.size)
    mujoco.mj_multiRay(model, data, eye, unit, None, 1, -1, geom, distance, None, lengths.size, 100.0)
    depth = np.where(geom >= 0, distance / lengths.ravel(), np.inf)
    return depth.reshape(lengths.shape), geom.reshape(lengths.shape)


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


# --- light and colour ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "light_dir, facing", [((1, 0, 0), 1.0), ((-1, 0, 0), 0.0), ((0.6, 0.8, 0), 0.6), ((0, 0, -1), 0.0)]
)
def test_shade_is_ambient_plus_the_cosine_of_the_light(light_dir, facing):
    scene = Scene((body("wall", Shape.PLANE, (99, 99, 0), (2, 0, 0), FACING_MINUS_X),))
    rgb_factor, light, ambient = np.array([0.9, 0.5, 0.2]), np.array([0.7, 0.6, 0.5]), np.array([0.2, 0.3, 0.4])
    look = plain_look(scene, part_rgb=rgb_factor, light_dir=light_dir, light_rgb=light, ambient_rgb=ambient)
    expected = np.round(255 * rgb_factor * np.minimum(ambient + light * facing, 1))
    assert (np.abs(render_scene(scene, look)[0] - expected) <= 1).all()


def test_light_turns_with_the_world_and_not_with_a_link():
    """A link that turns its other side to the light looks as a fixed body in that pose does."""
    part = Part(Shape.BOX, Semantic.ROBOT, (0.3, 0.4, 0.5), (0.1, 0, 0))
    pos, quat = np.array([2.0, 0.2, 0.1]), np.array([0.8, 0.2, -0.4, 0.4])
    fixed, moving = Scene((Body("b", (part,)),)), Scene((), (Body("b", (part,)),))
    light: dict = dict(light_dir=(0.6, 0.0, -0.8), light_rgb=0.7, ambient_rgb=0.3)
    renderer, layout = RasterRenderer(), Layout.nominal(fixed, 1)
    layout.body_pos[0, 0], layout.body_quat[0, 0] = pos, quat
    renderer.load(fixed, CAMERA, 1)
    renderer.apply(np.array([0]), layout, plain_look(fixed, **light))
    expected = renderer.render(*NO_LINKS)
    links = pos.reshape(1, 1, 3), quat.reshape(1, 1, 4)
    rgb, depth, segmentation = render_scene(moving, plain_look(moving, **light), links=links)
    assert len(np.unique(rgb)) >= 3
    assert (rgb == expected.rgb[0]).mean() > 0.999  # a centre on an edge may fall to either side
    np.testing.assert_array_equal(segmentation[..., 0], expected.segmentation[0, ..., 0])
    both = np.isfinite(depth) & (rgb == expected.rgb[0]).all(axis=-1)
    np.testing.assert_allclose(depth[both], expected.depth[0][both], rtol=1e-5)


def test_the_camera_rides_on_its_link():
    scene = Scene(
        (body("wall", Shape.PLANE, (99, 99, 0), (0, 5, 0), (np.sqrt(0.5), np.sqrt(0.5), 0, 0)),),
        (Body("base", (Part(Shape.BOX, Semantic.ROBOT, (0.1, 0.1, 0.1)),)),),
        camera_link=0,
    )
    left = np.array([[[np.sqrt(0.5), 0, 0, np.sqrt(0.5)]]])  # the robot faces +y
    look = plain_look(scene, camera_offset=(0.3, 0, 0.5))
    _, depth, segmentation = render_scene(scene, look, links=(np.array([[[1.0, 1.0, 0.0]]]), left))
    assert (segmentation[..., 1] == 0).all()
    np.testing.assert_allclose(depth, 5 - 1 - 0.3, rtol=1e-5)


# --- textures ------------------------------------------------------------------------------------------------------


def checkerboard(edge: int, cell: int) -> np.ndarray:
    """(1, S, S, 3) with cells of 50 and 200."""
    row, column = np.indices((edge, edge)) // cell
    return np.repeat(np.where((row + column) % 2, 200, 50).astype(np.uint8)[None, ..., None], 3, axis=-1)


@SETTINGS
@given(height=st.floats(0.4, 2), pitch=st.floats(0.3, 1.2), yaw=st.floats(-3, 3))
def test_a_checkerboard_floor_is_in_perspective(height, pitch, yaw):
    height, pitch, yaw = (float(np.float32(x)) for x in (height, pitch, yaw))
    scene = Scene((body("floor", Shape.PLANE, (50, 50, 0)),))
    look = plain_look(
        scene, part_texture=0, texture_size_m=4.0, part_rgb=1.0,
        camera_offset=(0.3, 0.2, height), camera_rpy_rad=(0, pitch, yaw),
    )  # fmt: skip
    rgb, depth, _ = render_scene(scene, look, textures=checkerboard(64, 8))
    directions = rays() @ rpy_matrix(0, pitch, yaw).T
    true_depth = height / np.maximum(-directions[..., 2], 1e-9)
    x, y = (np.array([0.3, 0.2])[:, None, None] + np.moveaxis(directions[..., :2] * true_depth[..., None], -1, 0)) / 0.5
    cell = np.floor(x) + np.floor(-y)  # rows of a texture run down, y runs up
    clear = np.minimum(np.abs(x - np.round(x)), np.abs(y - np.round(y))) > 0.3  # metres from a border: 0.15
    near = clear & (true_depth < 3)
    assert near.sum() > 50
    np.testing.assert_array_equal(rgb[near, 0], np.where(cell[near] % 2, 200, 50))
    np.testing.assert_allclose(depth[near], true_depth[near], rtol=1e-4)


def test_far_textures_fade_to_their_mean():
    scene = Scene((body("wall", Shape.PLANE, (500, 500, 0), (60, 0, 0), FACING_MINUS_X),))
    look = plain_look(scene, part_texture=0, part_rgb=1.0)
    rgb, _, _ = render_scene(scene, look, textures=checkerboard(64, 1))
    assert (np.abs(rgb.astype(int) - 125) <= 2).all()


def test_the_colour_multiplies_the_texture():
    scene = Scene((body("wall", Shape.PLANE, (99, 99, 0), (2, 0, 0), FACING_MINUS_X),))
    look = plain_look(scene, part_texture=1, part_rgb=(1.0, 0.5, 0.0))
    bank = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 200, np.uint8)])
    assert (np.abs(render_scene(scene, look, textures=bank)[0] - np.array([200, 100, 0])) <= 1).all()


@pytest.mark.parametrize(
    "shape, size", [(Shape.BOX, (9, 9, 9)), (Shape.CYLINDER, (9, 30, 0)), (Shape.CAPSULE, (9, 30, 0))]
)
def test_textures_hang_upright_and_unmirrored_from_the_middle_of_a_side(shape, size):
    """The top left corner of the texture is at the middle of the side; a bright top left quarter lies right below."""
    texture = np.full((1, 64, 64, 3), 20, np.uint8)
    texture[:, :32, :32] = 220
    scene = Scene((body("block", shape, size, (9 + 2, 0, 0), (0, 0, 0, 1)),))  # its +x side faces the camera
    look = plain_look(scene, part_texture=0, texture_size_m=20.0, part_rgb=1.0)
    bright = render_scene(scene, look, textures=texture, sides=96)[0][..., 0] > 120
    right_below = np.zeros_like(bright)
    right_below[30:, 40:] = True
    assert (bright == right_below).mean() > 0.95


@pytest.mark.parametrize(
    "textures", [np.zeros((1, 6, 6, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.ones((1, 4, 4, 3))]
)
def test_a_texture_bank_of_the_wrong_form_is_refused(textures):
    with pytest.raises(ValueError, match="power of two"):
        RasterRenderer(textures)


def test_a_texture_that_the_bank_lacks_is_refused():
    scene = Scene((body("b", Shape.BOX, (1, 1, 1)),))
    with pytest.raises(ValueError, match="asks for texture 3"):
        render_scene(scene, plain_look(scene, part_texture=3), textures=checkerboard(8, 1))


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


# --- meshes --------------------------------------------------------------------------------------------------------


def write_stl(path: Path, binary: bool) -> None:
    corners = WEDGE[WEDGE_FACES]
    if binary:
        facets = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("flags", "<u2")])
        facets["corners"] = corners
        path.write_bytes(b"solid is no proof of ASCII".ljust(80) + np.uint32(len(corners)).tobytes() + facets.tobytes())
        return
    loops = ["outer loop\n" + "".join("vertex {} {} {}\n".format(*c) for c in t) + "endloop" for t in corners]
    path.write_text("solid wedge\n" + "".join(f"facet normal 0 0 0\n{loop}\nendfacet\n" for loop in loops) + "endsolid")


@pytest.mark.parametrize("binary", [True, False])
def test_an_stl_shows_as_the_same_obj_does(wedge, tmp_path, binary):
    path = tmp_path / "wedge.stl"
    write_stl(path, binary)
    pictures = []
    for file in (wedge, path):
        scene = Scene((body("mesh", Shape.MESH, (1, 1, 1), (1.5, 0, 0), mesh=file),))
        pictures.append(render_scene(scene, plain_look(scene, light_dir=(0.6, 0, -0.8), light_rgb=0.5)))
    assert np.isfinite(pictures[0][1]).sum() > 200
    np.testing.assert_array_equal(pictures[0][0], pictures[1][0])
    np.testing.assert_allclose(pictures[0][1], pictures[1][1], rtol=1e-6)


def test_an_objs_polygons_negative_indices_and_texture_coordinates_are_read(tmp_path):
    path = tmp_path / "quad.obj"
    path.write_text(
        "v 0 0 0\nv 1 0 0 # corner\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 2 0\nvt 2 2\nvt 0 2\nf -4/1 2/2/7 3/3 4/4\n"
    )
    mesh = load_mesh(path)
    assert mesh.faces == [(0, 1, 2), (0, 2, 3)]
    np.testing.assert_array_equal(mesh.uvs[1], [(0, 0), (2, 2), (0, 2)])


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("gone.obj", None, "no such mesh file"),
        ("scene.gltf", b"{}", "give an .obj or .stl"),
        ("empty.obj", b"# nothing\n", "no triangles"),
        ("text.obj", b"v 0 0 zero\nf 1 1 1\n", "not a readable OBJ"),
        ("short.obj", b"v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not a readable OBJ"),
        ("dangling.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "a vertex that is not there"),
        ("texture.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1/1 2/2 3/5\n", "not a readable OBJ"),
        ("cut.stl", b"x" * 80 + (9).to_bytes(4, "little") + b"y" * 70, "a binary STL of 9 triangles has 534"),
        ("cut_text.stl", b"solid a\nvertex 0 0 0\nvertex 0 1 0\n", "not complete"),
        ("tiny.stl", b"", "not a readable STL"),
    ],
)  # fmt: skip
def test_a_mesh_that_cannot_be_read_says_which_and_why(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    scene = Scene((body("mesh", Shape.MESH, (1, 1, 1), mesh=path),))
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        RasterRenderer().load(scene, CAMERA, 1)
    assert name in str(error.value) and "\n" not in str(error.value)


def test_a_mesh_part_without_a_file_is_refused():
    with pytest.raises(ValueError, match="Part.mesh"):
        RasterRenderer().load(Scene((body("mesh", Shape.MESH, (1, 1, 1)),)), CAMERA, 1)


def test_closing_twice_is_fine():
    renderer = RasterRenderer()
    renderer.load(Scene((body("b", Shape.BOX, (1, 1, 1)),)), CAMERA, 1)
    renderer.close()
    renderer.close()

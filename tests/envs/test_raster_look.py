"""Light, colours and textures of the raster renderer, against closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simgym.envs.draw import Layout
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape
from tests.envs.raster_scenes import (
    CAMERA,
    FACING_MINUS_X,
    NO_LINKS,
    SETTINGS,
    body,
    checkerboard,
    plain_look,
    rays,
    render_scene,
    rpy_matrix,
)

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

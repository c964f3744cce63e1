"""Mesh files of the raster renderer: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.renderers.shapes import load_mesh
from simgym.envs.scene import Scene, Shape
from tests.envs.raster_scenes import CAMERA, WEDGE, WEDGE_FACES, body, plain_look, render_scene, write_wedge

# --- meshes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def wedge(tmp_path: Path) -> Path:
    return write_wedge(tmp_path)


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


def test_the_second_texture_coordinate_may_be_left_out(tmp_path):
    path = tmp_path / "stripes.obj"
    path.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0.5\nvt 1 0\nf 1/1 2/2 3/1\n")
    np.testing.assert_array_equal(load_mesh(path).uvs[0], [(0.5, 0), (1, 0), (0.5, 0)])


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
        ("nan.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 nan\nf 1/1 2/1 3/1\n", "not a finite number"),
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

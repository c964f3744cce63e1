"""Furniture over the whole range of its sizes: it fits its slot, keeps to its circle, stands on the floor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simgym.envs.draw import Layout
from simgym.envs.quaternion import rotate
from simgym.envs.scene import Body, Scene, Semantic, Shape
from simgym.envs.tasks.chair_nav.furniture import (
    CHAIR_SLOT,
    CHAIRS,
    CLUTTER,
    CLUTTER_SLOT,
    OBSTACLES,
    Builder,
)
from simgym.envs.tasks.slots import Slot, slot_body

CHAIR_STYLES = {name: build for split in CHAIRS.values() for name, build in split.items()}
BUILDERS = {
    **{name: (build, slot_body(name, Semantic.CHAIR, *CHAIR_SLOT)) for name, build in CHAIR_STYLES.items()},
    **{kind.name: (kind.build, slot_body(kind.name, s, *slot)) for s, (kind, slot, _) in OBSTACLES.items()},
    **{kind.name: (kind.build, slot_body(kind.name, Semantic.CLUTTER, *CLUTTER_SLOT)) for kind in CLUTTER},
}
AGAINST_WALLS = {
    kind.name: kind for kind in (*(kind for kind, *_ in OBSTACLES.values()), *CLUTTER) if kind.against_wall > 0
}
SETTINGS = settings(max_examples=60, derandomize=True)


class Dial:
    """Stands in for a generator: every draw is a share of its range that the test chooses, the ends included."""

    def __init__(self, shares: list[float]) -> None:
        self._shares, self._next = shares, 0

    def _share(self) -> float:
        self._next += 1
        return self._shares[(self._next - 1) % len(self._shares)]

    def uniform(self, low, high, size=None):
        low, high = np.broadcast_arrays(np.asarray(low, float), high)
        low, high = (np.broadcast_to(end, size if size is not None else low.shape) for end in (low, high))
        shares = np.array([self._share() for _ in range(low.size)]).reshape(low.shape)
        return low + shares * (high - low)

    def integers(self, count: int) -> int:
        return min(int(self._share() * count), count - 1)


dials = st.lists(st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)), min_size=1, max_size=16).map(Dial)


def build_in(build: Builder, body: Body, rng) -> tuple[Layout, float]:
    scene = Scene((body,))
    layout = Layout.nominal(scene, 1)
    layout.part_visible[:] = False
    return layout, build(Slot(layout, scene.part_range(0), tuple(part.shape for part in body.parts)), rng)


def outline(layout: Layout, body: Body) -> list[tuple[np.ndarray, float]]:
    """Points (k, 3) and a horizontal radius around them that hold each visible part."""
    pieces = []
    for i in np.flatnonzero(layout.part_visible[0]):
        size, shape = layout.part_size[0, i], body.parts[i].shape
        signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
        if shape == Shape.BOX:
            half, around = size, 0.0
        elif shape == Shape.CYLINDER:
            half, around = np.array([0, 0, size[1]]), size[0]
        else:
            half, around = np.array([0, 0, size[0]]), size[0]
        pieces.append((layout.part_pos[0, i] + rotate(layout.part_quat[0, i], signs * half), float(around)))
    return pieces


def test_every_kind_is_tested():
    assert len(BUILDERS) == len(CHAIR_STYLES) + len(OBSTACLES) + len(CLUTTER)
    assert len(CHAIRS["train"]) >= 3 and CHAIRS["test"] and not set(CHAIRS["train"]) & set(CHAIRS["test"])


@pytest.mark.parametrize("name", BUILDERS)
@given(dial=dials)
@SETTINGS
def test_the_returned_circle_holds_every_part(name, dial):
    build, body = BUILDERS[name]
    layout, radius = build_in(build, body, dial)
    reach = max(np.hypot(*points[:, :2].T).max() + around for points, around in outline(layout, body))
    assert reach <= radius + 1e-9
    assert radius <= reach + 0.1  # and wastes no room


@pytest.mark.parametrize("name", BUILDERS)
@given(dial=dials)
@SETTINGS
def test_parts_have_sizes_and_stand_on_the_floor(name, dial):
    build, body = BUILDERS[name]
    layout, _ = build_in(build, body, dial)
    shown = layout.part_visible[0]
    assert shown.any()
    used = np.array([{Shape.BOX: 3, Shape.CYLINDER: 2, Shape.SPHERE: 1}[part.shape] for part in body.parts])
    sizes = np.where(np.arange(3) < used[:, None], layout.part_size[0], np.inf)[shown]
    assert sizes.min() >= 0.0099  # MuJoCo's and the eye's least
    norms = np.linalg.norm(layout.part_quat[0, shown], axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-9)
    lowest = min(points[:, 2].min() for points, _ in outline(layout, body))
    assert -1e-9 <= lowest <= 0.08
    assert max(points[:, 2].max() for points, _ in outline(layout, body)) < 2.3  # below any ceiling


@pytest.mark.parametrize("name", BUILDERS)
def test_every_piece_is_different(name):
    build, body = BUILDERS[name]
    sizes = {build_in(build, body, np.random.default_rng(seed))[0].part_size.tobytes() for seed in range(30)}
    assert len(sizes) == 30


@pytest.mark.parametrize("name", BUILDERS)
def test_the_same_generator_gives_the_same_piece(name):
    build, body = BUILDERS[name]
    one, other = (build_in(build, body, np.random.default_rng(5)) for _ in range(2))
    for field, value in vars(one[0]).items():
        np.testing.assert_array_equal(value, getattr(other[0], field))
    assert one[1] == other[1]


@pytest.mark.parametrize("name", CHAIR_STYLES)
@given(dial=dials)
@SETTINGS
def test_chairs_have_human_sizes(name, dial):
    """A seat 0.35-0.6 m high and 0.3-0.9 m wide over the chair's middle, a back that rises above it behind."""
    build, body = BUILDERS[name]
    layout, radius = build_in(build, body, dial)
    tops, widths, behind = [], [], []
    for i in np.flatnonzero(layout.part_visible[0]):
        pos, size = layout.part_pos[0, i], layout.part_size[0, i]
        is_box = body.parts[i].shape == Shape.BOX
        half_width, rise = (size[0], size[2]) if is_box else (size[0], size[1])
        if np.hypot(*pos[:2]) < 0.06 and half_width > 0.15:
            tops.append(pos[2] + rise)
            widths.append(2 * half_width)
        if pos[1] < -0.1:
            behind.append(pos[2] + rise)
    assert 0.35 <= max(tops) <= 0.6
    assert 0.3 <= max(widths) <= 0.9
    assert 0.6 <= max(behind) <= 1.35
    assert max(behind) > max(tops) + 0.15
    assert 0.25 < radius < 0.65


@pytest.mark.parametrize("name", AGAINST_WALLS)
@given(dial=dials)
@SETTINGS
def test_what_stands_at_a_wall_does_not_stand_in_it(name, dial):
    """Nothing reaches further back than the distance it keeps to the wall."""
    build, body = BUILDERS[name]
    layout, _ = build_in(build, body, dial)
    back = min((points[:, 1] - around).min() for points, around in outline(layout, body))
    assert -back <= AGAINST_WALLS[name].half_depth_m + 0.005 + 1e-9  # placed 5 mm off the wall


def test_a_slot_that_is_too_small_is_an_error_not_a_missing_part():
    with pytest.raises(IndexError):
        build_in(CHAIR_STYLES["swivel"], slot_body("small", Semantic.CHAIR, 3, 1), np.random.default_rng(0))

"""The photo look: rooms of a place, in textures, under lamps and daylight, seen by a camera mounted a little askew.

A place is drawn once from its number: the material of every surface and of every kind of furniture, where lamps hang,
and how its camera is mounted. Episodes in it differ in what hangs and lies about, in wear, and in the time of day.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import PhotoRanges
from ..draw import Look, Setting
from ..scene import Scene, Semantic, Shape
from ..terms import Drawing
from .canonical import canonical_look, paint_objects, slender_parts
from .folder import folder_bank
from .materials import SHOWN_WHOLE, texture_bank

LOOK_STREAM = 1  # of a place's number
AMBIENT, LAMP_DROP_M = 0.5, 0.3
ROBOT_GREY = 0.25
MIDDLE_ALBEDO = 0.66  # rooms are lit, and cameras set, for surfaces as bright as this

# Edge of a repeat in metres; what is shown whole takes the size of what it is shown on.
SIZE_M = {
    "planks": (1.0, 1.6), "parquet": (0.7, 1.2), "veneer": (0.6, 1.2), "carpet": (0.8, 1.6), "tiles": (0.6, 1.4),
    "stone": (1.2, 2.0), "plaster": (2.0, 3.0), "wallpaper": (0.9, 1.8), "brick": (0.6, 0.9), "panelling": (0.7, 1.2),
    "fabric": (0.3, 0.7), "leather": (0.4, 0.8), "lacquer": (0.8, 1.5), "cardboard": (0.4, 0.6), "leaves": (0.3, 0.5),
    "ceiling": (1.0, 1.4), **dict.fromkeys(SHOWN_WHOLE, (1.0, 1.0)), "books": (0.8, 1.2),
}  # fmt: skip
# What a surface may be of, the likelier the more often it is named.
SEAT = ("fabric", "fabric", "leather", "veneer", "lacquer")
BOARD = ("veneer", "veneer", "lacquer")
MADE_OF: dict[str, tuple[str, ...]] = {
    "floor": ("planks", "planks", "parquet", "carpet", "carpet", "tiles", "stone"),
    "walls": ("plaster", "plaster", "plaster", "plaster", "wallpaper", "brick", "panelling", "stone"),
    "accent": ("plaster", "wallpaper", "brick", "panelling", "tiles"),
    "ceiling": ("ceiling",),
    **dict.fromkeys(("four_legged", "swivel", "armchair", "cantilever", "tub", "chair"), SEAT),
    "table": BOARD, "cabinet": BOARD, "shelf": BOARD, "front": ("veneer", "lacquer", "books"), "box": ("cardboard",),
    "bin": ("lacquer",), "plant": ("lacquer", "stone", "veneer"), "crown": ("leaves",), "sofa": ("fabric", "leather"),
    "floor_lamp": ("fabric",), "frame": BOARD, "leaf": ("panels",), "legs": ("veneer", "lacquer", "lacquer"),
    "cables": ("lacquer",),
}  # fmt: skip
THINGS = ("fabric", "lacquer", "cardboard", "leather", "books")  # what small things are of
PANELS = {"windows": ("view",), "pictures": ("landscape", "poster"), "rugs": ("ornament",)}


@dataclass(frozen=True)
class Material:
    """One finish: a row of the texture bank, a tint on it, and the edge of one repeat."""

    texture: int
    rgb: np.ndarray  # (3,)
    size_m: float


@dataclass(frozen=True)
class Place:
    """What stays the same in one building."""

    number: int
    materials: dict[str, Material]  # by the keys of `MADE_OF`
    accent_wall: int  # part of the walls' body in the accent's material; -1: none
    lamp_spots: np.ndarray  # (K, 2) where lamps hang, -1..1 across the room
    lamp: float  # intensity of each
    albedo: float  # of floor and walls
    camera: dict[str, float]  # by the names in `PhotoRanges`


class PhotoLook:
    """Paints rooms of places.

    Args:
        scene: what there is to paint.
        ranges: what is drawn.
        folder: pictures for all surfaces; None: those of `materials`.
    """

    def __init__(self, scene: Scene, ranges: PhotoRanges, folder: str | None = None) -> None:
        """Raises UserError for a folder without readable pictures."""
        self._ranges, self._scene, self._nominal = ranges, scene, canonical_look(scene)
        self._folder_facts: dict[str, Any] = {}
        if folder is None:
            self.textures, self._rows = texture_bank()
        else:
            self.textures, self._rows, self._folder_facts = folder_bank(folder)
        self._bodies = [(body.name, scene.part_range(b)) for b, body in enumerate(scene.bodies)]
        self._crown = scene.part_shape[: scene.num_placed_parts] == Shape.SPHERE
        self._robot = np.array([part.semantic == Semantic.ROBOT for part in scene.parts])
        self._names = {body.name: body.name.rstrip("0123456789") for body in scene.bodies}
        self.place = functools.lru_cache(maxsize=64)(self._draw_place)

    def sample(
        self, rng: np.random.Generator, setting: Setting | None = None, terms: Drawing | None = None
    ) -> tuple[Look, dict[str, Any]]:
        """See `LookSampler.sample`; a room to paint is needed here."""
        if setting is None or setting.place is None:
            raise ValueError("the photo look paints one room of a place: give its setting")
        place = self.place(setting.place)
        look = Look(**{name: value.copy() for name, value in vars(self._nominal).items()})
        drawn = self._paint(rng, look, setting, place) | self._light(rng, look, setting, place)
        paint_objects(look, setting.layout, self._scene)
        _mount(look, place.camera)
        return look, {"place": setting.place} | drawn | place.camera | self._folder_facts

    # --- places ---

    def _draw_place(self, number: int) -> Place:
        rng, ranges = np.random.default_rng([number, LOOK_STREAM]), self._ranges
        materials = {name: self._material(rng, number, kinds) for name, kinds in MADE_OF.items()}
        accent_wall = int(rng.integers(4)) if rng.random() < 0.4 else -1
        names = ("camera_height_m", "camera_roll_deg", "camera_pitch_deg", "camera_yaw_deg", "focal_scale")
        camera = {name: float(rng.uniform(*getattr(ranges, name))) for name in names}
        lamps = int(rng.integers(ranges.lamps[0], ranges.lamps[1] + 1))
        spots, lamp = rng.uniform(-0.75, 0.75, (lamps, 2)), float(rng.uniform(*ranges.lamp))
        albedo = float(np.mean([self._brightness(materials[name]) for name in ("floor", "walls")]))
        return Place(number, materials, accent_wall, spots, lamp, albedo, camera)

    def _brightness(self, material: Material) -> float:
        """The mean over texture and channels, at least 0.1."""
        return max(float((self.textures[material.texture].mean(axis=(0, 1)) / 255 * material.rgb).mean()), 0.1)

    def _material(self, rng: np.random.Generator, place: int, kinds: tuple[str, ...]) -> Material:
        """One of the kinds, from the place's half of the bank."""
        kind = kinds[rng.integers(len(kinds))]
        rows = self._half(kind, place)
        tint = rng.uniform(0.75, 1.0) * rng.uniform(0.88, 1.0, 3)
        return Material(int(rows[rng.integers(len(rows))]), tint, float(rng.uniform(*SIZE_M[kind])))

    def _half(self, kind: str, place: int) -> tuple[int, ...]:
        """The rows of a material that even places, or odd ones, take from: all, where there is but one."""
        rows = self._rows[kind]
        return rows[place % 2 :: 2] if len(rows) > 1 else rows

    # --- episodes ---

    def _paint(self, rng: np.random.Generator, look: Look, setting: Setting, place: Place) -> dict[str, Any]:
        """Give every part the finish that the place has for what it belongs to."""
        size = setting.layout.part_size[0]
        slender = slender_parts(self._scene, setting.layout)
        for body, parts in self._bodies:
            name = self._names[body]
            kind = setting.kinds.get(body, name)
            if kind == "small_things":
                for p in range(parts.start, parts.stop):
                    _finish(look, p, self._material(rng, place.number, THINGS))
                continue
            material = place.materials.get(kind, place.materials["frame"])
            _finish(look, parts, material)
            if name == "doors":
                _hang(look, parts.start, place.materials["leaf"].texture, size)
            elif name in PANELS:
                _hang(look, parts.start, self._material(rng, place.number, PANELS[name]).texture, size)
            elif name == "walls" and place.accent_wall >= 0:
                _finish(look, parts.start + place.accent_wall, place.materials["accent"])
            elif kind == "cabinet":
                _finish(look, slice(parts.start + 1, parts.stop), place.materials["front"])
            elif name != "cables":
                rows = np.arange(parts.start, parts.stop)
                _finish(look, rows[slender[parts]], place.materials["legs"])
                _finish(look, rows[self._crown[parts]], place.materials["crown"])
        look.part_rgb[0, self._robot] = ROBOT_GREY
        wear = rng.uniform(*self._ranges.wear)
        look.part_rgb[0] *= 1 - wear * rng.random((look.part_rgb.shape[1], 1))
        return {"wear": wear}

    def _light(self, rng: np.random.Generator, look: Look, setting: Setting, place: Place) -> dict[str, Any]:
        """Daylight from one side, lamps below the ceiling, and what the walls throw back."""
        ranges, layout = self._ranges, setting.layout
        level, daylight = rng.uniform(*ranges.light), rng.uniform(*ranges.daylight)
        kelvin = rng.uniform(*ranges.temperature_k)
        elevation, azimuth = rng.uniform(0.35, 1.2), rng.uniform(0, 2 * np.pi)
        flat = np.cos(elevation)
        level *= (MIDDLE_ALBEDO / place.albedo) ** 0.8
        look.light_dir[0] = (flat * np.cos(azimuth), flat * np.sin(azimuth), -np.sin(elevation))
        tint = light_colour(kelvin) ** 0.6  # the camera's white balance takes the rest
        look.light_rgb[0] = level * daylight * tint
        look.ambient_rgb[0] = level * AMBIENT * tint
        half_room, height = layout.part_size[0, 0, :2], layout.part_pos[0, 1, 2]  # parts: floor, ceiling
        count = len(place.lamp_spots)
        look.lamp_pos[0, :count, :2] = place.lamp_spots * half_room
        look.lamp_pos[0, :count, 2] = height - LAMP_DROP_M
        look.lamp_rgb[0, :count] = level * place.lamp * tint
        return {"light": level, "daylight": daylight, "temperature_k": kelvin}


def _finish(look: Look, parts: slice | int | np.ndarray, material: Material) -> None:
    look.part_texture[0, parts] = material.texture
    look.part_rgb[0, parts] = material.rgb
    look.texture_size_m[0, parts] = material.size_m


def _hang(look: Look, part: int, texture: int, size: np.ndarray) -> None:
    """Show a picture whole and once on a part, cut to its middle where the part is no square."""
    look.part_texture[0, part], look.part_rgb[0, part] = texture, 1
    look.texture_size_m[0, part] = 2 * size[part].max()


def _mount(look: Look, camera: dict[str, float]) -> None:
    look.camera_offset[0, 2], look.focal_scale[0] = camera["camera_height_m"], camera["focal_scale"]
    look.camera_rpy_rad[0] = np.radians([camera[f"camera_{name}_deg"] for name in ("roll", "pitch", "yaw")])


def light_colour(kelvin: float) -> np.ndarray:
    """(3,) colour of a black body, 1 in its strongest channel; neutral at 6,600 K (Tanner Helland's fit)."""
    t = kelvin / 100
    if t <= 66:
        red, green = 255.0, 99.4708 * np.log(t) - 161.1196
        blue = 138.5177 * np.log(max(t - 10, 1)) - 305.0448 if t > 19 else 0.0
    else:
        red, green, blue = 329.6987 * (t - 60) ** -0.1332, 288.1222 * (t - 60) ** -0.0755, 255.0
    colour = np.clip([red, green, blue], 0, 255)
    return colour / colour.max()

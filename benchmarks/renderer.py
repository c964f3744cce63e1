"""Speed of the raster renderer: ``python -m benchmarks.renderer [--json results.json]``.

Frames a second of rgb + depth + segmentation at the default camera, in a room as rich as a ChairNav scene. The machine
is rarely ours alone, so the time of a configuration is the least of several repeats.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np

from simgym.deploy.camera import Camera
from simgym.envs.draw import Layout, Look
from simgym.envs.renderers.raster import RasterRenderer
from simgym.envs.scene import Body, Part, Scene, Semantic, Shape

ROOM_M = (6.0, 5.0, 2.6)
WORLDS = (1, 16, 64)


def room_scene() -> Scene:
    """Four walls, floor, ceiling, three chairs of 12 boxes, eight pieces of furniture of 6 parts, a robot of 5."""
    box, cylinder = Shape.BOX, Shape.CYLINDER
    length, width, height = ROOM_M
    quarter = math.sqrt(0.5)
    shell = [
        Body("floor", (Part(Shape.PLANE, Semantic.FLOOR, (length / 2, width / 2, 0)),)),
        Body(
            "ceiling", (Part(Shape.PLANE, Semantic.CEILING, (length / 2, width / 2, 0), (0, 0, height), (0, 1, 0, 0)),)
        ),
    ]
    for name, pos, size, quat in (
        ("west", (-length / 2, 0, height / 2), (height / 2, width / 2, 0), (quarter, 0, quarter, 0)),
        ("east", (length / 2, 0, height / 2), (height / 2, width / 2, 0), (quarter, 0, -quarter, 0)),
        ("south", (0, -width / 2, height / 2), (length / 2, height / 2, 0), (quarter, -quarter, 0, 0)),
        ("north", (0, width / 2, height / 2), (length / 2, height / 2, 0), (quarter, quarter, 0, 0)),
    ):
        shell.append(Body(name, (Part(Shape.PLANE, Semantic.WALL, size, pos, quat),)))
    corners = [(x, y) for x in (-0.2, 0.2) for y in (-0.2, 0.2)]
    chair = [Part(box, Semantic.CHAIR, (0.02, 0.02, 0.22), (x, y, 0.22)) for x, y in corners]
    chair += [Part(box, Semantic.CHAIR, (0.22, 0.22, 0.02), (0, 0, 0.46))]
    chair += [Part(box, Semantic.CHAIR, (0.02, 0.02, 0.25), (-0.2, y, 0.73)) for y in (-0.2, 0.2)]
    chair += [Part(box, Semantic.CHAIR, (0.015, 0.18, 0.03), (-0.2, 0, z)) for z in (0.6, 0.75, 0.9)]
    chair += [Part(box, Semantic.CHAIR, (0.18, 0.015, 0.015), (0, y, 0.2)) for y in (-0.2, 0.2)]
    table = [Part(box, Semantic.TABLE, (0.03, 0.03, 0.35), (2 * x, 2 * y, 0.35)) for x, y in corners]
    table += [Part(box, Semantic.TABLE, (0.45, 0.45, 0.02), (0, 0, 0.72))]
    table += [Part(cylinder, Semantic.CLUTTER, (0.05, 0.1, 0), (0.1, 0.1, 0.84))]
    robot = [Part(cylinder, Semantic.ROBOT, (0.18, 0.08, 0), (0, 0, 0.12))]
    robot += [
        Part(cylinder, Semantic.ROBOT, (0.07, 0.02, 0), (0, y, 0.07), (quarter, quarter, 0, 0)) for y in (-0.2, 0.2)
    ]
    robot += [
        Part(box, Semantic.ROBOT, (0.03, 0.05, 0.1), (0, 0, 0.3)),
        Part(Shape.SPHERE, Semantic.ROBOT, (0.03, 0, 0), (-0.1, 0, 0.03)),
    ]
    furniture = [Body(f"chair{i}", tuple(chair)) for i in range(3)] + [
        Body(f"table{i}", tuple(table)) for i in range(8)
    ]
    return Scene(tuple(shell + furniture), (Body("base", tuple(robot)),), camera_link=0)


def room_draw(scene: Scene, n: int, rng: np.random.Generator, num_textures: int = 0) -> tuple[Layout, Look]:
    """Furniture anywhere in the room, colours and light at random; all parts textured where there are textures."""
    layout, parts = Layout.nominal(scene, n), len(scene.parts)
    placed = slice(6, scene.num_fixed)
    count = scene.num_fixed - 6
    half = np.array(ROOM_M[:2]) / 2 - 0.5
    layout.body_pos[:, placed, :2] = rng.uniform(-half, half, (n, count, 2))
    yaw = rng.uniform(-math.pi, math.pi, (n, count))
    layout.body_quat[:, placed, 0], layout.body_quat[:, placed, 3] = np.cos(yaw / 2), np.sin(yaw / 2)
    texture = rng.integers(0, num_textures, (n, parts)) if num_textures else np.full((n, parts), -1)
    look = Look(
        part_rgb=rng.uniform(0.2, 1, (n, parts, 3)).astype(np.float32),
        part_texture=texture.astype(np.int32),
        texture_size_m=np.ones((n, parts), np.float32),
        light_dir=np.tile(np.array([0.36, 0.48, -0.8], np.float32), (n, 1)),
        light_rgb=np.full((n, 3), 0.6, np.float32),
        ambient_rgb=np.full((n, 3), 0.4, np.float32),
        camera_offset=np.tile(np.array([0.1, 0, 0.4], np.float32), (n, 1)),
        camera_rpy_rad=np.tile(np.array([0, 0.1, 0], np.float32), (n, 1)),
        focal_scale=np.ones(n, np.float32),
    )
    return layout, look


def frames_per_second(
    scene: Scene, layout: Layout, look: Look, camera: Camera, renderer: RasterRenderer, seconds: float = 3.0
) -> float:
    """Best rate over short repeats, robots turning on the spot anywhere in the room."""
    n, rng = len(look.focal_scale), np.random.default_rng(0)
    renderer.load(scene, camera, n)
    renderer.apply(np.arange(n), layout, look)
    steps, links = 20, len(scene.links)
    half = np.array(ROOM_M[:2]) / 2 - 0.5
    pos, quat = np.zeros((steps, n, links, 3)), np.zeros((steps, n, links, 4))
    pos[..., :2] = rng.uniform(-half, half, (steps, n, 1, 2))
    yaw = rng.uniform(-math.pi, math.pi, (steps, n, 1))
    quat[..., 0], quat[..., 3] = np.cos(yaw / 2), np.sin(yaw / 2)
    renderer.render(pos[0], quat[0])  # compiles
    best, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for step in range(steps):
            renderer.render(pos[step], quat[step])
        best = min(best, time.perf_counter() - start)
    return n * steps / best


def count_triangles(scene: Scene, renderer: RasterRenderer) -> int:
    """Triangles that the scene's faces stand for."""
    renderer.load(scene, Camera(), 1)
    corners = np.diff(renderer._shapes.face_corner)
    return int(sum((corners[f : f + k] - 2).sum() for f, k in renderer._parts[["unit_face", "faces"]].tolist()))


def main() -> None:
    """Print the table; write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each row")
    args = parser.parse_args()
    scene, rng = room_scene(), np.random.default_rng(0)
    bank = rng.integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
    triangles, cores = count_triangles(scene, RasterRenderer()), RasterRenderer().threads
    print(f"{len(scene.parts)} parts, {triangles} triangles, {cores} threads, load {os.getloadavg()[0]:.1f}")
    print(f"{'worlds':>6} {'size':>8} {'textures':>8} {'supersample':>11} {'frames/s':>9}")
    rows = []
    for worlds, textured, supersample in [(n, False, 1) for n in WORLDS] + [(16, True, 1), (16, False, 2)]:
        layout, look = room_draw(scene, worlds, rng, len(bank) if textured else 0)
        renderer = RasterRenderer(bank, supersample)
        rate = frames_per_second(scene, layout, look, Camera(), renderer, args.seconds)
        print(f"{worlds:>6} {'80x60':>8} {'yes' if textured else 'no':>8} {supersample:>11} {rate:>9,.0f}", flush=True)
        row = dict(worlds=worlds, width=80, height=60, textured=textured, supersample=supersample)
        rows.append(row | dict(frames_per_second=rate, triangles=triangles, threads=cores))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

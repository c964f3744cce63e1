"""The raster renderer's half that runs at every frame: numba kernels that cull, clip, fill and resolve faces.

A z-buffer over convex flat faces. Each face is one plane of inverse depth over the screen; each of its rows is one span
between two edges. The nearest face wins a pixel, and a last pass turns the winner's record into rgb, depth and label.
One thread draws one world at a time into its own `Scratch`, so results depend on no batch size or thread count.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from .raster_place import compose, jit, quat_to_matrix, turn, turn_back

NEAR_M = 0.02  # nothing closer to the camera is drawn
EDGE_ON_M = 1e-6  # the camera lies in the plane of a face: nothing to see
BLOCK = 8  # pixels at a time: one vector instruction wide


class Scratch(NamedTuple):
    """Working memory; one row a thread (t). H, W count samples: pixels times the supersampling."""

    inverse_depth: np.ndarray  # (t, H * W + BLOCK) float32, 1/m; 0 where nothing was hit
    winner: np.ndarray  # (t, H * W + BLOCK) int32: record of the nearest face; 0: none
    rgb: np.ndarray  # (t, H, W, 3) uint8, used when supersampling only
    left: np.ndarray  # (t, H) int32: first column of the current face on each row
    right: np.ndarray  # (t, H) int32: one past its last column
    camera_vertex: np.ndarray  # (t, V, 3) float32: the current part in the optical frame
    screen: np.ndarray  # (t, V, 2) float32: and on the screen, in samples
    polygon: np.ndarray  # (t, C, 2) float32: the current face after clipping, on the screen
    record_rgb: np.ndarray  # (t, F + 1, 4) uint8: shaded colour of each drawn face; row 0 is the background
    record_label: np.ndarray  # (t, F + 1) int32
    record_texture: np.ndarray  # (t, F + 1) int32
    record_uv: np.ndarray  # (t, F + 1, 2, 4) float32: offset; gradient times depth along x, y, 1
    record_blur: np.ndarray  # (t, F + 1) float32: times depth cubed gives squared texels a sample
    eye: np.ndarray  # (t, 3) float64: camera position in the world
    rotation: np.ndarray  # (t, 3, 3) float64: world to optical frame
    intrinsics: np.ndarray  # (t, 4) float64: fx, fy, cx, cy in samples


class CameraMount(NamedTuple):
    """Where the camera of every world sits, and its pinhole."""

    link: int  # index of the link that carries it; -1: the world
    intrinsics: np.ndarray  # (4,) float64: fx, fy, cx, cy in samples


class Links(NamedTuple):
    """Poses of the robot's links."""

    pos: np.ndarray  # (n, L, 3) float64
    quat: np.ndarray  # (n, L, 4) float64


class Target(NamedTuple):
    """Where pictures go."""

    rgb: np.ndarray  # (n, H, W, 3) uint8
    depth: np.ndarray  # (n, H, W) float32
    label: np.ndarray  # (n, H, W) int32, laid out like the two int16 of ``segmentation``


@numba.njit(cache=True, parallel=True, error_model="numpy")
def draw_worlds(camera, links, supersample, shapes, parts, geometry, paint, scratch, target):
    """Draw every world through its own camera; worlds run in parallel."""
    for world in numba.prange(len(target.depth)):
        thread = numba.get_thread_id()
        aim_camera(world, thread, camera, links, paint, scratch)
        draw_view(world, world, thread, links, supersample, shapes, parts, geometry, paint, scratch, target)


@jit
def draw_one_world(world, camera, links, supersample, shapes, parts, geometry, paint, scratch, target):
    """`draw_worlds` for one world, without the cost of waking threads."""
    aim_camera(world, 0, camera, links, paint, scratch)
    draw_view(world, world, 0, links, supersample, shapes, parts, geometry, paint, scratch, target)


@jit
def aim_camera(world, thread, camera, links, paint, scratch):
    """Write the world's own camera (link pose, then offset and roll, pitch, yaw) into the thread's scratch."""
    eye, to_camera, carrier = scratch.eye[thread], scratch.rotation[thread], np.eye(3)
    offset, (roll, pitch, yaw) = paint.camera_offset[world], paint.camera_rpy_rad[world]
    link = camera.link
    if link >= 0:
        quat_to_matrix(links.quat[world, link], carrier)
    eye[0], eye[1], eye[2] = turn(carrier, offset[0], offset[1], offset[2])
    if link >= 0:
        eye += links.pos[world, link]
    cr, sr, cp, sp, cy, sy = (
        math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch), math.cos(yaw), math.sin(yaw)
    )  # fmt: skip
    forward = turn(carrier, cy * cp, sy * cp, -sp)
    left = turn(carrier, cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr)
    up = turn(carrier, cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr)
    for i in range(3):  # the optical frame: x right, y down, z forward
        to_camera[0, i], to_camera[1, i], to_camera[2, i] = -left[i], -up[i], forward[i]
    scratch.intrinsics[thread] = camera.intrinsics
    scratch.intrinsics[thread, :2] *= paint.focal_scale[world]


@jit
def draw_view(world, row, thread, links, supersample, shapes, parts, geometry, paint, scratch, target):
    """Draw ``world`` through the camera in the thread's scratch into row ``row`` of the target."""
    scratch.inverse_depth[thread] = 0.0
    scratch.winner[thread] = 0
    height, width = target.depth.shape[1] * supersample, target.depth.shape[2] * supersample
    eye, rotation, light = scratch.eye[thread].copy(), scratch.rotation[thread].copy(), np.empty(3)
    light[:] = paint.light_dir[world]
    frame, records, textured = 0, 1, False
    for i in range(geometry.visible_count[world]):
        part = geometry.visible[world, i]
        if parts.frame[part] != frame:
            frame = parts.frame[part]
            _enter_frame(world, frame - 1, thread, links, paint, scratch, eye, rotation, light)
        before = records
        records = _draw_part(world, part, thread, eye, rotation, light, height, width, records,
                             shapes, parts, geometry, paint, scratch)  # fmt: skip
        textured = textured or (records > before and paint.part_texture[world, part] >= 0)
    rgb = target.rgb[row] if supersample == 1 else scratch.rgb[thread]
    winner, inverse_depth = scratch.winner[thread], scratch.inverse_depth[thread]
    _resolve_colour(winner, scratch.record_rgb[thread], rgb)
    if textured:
        _resolve_texture(thread, winner, inverse_depth, paint, scratch, rgb)
    if supersample > 1:
        _box_filter(rgb, supersample, target.rgb[row])
    _resolve_depth_and_label(winner, inverse_depth, scratch.record_label[thread], supersample, target.depth[row],
                             target.label[row])  # fmt: skip


@jit
def _enter_frame(world, link, thread, links, paint, scratch, eye, rotation, light):
    """Express camera and light in the frame of a link, so that its parts need not be placed anew."""
    matrix, sun = np.empty((3, 3)), paint.light_dir[world]
    quat_to_matrix(links.quat[world, link], matrix)
    offset = scratch.eye[thread] - links.pos[world, link]
    eye[0], eye[1], eye[2] = turn_back(matrix, offset[0], offset[1], offset[2])
    light[0], light[1], light[2] = turn_back(matrix, sun[0], sun[1], sun[2])
    compose(scratch.rotation[thread], matrix, rotation)


@jit
def _draw_part(
    world, part, thread, eye, rotation, light, height, width, records, shapes, parts, geometry, paint, scratch
):  # fmt: skip
    """Cull, clip and fill the faces of one part that the camera can see; returns the number of records so far."""
    fx, fy, cx, cy = scratch.intrinsics[thread]
    ball = geometry.sphere[world, part]
    x, y, z = turn(rotation, ball[0] - eye[0], ball[1] - eye[1], ball[2] - eye[2])
    if _outside(x, y, z, ball[3], fx, fy, cx, cy, width, height):
        return records
    straddles = z - ball[3] < NEAR_M
    _, vertices, unit_face, faces = parts.unit[part]
    camera_vertex, screen = scratch.camera_vertex[thread], scratch.screen[thread]
    for i in range(vertices):
        vertex = geometry.vertex[world, parts.first_vertex[part] + i]
        x, y, z = turn(rotation, vertex[0] - eye[0], vertex[1] - eye[1], vertex[2] - eye[2])
        camera_vertex[i, 0], camera_vertex[i, 1], camera_vertex[i, 2] = x, y, z
        if camera_vertex[i, 2] >= NEAR_M:  # rounded, as `_clip_near` will see it
            screen[i, 0], screen[i, 1] = cx + fx * x / z, cy + fy * y / z
    polygon, left, right = scratch.polygon[thread], scratch.left[thread], scratch.right[thread]
    for i in range(faces):
        plane = geometry.plane[world, parts.first_face[part] + i]
        distance = plane[0] * eye[0] + plane[1] * eye[1] + plane[2] * eye[2] - plane[3]
        if distance <= EDGE_ON_M:
            continue
        first, last = shapes.face_corner[unit_face + i], shapes.face_corner[unit_face + i + 1]
        corners = last - first
        if straddles:
            corners = _clip_near(shapes.corner_vertex, first, last, camera_vertex, screen, fx, fy, cx, cy, polygon)
        else:
            for j in range(corners):
                vertex = shapes.corner_vertex[first + j]
                polygon[j, 0], polygon[j, 1] = screen[vertex, 0], screen[vertex, 1]
        top, bottom = _trace_edges(polygon, corners, width, height, left, right)
        if top >= bottom:
            continue
        # On the face, -distance = normal . (x, y, z), so 1 / z is linear over the screen.
        nx, ny, nz = turn(rotation, plane[0], plane[1], plane[2])
        along_x, along_y = -nx / (fx * distance), -ny / (fy * distance)
        at_origin = -nz / distance - along_x * cx - along_y * cy
        _fill(left, right, top, bottom, width, along_x, along_y, at_origin, records, scratch.inverse_depth[thread],
              scratch.winner[thread])  # fmt: skip
        _record(world, part, parts.first_face[part] + i, thread, records, distance, eye, rotation, light, plane,
                parts, geometry, paint, scratch)  # fmt: skip
        records += 1
    return records


@jit
def _outside(x, y, z, radius, fx, fy, cx, cy, width, height):
    """Whether a ball in the optical frame misses the view: behind the near plane or beyond a side of the picture."""
    if z + radius < NEAR_M:
        return True
    right, bottom = cx - width, cy - height
    return (
        fx * x + cx * z < -radius * math.sqrt(fx * fx + cx * cx)
        or fx * x + right * z > radius * math.sqrt(fx * fx + right * right)
        or fy * y + cy * z < -radius * math.sqrt(fy * fy + cy * cy)
        or fy * y + bottom * z > radius * math.sqrt(fy * fy + bottom * bottom)
    )


@jit
def _clip_near(corner_vertex, first, last, camera_vertex, screen, fx, fy, cx, cy, polygon):
    """Write the part of a face beyond the near plane as a polygon on the screen; returns its number of corners."""
    count = 0
    previous = corner_vertex[last - 1]
    for i in range(first, last):
        current = corner_vertex[i]
        if (camera_vertex[previous, 2] >= NEAR_M) != (camera_vertex[current, 2] >= NEAR_M):
            # Always from the far end to the near end: two faces that share the edge must cut it at the same point.
            far, near = (current, previous) if camera_vertex[current, 2] >= NEAR_M else (previous, current)
            a, b = camera_vertex[far], camera_vertex[near]
            t = (a[2] - NEAR_M) / (a[2] - b[2])
            polygon[count, 0] = cx + fx * (a[0] + t * (b[0] - a[0])) / NEAR_M
            polygon[count, 1] = cy + fy * (a[1] + t * (b[1] - a[1])) / NEAR_M
            count += 1
        if camera_vertex[current, 2] >= NEAR_M:
            polygon[count, 0], polygon[count, 1] = screen[current, 0], screen[current, 1]
            count += 1
        previous = current
    return count


@jit
def _trace_edges(polygon, corners, width, height, left, right):
    """Write the column range of a convex polygon on each of its rows; returns the range of rows.

    A sample belongs to the polygon if its centre does; centres on a left or top edge count, on a right or bottom edge
    do not, so that faces which share an edge neither overlap nor leave a gap.
    """
    x_min = x_max = polygon[0, 0]
    y_min = y_max = polygon[0, 1]
    for i in range(1, corners):
        x_min, x_max = min(x_min, polygon[i, 0]), max(x_max, polygon[i, 0])
        y_min, y_max = min(y_min, polygon[i, 1]), max(y_max, polygon[i, 1])
    top, bottom = _first_centre(y_min, height), _first_centre(y_max, height)
    if corners < 3 or top >= bottom or _first_centre(x_min, width) >= _first_centre(x_max, width):
        return 0, 0
    xa, ya = polygon[corners - 1, 0], polygon[corners - 1, 1]
    for i in range(corners):
        xb, yb = polygon[i, 0], polygon[i, 1]
        # Faces turn counter-clockwise on the screen: edges that run down are on the left.
        if yb > ya:
            _trace_edge(xa, ya, xb, yb, width, height, left)
        elif yb < ya:
            _trace_edge(xb, yb, xa, ya, width, height, right)
        xa, ya = xb, yb
    return top, bottom


@jit
def _trace_edge(xa, ya, xb, yb, width, height, out):
    """First column at or right of an edge, for each row it crosses; a is its upper end."""
    slope = (xb - xa) / (yb - ya)
    for row in range(_first_centre(ya, height), _first_centre(yb, height)):
        out[row] = _first_centre(xa + (np.float32(row) + np.float32(0.5) - ya) * slope, width)


@jit
def _first_centre(coordinate, limit):
    """Index of the first sample whose centre is at or beyond ``coordinate``, within 0..limit."""
    return int(math.ceil(min(max(coordinate - np.float32(0.5), np.float32(0)), np.float32(limit))))


@jit
def _fill(left, right, top, bottom, width, along_x, along_y, at_origin, record, inverse_depth, winner):
    """Where the face is nearer than what was there, write its inverse depth and its record."""
    step = np.float32(along_x)
    for row in range(top, bottom):
        first, count = left[row], right[row] - left[row]
        start = np.float32(at_origin + along_x * (first + 0.5) + along_y * (row + 0.5))
        base = row * width + first
        for block in range(0, count, BLOCK):
            for lane in range(BLOCK):  # always a whole block, so that it becomes vector instructions
                i = block + lane
                value = start + step * np.float32(i)
                old = inverse_depth[base + i]
                wins = (value > old) & (i < count)
                inverse_depth[base + i] = value if wins else old
                winner[base + i] = record if wins else winner[base + i]


@jit
def _record(
    world, part, face, thread, record, distance, eye, rotation, light, plane, parts, geometry, paint, scratch
):  # fmt: skip
    """Keep what the last pass needs of a drawn face: shaded colour, label, texture."""
    facing = max(0.0, -(plane[0] * light[0] + plane[1] * light[1] + plane[2] * light[2]))
    for channel in range(3):
        shade = paint.ambient_rgb[world, channel] + paint.light_rgb[world, channel] * facing
        colour = paint.part_rgb[world, part, channel] * min(max(shade, 0.0), 1.0)
        scratch.record_rgb[thread, record, channel] = int(min(max(colour, 0.0), 1.0) * 255 + 0.5)
    scratch.record_label[thread, record] = parts.label[part]
    texture = paint.part_texture[world, part]
    scratch.record_texture[thread, record] = texture
    if texture < 0:
        return
    fx, fy, cx, cy = scratch.intrinsics[thread]
    for axis in range(2):
        g, out = geometry.uv[world, face, axis], scratch.record_uv[thread, record, axis]
        gx, gy, gz = turn(rotation, g[0], g[1], g[2])
        # At depth z on pixel (x, y): u = out[0] + z * (out[1] * x + out[2] * y + out[3]).
        out[0] = g[0] * eye[0] + g[1] * eye[1] + g[2] * eye[2] + g[3]
        out[1], out[2] = gx / fx, gy / fy
        out[3] = gz + (gx * (0.5 - cx)) / fx + (gy * (0.5 - cy)) / fy
    # Texels under a sample grow with depth, and again as the face turns edge-on (cosine = distance / depth).
    texels_per_m = paint.texture_edge / paint.texture_size_m[world, part]
    scratch.record_blur[thread, record] = texels_per_m * texels_per_m / (fx * fy * distance)


# --- the last pass: from the nearest face's record to pixels -------------------------------------------------------


@jit
def _resolve_colour(winner, record_rgb, rgb):
    """Write the shaded colour of the nearest face; texture comes after, where there is any."""
    height, width = rgb.shape[:2]
    for y in range(height):
        for x in range(width):
            record = winner[y * width + x]
            rgb[y, x, 0] = record_rgb[record, 0]
            rgb[y, x, 1] = record_rgb[record, 1]
            rgb[y, x, 2] = record_rgb[record, 2]


@jit
def _resolve_depth_and_label(winner, inverse_depth, record_label, supersample, depth, label):
    """Depth and label of each pixel's middle sample; 1 / 0 is the infinity that the contract asks for."""
    height, width = depth.shape
    for y in range(height):
        base = (y * supersample + supersample // 2) * width * supersample + supersample // 2
        for x in range(width):
            depth[y, x] = np.float32(1) / inverse_depth[base + x * supersample]
            label[y, x] = record_label[winner[base + x * supersample]]


@jit
def _resolve_texture(thread, winner, inverse_depth, paint, scratch, rgb):
    """Multiply the colour of textured faces by their texture, at the mipmap that fits the sample."""
    height, width = rgb.shape[:2]
    for y in range(height):
        for x in range(width):
            record = winner[y * width + x]
            texture = scratch.record_texture[thread, record]
            if texture < 0:
                continue
            z = np.float32(1) / inverse_depth[y * width + x]
            a, b = scratch.record_uv[thread, record, 0], scratch.record_uv[thread, record, 1]
            u = a[0] + z * (a[1] * np.float32(x) + a[2] * np.float32(y) + a[3])
            v = b[0] + z * (b[1] * np.float32(x) + b[2] * np.float32(y) + b[3])
            squared_texels, level = scratch.record_blur[thread, record] * z * z * z, 0
            while squared_texels > 2 and level + 1 < len(paint.level_start):
                squared_texels *= np.float32(0.25)
                level += 1
            _multiply_texel(paint.texels, paint.level_start[level], paint.texture_edge >> level, texture,
                            u / np.float32(1 << level), v / np.float32(1 << level), rgb[y, x])  # fmt: skip


@jit
def _multiply_texel(texels, start, edge, texture, u, v, rgb):
    """Blend the four texels around (u, v) in integers, weights in 1/256, and multiply ``rgb`` by the blend."""
    u_floor, v_floor = math.floor(u - np.float32(0.5)), math.floor(v - np.float32(0.5))
    right = int((u - np.float32(0.5) - u_floor) * 256)
    down = int((v - np.float32(0.5) - v_floor) * 256)
    x0, x1 = int(u_floor) & (edge - 1), (int(u_floor) + 1) & (edge - 1)  # the texture repeats
    y0, y1 = int(v_floor) & (edge - 1), (int(v_floor) + 1) & (edge - 1)
    upper, lower = start + (texture * edge + y0) * edge * 3, start + (texture * edge + y1) * edge * 3
    for channel in range(3):
        above = texels[upper + x0 * 3 + channel] * (256 - right) + texels[upper + x1 * 3 + channel] * right
        below = texels[lower + x0 * 3 + channel] * (256 - right) + texels[lower + x1 * 3 + channel] * right
        blend = (above * (256 - down) + below * down) >> 16
        rgb[channel] = (blend * rgb[channel] + 127) // 255


@jit
def _box_filter(samples, supersample, rgb):
    """Each pixel is the rounded mean of its samples."""
    height, width = rgb.shape[:2]
    area = supersample * supersample
    for y in range(height):
        for x in range(width):
            for channel in range(3):
                total = area // 2
                for i in range(supersample):
                    for j in range(supersample):
                        total += samples[y * supersample + i, x * supersample + j, channel]
                rgb[y, x, channel] = total // area

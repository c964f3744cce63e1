"""The raster renderer's half that runs at every frame: numba kernels that cull, clip, fill and resolve faces.

A z-buffer over convex flat faces. Each face is one plane of inverse depth over the screen; each of its rows is one span
between two edges. The nearest face wins a pixel, and a last pass turns the winner's record into rgb, depth and label.
A thread draws one world at a time in its own rows of `Scratch`, so results depend on no batch size or thread count.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from .raster_lamps import MAP_PX, Lamps, aim_down, count_lamps, keep_lit, resolve_lamps
from .raster_place import Geometry, compose, inner, quat_to_matrix, turn
from .shapes import Shapes

NEAR_M = 0.02  # nothing closer to the camera is drawn
EDGE_ON_M = 1e-6  # the camera lies in the plane of a face: nothing to see
HIDDEN, IN_FRONT, STRADDLES = 0, 1, 2  # where a part lies with respect to the near plane
BLOCK = 8  # pixels at a time: one vector instruction wide
# A camera: a pose in some frame, a pinhole in samples, and the light in the same frame.
VIEW = np.dtype(
    [
        ("eye", np.float64, 3),  # position
        ("rotation", np.float64, (3, 3)),  # from the frame to the optical frame
        ("light_dir", np.float64, 3),
        ("fx", np.float64),
        ("fy", np.float64),
        ("cx", np.float64),
        ("cy", np.float64),
    ],
    align=True,
)
# What the last pass needs of a face that was drawn.
RECORD = np.dtype(
    [
        ("rgb", np.uint8, 4),  # shaded colour, under lamps unshaded; the last is unused
        ("label", np.int32),
        ("texture", np.int32),
        ("blur", np.float32),  # times depth cubed: squared texels under a sample
        ("uv", np.float32, (2, 4)),  # u = uv[0] + depth * (uv[1] * column + uv[2] * row + uv[3]), in texels
    ],
    align=True,
)


class Textures(NamedTuple):
    """The texture bank and its copies at 1/2, 1/4, .. of the edge (mipmaps)."""

    texels: np.ndarray  # (sum of T * S * S over the copies,) uint64: red, green and blue 16 bits apart
    level_start: np.ndarray  # (levels,) int64: where each copy starts
    edge: int  # S of the largest copy: a power of two


class Scratch(NamedTuple):
    """Working memory; one row a thread (t). H, W count samples: pixels times the supersampling."""

    inverse_depth: np.ndarray  # (t, H * W + BLOCK) float32, 1/m; 0 where nothing was hit
    winner: np.ndarray  # (t, H * W + BLOCK) int32: record of the nearest face; 0: none
    rgb: np.ndarray  # (t, H, W, 3) uint8; used when supersampling
    spans: np.ndarray  # (t, 2, H) int32: first column of the current face on each row, and one past its last
    vertex: np.ndarray  # (t, V, 3) float32: the current part in the optical frame
    screen: np.ndarray  # (t, V, 2) float32: and on the screen, in samples
    polygon: np.ndarray  # (t, C, 2) float32: the current face on the screen, clipped
    record: np.ndarray  # (t, F + 1) RECORD of each drawn face; row 0 stands for nothing
    local_view: np.ndarray  # (t,) VIEW: the camera in the current frame


class Target(NamedTuple):
    """Where pictures go."""

    rgb: np.ndarray  # (n, H, W, 3) uint8
    depth: np.ndarray  # (n, H, W) float32
    label: np.ndarray  # (n, H, W) int32, laid out like the two int16 of ``segmentation``


@numba.njit(cache=True, error_model="numpy")
def aim_cameras(
    link: int,  # that carries the camera; -1: the world
    link_pos: np.ndarray,  # (n, L, 3)
    link_quat: np.ndarray,  # (n, L, 4)
    intrinsics: np.ndarray,  # (4,) fx, fy, cx, cy in samples
    stage: np.ndarray,  # (n,) STAGE
    views: np.ndarray,  # (n,) VIEW, written
) -> None:
    """Pose every world's own camera: the link's pose, then the offset, then roll, pitch and yaw."""
    carrier = np.eye(3)
    for world in range(len(views)):
        view, offset, angles = views[world], stage[world].camera_offset, stage[world].camera_rpy_rad
        if link >= 0:
            quat_to_matrix(link_quat[world, link], carrier)
        view.eye[0], view.eye[1], view.eye[2] = turn(carrier, offset[0], offset[1], offset[2])
        if link >= 0:
            for axis in range(3):
                view.eye[axis] += link_pos[world, link, axis]
        cr, sr, cp, sp = math.cos(angles[0]), math.sin(angles[0]), math.cos(angles[1]), math.sin(angles[1])
        cy, sy = math.cos(angles[2]), math.sin(angles[2])
        forward = turn(carrier, cy * cp, sy * cp, -sp)
        left = turn(carrier, cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr)
        up = turn(carrier, cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr)
        for axis in range(3):  # the optical frame: x right, y down, z forward
            view.rotation[0, axis], view.rotation[1, axis], view.rotation[2, axis] = (
                -left[axis],
                -up[axis],
                forward[axis],
            )
        view.fx, view.fy = intrinsics[0] * stage[world].focal_scale, intrinsics[1] * stage[world].focal_scale
        view.cx, view.cy = intrinsics[2], intrinsics[3]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def draw_worlds(
    first: int,
    last: int,  # draws rows[first] .. rows[last - 1]
    thread: int,  # whose scratch to use
    rows: np.ndarray,  # (r,) int64: which rows of views and target to draw
    worlds: np.ndarray,  # (k,) int64: row i of views and target is world worlds[i]
    views: np.ndarray,  # (k,) VIEW in the world
    link_pos: np.ndarray,  # (n, L, 3)
    link_quat: np.ndarray,  # (n, L, 4)
    supersample: int,
    shapes: Shapes,
    parts: np.ndarray,  # (P,) PART
    geometry: Geometry,
    paint: np.ndarray,  # (n, P) PAINT
    stage: np.ndarray,  # (n,) STAGE
    textures: Textures,
    lamps: Lamps,
    scratch: Scratch,
    target: Target,
) -> None:
    """Draw some of the worlds through their views; lets other threads draw other worlds meanwhile."""
    for k in range(first, last):
        row = rows[k]
        world = worlds[row]
        rgb = target.rgb[row] if supersample == 1 else scratch.rgb[thread]
        shining = count_lamps(stage[world])
        textured = _draw_parts(world, thread, views[row], link_pos[world], link_quat[world], rgb.shape, shapes, parts,
                               geometry, geometry.visible_count[world], paint[world], stage[world], textures.edge,
                               shining > 0, lamps.lit, scratch)  # fmt: skip
        winner, inverse_depth, record = scratch.winner[thread], scratch.inverse_depth[thread], scratch.record[thread]
        _resolve_colour(winner, record, rgb)
        if textured:
            _resolve_texture(winner, inverse_depth, record, textures.texels, textures.level_start, textures.edge, rgb)
        if shining > 0:
            resolve_lamps(winner, inverse_depth, lamps.lit[thread], shining, stage[world], views[row],
                          lamps.shadow[world], rgb)  # fmt: skip
        if supersample > 1:
            _box_filter(rgb, supersample, target.rgb[row])
        _resolve_depth_and_label(winner, inverse_depth, record, supersample, target.depth[row], target.label[row])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def cast_shadows(
    worlds: np.ndarray,  # (k,) int64
    shapes: Shapes,
    parts: np.ndarray,  # (P,) PART
    geometry: Geometry,
    paint: np.ndarray,  # (n, P) PAINT
    stage: np.ndarray,  # (n,) STAGE
    view: np.ndarray,  # (1,) VIEW, overwritten
    scratch: Scratch,  # of one thread, MAP_PX x MAP_PX samples
    lamps: Lamps,
) -> None:
    """Draw the shadow maps of ``worlds``: what the lamps see of the fixed bodies."""
    nowhere = np.zeros((1, 4))
    for world in worlds:
        fixed = 0
        while fixed < geometry.visible_count[world] and parts[geometry.visible[world, fixed]].frame == 0:
            fixed += 1
        for lamp in range(count_lamps(stage[world])):
            aim_down(stage[world], lamp, view[0])
            _draw_parts(world, 0, view[0], nowhere, nowhere, (MAP_PX, MAP_PX, 3), shapes, parts, geometry, fixed,
                        paint[world], stage[world], 1, False, lamps.lit, scratch)  # fmt: skip
            lamps.shadow[world, lamp] = scratch.inverse_depth[0]


@inner
def _draw_parts(
    world, thread, view, link_pos, link_quat, size, shapes, parts, geometry, visible_count, paint, stage, texture_edge,
    under_lamps, lit, scratch
):  # fmt: skip
    """Fill the thread's depth buffer and records; returns whether any face drawn has a texture."""
    inverse_depth, winner, spans = scratch.inverse_depth[thread], scratch.winner[thread], scratch.spans[thread]
    records, vertices, screen = scratch.record[thread], scratch.vertex[thread], scratch.screen[thread]
    polygon, local, rotation = scratch.polygon[thread], scratch.local_view[thread], np.eye(3)
    placed, faces, ball = geometry.vertex[world], geometry.face[world], geometry.ball[world]
    for i in range(len(winner)):
        inverse_depth[i], winner[i] = 0, 0
    _enter_frame(view, (0.0, 0.0, 0.0), rotation, stage.light_dir, local)
    frame, count, textured = 0, 1, False
    for i in range(visible_count):
        p = geometry.visible[world, i]
        part = parts[p]
        if part.frame != frame:
            frame = part.frame
            at = link_pos[frame - 1]
            quat_to_matrix(link_quat[frame - 1], rotation)
            _enter_frame(view, (at[0], at[1], at[2]), rotation, stage.light_dir, local)
        reach = _project(part, ball[p], placed, local, size, vertices, screen)
        if reach == HIDDEN:
            continue
        for f in range(part.faces):
            face = faces[part.first_face + f]
            n, eye = face.normal, local.eye
            distance = n[0] * eye[0] + n[1] * eye[1] + n[2] * eye[2] - face.offset
            if distance <= EDGE_ON_M:
                continue
            first, last = shapes.face_corner[part.unit_face + f], shapes.face_corner[part.unit_face + f + 1]
            corners = _outline(shapes.corner_vertex, first, last, reach, vertices, screen, local, polygon)
            top, bottom = _trace_edges(polygon, corners, size, spans)
            if top < bottom:
                _fill(spans, top, bottom, face, distance, local, size[1], count, inverse_depth, winner)
                n, light = face.normal, local.light_dir
                facing = max(0.0, -(n[0] * light[0] + n[1] * light[1] + n[2] * light[2]))
                if under_lamps:
                    keep_lit(face, local, paint[p], stage, facing, records[count], lit[thread, count])
                else:
                    _keep_shaded(paint[p], stage, facing, records[count])
                _keep_record(face, distance, local, part.label, paint[p], texture_edge, records[count])
                textured |= paint[p].texture >= 0
                count += 1
    return textured


@inner
def _enter_frame(view, position, rotation, light_dir, out):
    """Express a view and the light, both of the world, in a frame posed in the world."""
    eye = view.eye
    x, y, z = eye[0] - position[0], eye[1] - position[1], eye[2] - position[2]
    for axis in range(3):
        a, b, c = rotation[0, axis], rotation[1, axis], rotation[2, axis]
        out.eye[axis] = a * x + b * y + c * z
        out.light_dir[axis] = a * light_dir[0] + b * light_dir[1] + c * light_dir[2]
    compose(view.rotation, rotation, out.rotation)
    out.fx, out.fy, out.cx, out.cy = view.fx, view.fy, view.cx, view.cy


@inner
def _project(part, ball, placed, view, size, vertices, screen):
    """Bring a part's vertices into the optical frame and onto the screen, unless its bounding sphere is out of view."""
    eye, rotation = view.eye, view.rotation
    x, y, z = turn(rotation, ball[0] - eye[0], ball[1] - eye[1], ball[2] - eye[2])
    if _out_of_view(x, y, z, ball[3], view, size):
        return HIDDEN
    reach = IN_FRONT if z - ball[3] > NEAR_M else STRADDLES
    for i in range(part.vertices):
        v = placed[part.first_vertex + i]
        x, y, z = turn(rotation, v[0] - eye[0], v[1] - eye[1], v[2] - eye[2])
        vertices[i, 0], vertices[i, 1], vertices[i, 2] = x, y, z
        if vertices[i, 2] >= NEAR_M:  # rounded, as `_clip_near` will see it
            screen[i, 0], screen[i, 1] = view.cx + view.fx * x / z, view.cy + view.fy * y / z
    return reach


@inner
def _out_of_view(x, y, z, radius, view, size):
    """Whether a ball in the optical frame lies behind the near plane or beyond one side of the picture."""
    fx, fy, left, top = view.fx, view.fy, view.cx, view.cy
    right, bottom = left - size[1], top - size[0]
    return (
        z + radius < NEAR_M
        or fx * x + left * z < -radius * math.sqrt(fx * fx + left * left)
        or fx * x + right * z > radius * math.sqrt(fx * fx + right * right)
        or fy * y + top * z < -radius * math.sqrt(fy * fy + top * top)
        or fy * y + bottom * z > radius * math.sqrt(fy * fy + bottom * bottom)
    )


@inner
def _outline(corner_vertex, first, last, reach, vertices, screen, view, polygon):
    """Write the corners of a face on the screen, cut at the near plane if need be; returns their number."""
    if reach == STRADDLES:
        return _clip_near(corner_vertex, first, last, vertices, screen, view, polygon)
    for i in range(first, last):
        vertex = corner_vertex[i]
        polygon[i - first, 0], polygon[i - first, 1] = screen[vertex, 0], screen[vertex, 1]
    return last - first


@inner
def _clip_near(corner_vertex, first, last, vertices, screen, view, polygon):
    """`_outline` of what lies beyond the near plane."""
    count, previous = 0, corner_vertex[last - 1]
    for i in range(first, last):
        current = corner_vertex[i]
        if (vertices[previous, 2] >= NEAR_M) != (vertices[current, 2] >= NEAR_M):
            # Always from the far end to the near end: two faces that share the edge must cut it at the same point.
            far, near = (current, previous) if vertices[current, 2] >= NEAR_M else (previous, current)
            a, b = vertices[far], vertices[near]
            t = (a[2] - NEAR_M) / (a[2] - b[2])
            polygon[count, 0] = view.cx + view.fx * (a[0] + t * (b[0] - a[0])) / NEAR_M
            polygon[count, 1] = view.cy + view.fy * (a[1] + t * (b[1] - a[1])) / NEAR_M
            count += 1
        if vertices[current, 2] >= NEAR_M:
            polygon[count, 0], polygon[count, 1] = screen[current, 0], screen[current, 1]
            count += 1
        previous = current
    return count


@inner
def _trace_edges(polygon, corners, size, spans):
    """Write the span of columns of a convex polygon on each of its rows; returns the range of rows.

    A sample belongs to the polygon if its centre does; centres on a left or top edge count, on a right or bottom edge
    do not, so that faces which share an edge neither overlap nor leave a gap.
    """
    if corners < 3:
        return 0, 0
    height, width = size[0], size[1]
    x_min = x_max = polygon[0, 0]
    y_min = y_max = polygon[0, 1]
    for i in range(1, corners):
        x_min, x_max = min(x_min, polygon[i, 0]), max(x_max, polygon[i, 0])
        y_min, y_max = min(y_min, polygon[i, 1]), max(y_max, polygon[i, 1])
    top, bottom = _first_centre(y_min, height), _first_centre(y_max, height)
    if top >= bottom or _first_centre(x_min, width) >= _first_centre(x_max, width):
        return 0, 0
    xa, ya = polygon[corners - 1, 0], polygon[corners - 1, 1]
    for i in range(corners):
        xb, yb = polygon[i, 0], polygon[i, 1]
        # Faces turn counter-clockwise on the screen: edges that run down are on the left.
        if yb > ya:
            _trace_edge(xa, ya, xb, yb, size, spans[0])
        elif yb < ya:
            _trace_edge(xb, yb, xa, ya, size, spans[1])
        xa, ya = xb, yb
    return top, bottom


@inner
def _trace_edge(xa, ya, xb, yb, size, columns):
    """First column at or right of an edge, for each row it crosses; a is its upper end."""
    slope = (xb - xa) / (yb - ya)
    for row in range(_first_centre(ya, size[0]), _first_centre(yb, size[0])):
        columns[row] = _first_centre(xa + (np.float32(row) + np.float32(0.5) - ya) * slope, size[1])


@inner
def _first_centre(coordinate, limit):
    """Index of the first sample whose centre is at or beyond ``coordinate``, within 0..limit."""
    return int(math.ceil(min(max(coordinate - np.float32(0.5), np.float32(0)), np.float32(limit))))


@inner
def _fill(spans, top, bottom, face, distance, view, width, record, inverse_depth, winner):
    """Where the face is nearer than what was there, write its inverse depth and its record."""
    # On the face normal . (x, y, z) = -distance in the optical frame, so 1 / z is linear over the screen.
    nx, ny, nz = turn(view.rotation, face.normal[0], face.normal[1], face.normal[2])
    along_x, along_y = -nx / (view.fx * distance), -ny / (view.fy * distance)
    at_origin = -nz / distance - along_x * (view.cx - 0.5) - along_y * (view.cy - 0.5)
    step = np.float32(along_x)
    for row in range(top, bottom):
        first, count = spans[0, row], spans[1, row] - spans[0, row]
        start, base = np.float32(at_origin + along_x * first + along_y * row), row * width + first
        for block in range(0, count, BLOCK):
            for lane in range(BLOCK):  # always a whole block, so that it becomes vector instructions
                i = block + lane
                value, old = start + step * np.float32(i), inverse_depth[base + i]
                wins = (value > old) & (i < count)
                inverse_depth[base + i] = value if wins else old
                winner[base + i] = record if wins else winner[base + i]


@inner
def _keep_shaded(paint, stage, facing, record):
    """Keep the colour of a face in ambient and directional light."""
    for channel in range(3):
        shade = min(max(stage.ambient_rgb[channel] + stage.light_rgb[channel] * facing, 0.0), 1.0)
        record.rgb[channel] = int(min(max(paint.rgb[channel] * shade, 0.0), 1.0) * 255 + 0.5)


@inner
def _keep_record(face, distance, view, label, paint, texture_edge, record):
    """Keep what else the last pass needs of a drawn face: label and texture."""
    record.label, record.texture = label, paint.texture
    if paint.texture < 0:
        return
    for axis in range(2):
        g, out, eye = face.uv[axis], record.uv[axis], view.eye
        x, y, z = turn(view.rotation, g[0], g[1], g[2])
        out[0] = g[0] * eye[0] + g[1] * eye[1] + g[2] * eye[2] + g[3]
        out[1], out[2] = x / view.fx, y / view.fy
        out[3] = z + x * (0.5 - view.cx) / view.fx + y * (0.5 - view.cy) / view.fy
    # Texels under a sample grow with depth, and again as the face turns edge-on: its cosine is distance / depth.
    texels_per_m = texture_edge / paint.texture_size_m
    record.blur = texels_per_m * texels_per_m / (view.fx * view.fy * distance)


@inner
def _resolve_colour(winner, record, rgb):
    """Write the shaded colour of the nearest face; texture comes after, where there is any."""
    height, width = rgb.shape[:2]
    for y in range(height):
        for x in range(width):
            colour = record[winner[y * width + x]].rgb
            rgb[y, x, 0], rgb[y, x, 1], rgb[y, x, 2] = colour[0], colour[1], colour[2]


@inner
def _resolve_depth_and_label(winner, inverse_depth, record, supersample, depth, label):
    """Depth and label of each pixel's middle sample; 1 / 0 is the infinity that the contract asks for."""
    height, width = depth.shape
    for y in range(height):
        base = (y * supersample + supersample // 2) * width * supersample + supersample // 2
        for x in range(width):
            depth[y, x] = np.float32(1) / inverse_depth[base + x * supersample]
            label[y, x] = record[winner[base + x * supersample]].label


@inner
def _resolve_texture(winner, inverse_depth, record, texels, level_start, edge, rgb):
    """Multiply the colour of textured faces by their texture, at the copy whose texels fit the sample."""
    height, width = rgb.shape[:2]
    for y in range(height):
        for x in range(width):
            face = record[winner[y * width + x]]
            if face.texture < 0:
                continue
            z, a, b = np.float32(1) / inverse_depth[y * width + x], face.uv[0], face.uv[1]
            u = a[0] + z * (a[1] * np.float32(x) + a[2] * np.float32(y) + a[3])
            v = b[0] + z * (b[1] * np.float32(x) + b[2] * np.float32(y) + b[3])
            squared_texels, shrink, level = face.blur * z * z * z, np.float32(1), 0
            while squared_texels > 2 and level + 1 < len(level_start):
                squared_texels, shrink, level = squared_texels * np.float32(0.25), shrink * np.float32(0.5), level + 1
            start, size = level_start[level], edge >> level
            _multiply_texel(texels, start + face.texture * size * size, size, u * shrink, v * shrink, rgb[y, x])


@inner
def _multiply_texel(texels, start, edge, u, v, rgb):
    """Blend the four texels around (u, v) in integers, weights in 1/256, and multiply ``rgb`` by the blend."""
    u, v = u - np.float32(0.5), v - np.float32(0.5)
    left, above = int(math.floor(u)), int(math.floor(v))
    right_weight, below_weight = int((u - np.float32(left)) * 256), int((v - np.float32(above)) * 256)
    x0, x1 = left & (edge - 1), (left + 1) & (edge - 1)  # the texture repeats
    y0, y1 = start + (above & (edge - 1)) * edge, start + ((above + 1) & (edge - 1)) * edge
    # Weights sum to 256, so that each channel stays within its own 16 bits and all three blend at once.
    both, lower = right_weight * below_weight >> 8, below_weight
    blend = (
        texels[y0 + x0] * np.uint64(256 - right_weight - lower + both)
        + texels[y0 + x1] * np.uint64(right_weight - both)
        + texels[y1 + x0] * np.uint64(lower - both)
        + texels[y1 + x1] * np.uint64(both)
    )
    for channel in range(3):
        value = np.int64(blend >> np.uint64(16 * channel + 8)) & 255
        rgb[channel] = (value * rgb[channel] + 127) // 255


@inner
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

"""The camera's flaws: what stands between a renderer's clean picture and the one that a robot gets.

A stage after any renderer. Light passes through it in this order; grey levels run from 0 to 255 and count as
proportional to light, (x, y) are coordinates on the plane at distance 1 and r² = x² + y²:

- *Lens*. A ray at r_u lands at r_d = r_u (1 + k1 r_u²), the first term of OpenCV's plumb_bob. Where a distorted picture
  sees past the renderer's edge, the edge goes on.
- *Motion*. While the shutter is open and rows are read, the camera turns by a = yaw_rate * t about its vertical axis.
  The picture at t is that of t = 0 under the homography of the turn: it shows at (x, y) what was at
  x' = (x cos a - sin a) / (x sin a + cos a), y' = y / (x sin a + cos a). Row v is exposed around
  t = (v / H - 1/2) * readout_s. Blur is a box along the row, as wide as things move there while the shutter is open,
  fx (1 + x²) |yaw_rate| exposure_time_s. Driving forward is left out: at 0.5 m/s and 30 ms what is 1 m away moves by
  half a pixel at the edge of 80x60, where turning moves everything by three.
  A hand moves in all directions, and its fingers with it: there each pixel has its own flow (`simgym.envs.scene_flow`).
  At t it shows what was at t = 0 at its place less flow * t, and blur is the mean over so many points of that line as
  it has pixels.
- *Blur of the lens*. Three taps (a, 1 - 2a, a) along each axis, whose variance 2a is the square of ``lens_blur_px``.
- *Vignetting*. Times 1 - vignetting * r² / (r² of the farthest corner pixel).
- *Exposure and white balance*. Times 2^e, red times 2^w and blue times 2^-w. Each is a draw plus a drift, an
  Ornstein-Uhlenbeck process that forgets within `DRIFT_S`.
- *Noise*. Normal, of variance read_noise² + shot_noise² * level / 255.
- *JPEG*, with its usual halved resolution of colour.
- *Delivery*. A frame comes ``latency_steps`` late; when one is lost, or the camera stalls, the last one shows again.
  Until a first one comes, the first frame of the episode shows.

Depth and segmentation stay the geometric truth of the present moment, free of every flaw: success is judged by them.
Who wants labels that fit the pictures sets latency_steps, dropped and stalled to zero.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numba
import numpy as np

from simgym.cores import usable_cores
from simgym.deploy.camera import Camera

from .config import FlawRanges
from .crew import Crew
from .terms import Drawing, is_whole, terms_of

MAX_TAPS = 16  # points of a pixel's way while the shutter is open
DRIFT_S = 5.0
STALL_STEPS = 3
OF_THE_UNIT = ("lens_k1", "lens_blur_px", "vignetting", "read_noise", "shot_noise", "readout_s")
DELIVERY = ("dropped", "stalled", "latency_steps")
DRAW_STREAM, NOISE_STREAM = 4, 5  # of an episode's seed; 0..3 are layout, look, dynamics and measurement
STREAMS = ("noise", "exposure", "white_balance", "dropped", "stalled")  # within NOISE_STREAM
TERMS = terms_of(FlawRanges)


class _Darkroom:
    """Working memory of a thread, which makes one picture after the other."""

    def __init__(self, camera: Camera) -> None:
        h, w = camera.height, camera.width
        self.noise = np.zeros((h, w, 3), np.float32)
        self.light = np.zeros((2, h, w, 3), np.float32)
        self.sums = np.zeros((w + 1, 3))


class CameraFlaws:
    """The flawed cameras of ``num_worlds`` worlds. Every flaw has its own streams, so each can be switched off alone.

    Args:
        ranges: what is drawn.
        camera: the renderer's.
        num_worlds: cameras.
        dt_s: time between two frames.
    """

    def __init__(self, ranges: FlawRanges, camera: Camera, num_worlds: int, dt_s: float) -> None:
        self._ranges, self._camera = ranges, camera
        self.active = any(getattr(ranges, name) != (0, 0) for name in TERMS)
        self._exposes = any(getattr(ranges, name) != (0, 0) for name in TERMS if name not in DELIVERY)
        self.follows_motion = any(getattr(ranges, name) != (0, 0) for name in ("exposure_time_s", "readout_s"))
        self._keep = math.exp(-dt_s / DRIFT_S)  # of a drift, from frame to frame
        n, h, w = num_worlds if self.active else 0, camera.height, camera.width
        self._drawn: list[dict[str, Any]] = [{} for _ in range(n)]
        self._streams: list[dict[str, np.random.Generator]] = [{} for _ in range(n)]
        self._focal_px = np.zeros((n, 2))
        self._lens = np.zeros((n, h, w, 2), np.float32)  # where a distorted pixel looks, as an offset in pixels
        self._fade = _corner_distance(camera)  # (H, W)
        self._drift = np.zeros((n, 2))  # of exposure and white balance, in their standard deviations
        self._stall = np.zeros(n, int)  # steps that the camera still stalls
        threads = max(min(usable_cores(), n), 1)
        self._darkrooms = [_Darkroom(camera) for _ in range(threads)]
        self._crew = Crew(threads, "camera")
        self._taken = np.zeros((ranges.latency_steps[1] + 1, n, h, w, 3), np.uint8)  # a ring of the last frames
        self._now = 0  # its row of the present frame
        self._shown = np.zeros((n, h, w, 3), np.uint8)

    def apply(
        self, world: int, episode_seed: int, unit_seed: int, focal_scale: float = 1.0, terms: Drawing | None = None
    ) -> dict[str, Any]:
        """Draw the flaws of a new episode; returns them by name for ``info["draw"]``.

        Args:
            world: whose camera.
            episode_seed: of the episode.
            unit_seed: of the camera unit: the place, or the episode's own seed where there is none.
            focal_scale: of the look.
            terms: of this episode, in place of the plain ranges.
        """
        if not self.active:
            return {}
        drawn = self.vary(world, episode_seed, unit_seed, terms or Drawing(self._ranges))
        self._streams[world] = {
            name: np.random.default_rng([episode_seed, NOISE_STREAM, i]) for i, name in enumerate(STREAMS)
        }
        self._focal_px[world] = (self._camera.fx * focal_scale, self._camera.fy * focal_scale)
        self._lens[world] = _lens_offsets(self._camera, self._focal_px[world], drawn["lens_k1"])
        self._drift[world] = [self._streams[world][name].standard_normal() for name in ("exposure", "white_balance")]
        self._stall[world] = 0
        return dict(drawn)

    def vary(self, world: int, episode_seed: int, unit_seed: int, terms: Drawing) -> dict[str, Any]:
        """Draw the flaws of a world, at a reset or in the middle of its episode; arguments as of `apply`."""
        drawn: dict[str, Any] = {}
        for i, (name, term) in enumerate(TERMS.items()):
            seed = unit_seed if name in OF_THE_UNIT else episode_seed
            value = terms.draw(np.random.default_rng([seed, DRAW_STREAM, i]), name)
            drawn[name] = int(value) if is_whole(term) else float(value)
        self._drawn[world] = drawn
        return drawn

    def take(
        self,
        rgb: np.ndarray,
        yaw_rate: np.ndarray,
        begun: np.ndarray | None = None,
        flow: np.ndarray | None = None,
    ) -> np.ndarray:
        """What robots see of the renderer's pictures.

        Args:
            rgb: (n, H, W, 3) uint8, not changed.
            yaw_rate: (n,) rad/s of the cameras, positive to the left.
            begun: the worlds whose episode begins with this frame, no others are looked at; None: a step in all worlds.
            flow: (n, H, W, 2) float32 pixels a second to the right and down, in the place of ``yaw_rate``.

        Returns:
            (n, H, W, 3) uint8: ``rgb`` itself where no flaw is on, else a buffer that the next call overwrites.
        """
        if not self.active:
            return rgb
        if begun is not None:
            self._shoot(begun, rgb, yaw_rate, flow, self._shown)
            self._taken[:, begun] = self._shown[begun]
            return self._shown
        self._now = (self._now + 1) % len(self._taken)
        for world in range(len(rgb)):
            self._wander(world)
        self._shoot(np.arange(len(rgb)), rgb, yaw_rate, flow, self._taken[self._now])
        for world in range(len(rgb)):
            if not self._misses(world):
                late = self._drawn[world]["latency_steps"]
                self._shown[world] = self._taken[(self._now - late) % len(self._taken), world]
        return self._shown

    def _wander(self, world: int) -> None:
        """Let exposure and white balance drift on."""
        fresh = math.sqrt(1 - self._keep**2)
        for i, name in enumerate(("exposure", "white_balance")):
            step = self._streams[world][name].standard_normal()
            self._drift[world, i] = self._keep * self._drift[world, i] + fresh * step

    def _misses(self, world: int) -> bool:
        """Whether no new frame arrives now."""
        streams, drawn = self._streams[world], self._drawn[world]
        lost = streams["dropped"].random() < drawn["dropped"]
        starts = streams["stalled"].random() < drawn["stalled"]
        self._stall[world] = STALL_STEPS if starts and not self._stall[world] else max(self._stall[world] - 1, 0)
        return lost or self._stall[world] > 0

    def _shoot(
        self,
        worlds: np.ndarray,
        rgb: np.ndarray,
        yaw_rate: np.ndarray,
        flow: np.ndarray | None,
        pictures: np.ndarray,
    ) -> None:
        """Write what the cameras of some worlds take of ``rgb`` now into ``pictures``, both (n, H, W, 3) uint8."""
        if not self._exposes:
            pictures[worlds] = rgb[worlds]
            return

        def work_off(first: int, last: int, thread: int) -> None:
            for world in worlds[first:last].tolist():
                motion = float(yaw_rate[world]) if flow is None else flow[world]
                self._expose(world, self._darkrooms[thread], rgb[world], motion, pictures[world])

        self._crew.share_out(len(worlds), work_off)

    def _expose(
        self, world: int, darkroom: _Darkroom, rgb: np.ndarray, motion: float | np.ndarray, picture: np.ndarray
    ) -> None:
        """Write what one camera takes of ``rgb`` into ``picture``, both (H, W, 3) uint8; motion: yaw rate or flow."""
        drawn, camera, light = self._drawn[world], self._camera, darkroom.light
        if isinstance(motion, float):
            focal, centre = self._focal_px[world], (camera.cx, camera.cy)
            _look(rgb, self._lens[world], focal, centre, motion * drawn["readout_s"], light[0])
            if motion * drawn["exposure_time_s"] != 0:
                _smear(light[0], focal[0], centre[0], abs(motion) * drawn["exposure_time_s"], darkroom.sums)
        else:
            _look_along(rgb, self._lens[world], motion, drawn["readout_s"], drawn["exposure_time_s"], light[0])
        if drawn["lens_blur_px"]:
            _blur(light[0], drawn["lens_blur_px"] ** 2 / 2, light[1])
        if drawn["read_noise"] or drawn["shot_noise"]:
            self._streams[world]["noise"].standard_normal(out=darkroom.noise, dtype=np.float32)
        exposure, balance = (
            drawn[f"{name}_ev"] + self._drift[world, i] * drawn[f"{name}_drift_ev"]
            for i, name in enumerate(("exposure", "white_balance"))
        )
        gains = 2.0 ** np.array([exposure + balance, exposure, exposure - balance])
        noises = drawn["read_noise"], drawn["shot_noise"]
        _expose(light[0], self._fade, drawn["vignetting"], gains, darkroom.noise, *noises, picture)
        if drawn["jpeg_loss"]:
            picture[:] = _through_jpeg(picture, drawn["jpeg_loss"])


def _corner_distance(camera: Camera) -> np.ndarray:
    """(H, W) float32: squared distance of a pixel from the principal point, 1 at the farthest corner pixel."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5 - camera.cx, np.arange(camera.height) + 0.5 - camera.cy)
    squared = x**2 + y**2
    return (squared / squared.max()).astype(np.float32)


def _lens_offsets(camera: Camera, focal_px: np.ndarray, k1: float) -> np.ndarray:
    """(H, W, 2) float32, pixels: where each pixel of the distorted picture looks in the straight one, from itself."""
    x, y = np.meshgrid(np.arange(camera.width) + 0.5 - camera.cx, np.arange(camera.height) + 0.5 - camera.cy)
    bend = k1 * ((x / focal_px[0]) ** 2 + (y / focal_px[1]) ** 2)
    scale = np.ones_like(x)  # r_u / r_d, the root of scale + bend * scale^3 = 1
    for _ in range(8):
        slope = np.maximum(1 + 3 * bend * scale**2, 0.2)  # beyond the fold of a strong barrel there is nothing to see
        scale -= (scale + bend * scale**3 - 1) / slope
    return np.stack([x * (scale - 1), y * (scale - 1)], axis=-1).astype(np.float32)


def _through_jpeg(rgb: np.ndarray, loss: int) -> np.ndarray:
    """Encode and decode one picture."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 100 - loss])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look(
    rgb: np.ndarray,  # (H, W, 3) uint8
    lens: np.ndarray,  # (H, W, 2) float32
    focal: np.ndarray,  # (2,) fx, fy
    centre: tuple[float, float],  # cx, cy
    turn: float,  # radians from the first row to the last, to the left
    out: np.ndarray,  # (H, W, 3) float32, written
) -> None:
    """Sample the picture through the lens, each row at its own time; what lies outside is as the edge."""
    height, width = rgb.shape[:2]
    out[:] = 0
    for v in range(height):
        angle = turn * ((v + 0.5) / height - 0.5)
        cosine, sine = math.cos(angle), math.sin(angle)
        for u in range(width):
            column, row = np.float64(u) + lens[v, u, 0], np.float64(v) + lens[v, u, 1]
            if angle != 0:
                x, y = (column + 0.5 - centre[0]) / focal[0], (row + 0.5 - centre[1]) / focal[1]
                z = x * sine + cosine
                column = centre[0] - 0.5 + focal[0] * (x * cosine - sine) / z
                row = centre[1] - 0.5 + focal[1] * y / z
            _add_sample(rgb, column, row, np.float32(1), out, v, u)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look_along(
    rgb: np.ndarray,  # (H, W, 3) uint8
    lens: np.ndarray,  # (H, W, 2) float32
    flow: np.ndarray,  # (H, W, 2) float32 pixels a second
    readout_s: float,
    exposure_s: float,
    out: np.ndarray,  # (H, W, 3) float32, written
) -> None:
    """Sample the picture through the lens, each row at its own time, along each pixel's way."""
    height = len(rgb)
    out[:] = 0
    for v in range(height):
        late_s = readout_s * ((v + 0.5) / height - 0.5)
        for u in range(rgb.shape[1]):
            across, down = flow[v, u]
            taps = min(int(math.hypot(across, down) * exposure_s) + 1, MAX_TAPS)
            for k in range(taps):
                at_s = late_s + exposure_s * ((k + 0.5) / taps - 0.5)
                column, row = u + lens[v, u, 0] - across * at_s, v + lens[v, u, 1] - down * at_s
                _add_sample(rgb, column, row, np.float32(1 / taps), out, v, u)


@numba.njit(error_model="numpy")
def _add_sample(rgb, column, row, weight, out, v, u):
    """Add what lies at a place of a picture (H, W, 3), between its pixels, to ``out[v, u]``; beyond it, its edge."""
    height, width = rgb.shape[:2]
    column, row = min(max(column, 0.0), width - 1.0), min(max(row, 0.0), height - 1.0)
    left, top = min(int(column), width - 2), min(int(row), height - 2)
    right, low = np.float32(column - left), np.float32(row - top)
    for c in range(3):
        above = rgb[top, left, c] * (1 - right) + rgb[top, left + 1, c] * right
        below = rgb[top + 1, left, c] * (1 - right) + rgb[top + 1, left + 1, c] * right
        out[v, u, c] += weight * (above * (1 - low) + below * low)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _smear(light: np.ndarray, focal: float, centre: float, turn: float, sums: np.ndarray) -> None:
    """Blur the rows of (H, W, 3) in place by the turn in radians, with running sums (W + 1, 3) as working memory."""
    height, width = light.shape[:2]
    for v in range(height):
        for u in range(width):
            for c in range(3):
                sums[u + 1, c] = sums[u, c] + light[v, u, c]
        edges = light[v, 0].copy(), light[v, width - 1].copy()
        for u in range(width):
            x = (u + 0.5 - centre) / focal
            reach = 0.5 * focal * (1 + x * x) * turn
            if reach <= 0.5:
                continue  # moves less than a pixel
            low, high = u + 0.5 - reach, u + 0.5 + reach
            for c in range(3):
                total = _sum_to(sums, high, c, edges) - _sum_to(sums, low, c, edges)
                light[v, u, c] = total / (2 * reach)


@numba.njit(error_model="numpy")
def _sum_to(sums, at, c, edges):
    """The light of a row left of ``at``, where each pixel is even and the edges go on."""
    width = len(sums) - 1
    if at <= 0:
        return at * edges[0][c]
    if at >= width:
        return sums[width, c] + (at - width) * edges[1][c]
    whole = int(at)
    return sums[whole, c] + (at - whole) * (sums[whole + 1, c] - sums[whole, c])


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _blur(light: np.ndarray, tap: float, scratch: np.ndarray) -> None:
    """Blur (H, W, 3) in place by (tap, 1 - 2 tap, tap) along both axes; the edge goes on."""
    height, width = light.shape[:2]
    side, middle = np.float32(tap), np.float32(1 - 2 * tap)
    for v in range(height):
        for u in range(width):
            for c in range(3):
                around = light[v, max(u - 1, 0), c] + light[v, min(u + 1, width - 1), c]
                scratch[v, u, c] = middle * light[v, u, c] + side * around
    for v in range(height):
        for u in range(width):
            for c in range(3):
                around = scratch[max(v - 1, 0), u, c] + scratch[min(v + 1, height - 1), u, c]
                light[v, u, c] = middle * scratch[v, u, c] + side * around


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _expose(
    light: np.ndarray,  # (H, W, 3) float32
    fade: np.ndarray,  # (H, W) float32
    vignetting: float,
    gains: np.ndarray,  # (3,)
    noise: np.ndarray,  # (H, W, 3) float32 standard normal
    read: float,
    shot: float,
    out: np.ndarray,  # (H, W, 3) uint8, written
) -> None:
    """Turn light into grey levels."""
    shot_variance, read_variance = np.float32(shot * shot / 255), np.float32(read * read)
    for v in range(light.shape[0]):
        for u in range(light.shape[1]):
            passes = 1 - vignetting * fade[v, u]
            for c in range(3):
                level = np.float32(light[v, u, c] * (passes * gains[c]))
                if read_variance + shot_variance > 0:
                    level += noise[v, u, c] * math.sqrt(read_variance + shot_variance * level)
                out[v, u, c] = np.uint8(min(max(level, np.float32(0)), np.float32(255)) + np.float32(0.5))

"""Camera geometry against closed forms and OpenCV's own projection."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from simgym.deploy import Calibration, Camera, CameraError, Resampler, SizedResamplers
from simgym.deploy.resampling import SIZES_KEPT

PLUMB_BOB = (-0.28, 0.07, 0.001, -0.002, 0.01)
RATIONAL = (0.3, -0.2, 0.001, -0.001, 0.05, 0.6, -0.1, 0.02)
EQUIDISTANT = (-0.02, 0.005, -0.001, 0.0002)
LENSES = [("plumb_bob", PLUMB_BOB), ("rational_polynomial", RATIONAL), ("equidistant", EQUIDISTANT)]


def random_image(camera: Camera, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (camera.height, camera.width, 3), np.uint8)


def ramp(camera: Camera) -> np.ndarray:
    """(H, W, 3) uint8: grey value = OpenCV column / 4 in channel 0 and row / 4 in channel 1."""
    x, y = np.meshgrid(np.arange(camera.width) / 4, np.arange(camera.height) / 4)
    return np.stack([x, y, np.zeros_like(x)], axis=-1).round().astype(np.uint8)


class TestCamera:
    def test_default_field_of_view(self):
        assert math.degrees(Camera().horizontal_fov_rad) == pytest.approx(69, abs=1e-3)
        assert Camera.from_fov(80, 60, math.radians(69)).fx == pytest.approx(Camera().fx, abs=1e-3)

    def test_centre_of_the_image_in_both_conventions(self):
        """An 80 pixel wide image is centred on 40 for us; for OpenCV, between pixels 39 and 40, on 39.5."""
        matrix = Camera().opencv_matrix
        assert (matrix[0, 2], matrix[1, 2]) == (39.5, 29.5)

    @pytest.mark.parametrize(
        "changes", [{"width": 0}, {"height": -1}, {"fx": 0.0}, {"fy": -3.0}, {"cx": math.nan}, {"cy": math.inf}]
    )
    def test_impossible_cameras(self, changes):
        with pytest.raises(CameraError):
            replace(Camera(), **changes)

    @pytest.mark.parametrize("fov", [0.0, -1.0, 69.0, math.nan])
    def test_impossible_fields_of_view(self, fov):
        with pytest.raises(CameraError, match="degrees"):
            Camera.from_fov(80, 60, fov)


class TestCalibration:
    def test_half_a_pixel_between_ros_and_us(self):
        calibration = Calibration.from_camera_info(640, 480, [500, 0, 319.5, 0, 501, 239.5, 0, 0, 1], "plumb_bob", [])
        assert calibration.camera == Camera(640, 480, 500.0, 501.0, 320.0, 240.0)

    @pytest.mark.parametrize(("model", "coefficients"), LENSES)
    def test_project_agrees_with_opencv(self, model, coefficients):
        calibration = Calibration(Camera(640, 480, 400, 410, 330, 235), model, coefficients)
        rays = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 2))
        points = np.concatenate([2 * rays, np.full((50, 1), 2.0)], axis=1)  # the depth must not matter
        k = np.array([[400, 0, 329.5], [0, 410, 234.5], [0, 0, 1]])
        project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
        expected, _ = project(points[:, None], np.zeros(3), np.zeros(3), k, np.array(coefficients))
        np.testing.assert_allclose(calibration.project(rays), expected[:, 0], atol=1e-9)

    def test_project_closed_form(self):
        k1, k2, p1, p2, k3 = PLUMB_BOB
        x, y = 0.3, -0.2
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        calibration = Calibration(Camera(640, 480, 400, 410, 330.5, 235.5), "plumb_bob", PLUMB_BOB)
        pixel = calibration.project(np.array([[x, y]]))[0]
        np.testing.assert_allclose(pixel, [400 * u + 330, 410 * v + 235], atol=1e-9)

    def test_equidistant_closed_form(self):
        """Without coefficients, the distance from the centre is the focal length times the angle."""
        calibration = Calibration(Camera(640, 480, 300, 300, 320.5, 240.5), "equidistant")
        pixel = calibration.project(np.array([[1.0, 0.0]]))[0]
        np.testing.assert_allclose(pixel, [320 + 300 * math.pi / 4, 240], atol=1e-9)

    def test_assumed_is_an_ideal_kinect(self):
        calibration = Calibration.assumed(640, 480)
        assert math.degrees(calibration.camera.horizontal_fov_rad) == pytest.approx(57)
        assert (calibration.camera.cx, calibration.camera.cy, calibration.coefficients) == (320, 240, ())

    @pytest.mark.parametrize(
        ("k", "model", "d", "message"),
        [
            ([0] * 9, "plumb_bob", [], "calibrate the camera"),
            ([500, 1, 320, 0, 500, 240, 0, 0, 1], "plumb_bob", [], "must be"),
            ([500, 0, 320, 0, 500, 240, 0, 0, 2], "plumb_bob", [], "must be"),
            ([500, 0, 320], "plumb_bob", [], "must be"),
            ([500, 0, 320, 0, 500, 240, 0, 0, 1], "thin_prism_fisheye", [0.0], "unknown distortion model"),
            ([500, 0, 320, 0, 500, 240, 0, 0, 1], "", [0.1] * 5, "unknown distortion model"),
            ([500, 0, 320, 0, 500, 240, 0, 0, 1], "plumb_bob", [0.1] * 8, "0 or 4 or 5"),
            ([500, 0, 320, 0, 500, 240, 0, 0, 1], "plumb_bob", [math.nan] * 5, "finite"),
        ],
    )
    def test_bad_camera_info(self, k, model, d, message):
        with pytest.raises(CameraError, match=message):
            Calibration.from_camera_info(640, 480, k, model, d)

    def test_simulators_leave_the_model_empty(self):
        k = [500, 0, 320, 0, 500, 240, 0, 0, 1]
        assert Calibration.from_camera_info(640, 480, k, "", []).distortion_model == "plumb_bob"


CAMERA_INFO = """
image_width: 640
image_height: 480
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [430.2, 0, 306.9, 0, 430.5, 227.2, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.337586, 0.111948, -0.000218, -0.000389, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [369.4, 0, 303.5, 0, 0, 405.1, 226.1, 0, 0, 0, 1, 0]}
"""


class TestYaml:
    def test_as_camera_calibration_writes_it(self, tmp_path):
        path = tmp_path / "front.yaml"
        path.write_text(CAMERA_INFO)
        calibration = Calibration.from_yaml(path)
        assert calibration.camera == Camera(640, 480, 430.2, 430.5, 307.4, 227.7)
        assert calibration.coefficients == (-0.337586, 0.111948, -0.000218, -0.000389, 0.0)
        assert Camera.from_yaml(path) == calibration.camera

    def test_rectified(self, tmp_path):
        path = tmp_path / "front.yaml"
        path.write_text(CAMERA_INFO)
        calibration = Calibration.from_yaml(path, rectified=True)
        assert calibration == Calibration(Camera(640, 480, 369.4, 405.1, 304.0, 226.6))

    @pytest.mark.parametrize(("model", "coefficients"), [*LENSES, ("plumb_bob", ())])
    def test_round_trip(self, tmp_path, model, coefficients):
        calibration = Calibration(Camera(640, 480, 430.2, 430.5, 307.4, 227.7), model, coefficients)
        calibration.to_yaml(tmp_path / "camera.yaml")
        again = Calibration.from_yaml(tmp_path / "camera.yaml")
        assert (again.distortion_model, again.coefficients) == (model, coefficients)
        np.testing.assert_allclose(
            [again.camera.fx, again.camera.fy, again.camera.cx, again.camera.cy], [430.2, 430.5, 307.4, 227.7]
        )

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("image_width", None, "image_width must be a positive whole number"),
            ("image_width", "wide", "image_width"),
            ("image_height", 0, "image_height"),
            ("image_height", True, "image_height"),
            ("camera_matrix", None, "camera_matrix.data"),
            ("camera_matrix", [1, 2], "camera_matrix.data"),
            ("camera_matrix", {"data": [1, 2]}, "must hold 9 numbers, got 2"),
            ("camera_matrix", {"data": ["a"] * 9}, "list of numbers"),
            ("camera_matrix", {"data": [0.0] * 9}, "calibrate the camera"),
            ("distortion_model", "bulgy", "unknown distortion model 'bulgy'"),
            ("distortion_model", None, "unknown distortion model"),
            ("distortion_coefficients", None, "distortion_coefficients.data"),
            ("distortion_coefficients", {"data": [0.1] * 3}, "got 3"),
        ],
    )
    def test_bad_keys(self, tmp_path, key, value, message):
        data = yaml.safe_load(CAMERA_INFO)
        data[key] = value
        if value is None:
            del data[key]
        path = tmp_path / "front.yaml"
        path.write_text(yaml.safe_dump(data))
        with pytest.raises(CameraError) as caught:
            Calibration.from_yaml(path)
        assert message in str(caught.value) and "front.yaml" in str(caught.value) and "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"just words",
            b"- a\n- list",
            b"key: [1, 2",
            b"\xff\xfe\x00",
            b"%YAML:1.0\nm: !!opencv-matrix\n  rows: 3",
        ],
    )
    def test_not_a_camera_info(self, tmp_path, content):
        path = tmp_path / "front.yaml"
        path.write_bytes(content)
        with pytest.raises(CameraError) as caught:
            Calibration.from_yaml(path)
        assert "front.yaml" in str(caught.value) and "\n" not in str(caught.value)

    def test_missing_file(self, tmp_path):
        with pytest.raises(CameraError, match="absent.yaml"):
            Calibration.from_yaml(tmp_path / "absent.yaml")


class TestResampler:
    def test_identity(self):
        """A real camera that equals the simulated one: not a single bit changes."""
        camera = Camera(64, 48, 50, 51, 31.3, 24.2)
        resampler, image = Resampler(Calibration(camera), camera), random_image(camera)
        np.testing.assert_array_equal(resampler(image), image)
        assert resampler.coverage == 1

    def test_identity_through_ros_numbers(self):
        """The half pixel goes in once: an 80x60 driver with cx = 39.5 is the default camera."""
        k = [58.2005, 0, 39.5, 0, 58.2005, 29.5, 0, 0, 1]
        resampler, image = Resampler(Calibration.from_camera_info(80, 60, k, "", []), Camera()), random_image(Camera())
        np.testing.assert_array_equal(resampler(image), image)

    @pytest.mark.parametrize("scale", [2, 8, 12, 24])
    def test_a_finer_real_image_is_averaged(self, scale):
        """The same view with so many pixels for one, and on the way shrunk or not: exactly their mean."""
        camera = Camera(20, 16, 15, 15, 10, 8)
        real = Camera(20 * scale, 16 * scale, *(scale * value for value in (15, 15, 10, 8)))
        image = random_image(real)
        blocks = image.reshape(16, scale, 20, scale, 3).mean((1, 3))
        resampled = Resampler(Calibration(real), camera)(image)
        np.testing.assert_allclose(resampled, blocks, atol=1.01)  # both steps round

    def test_what_is_shrunk_beforehand_looks_like_what_is_not(self):
        """Through a lens: a picture of 640x480, and the same with a row and a column more, which no block tiles."""
        k = Camera(640, 480, 480, 480, 322, 238)
        odd = replace(k, width=641, height=481)
        noise = cv2.GaussianBlur(random_image(odd), (0, 0), 4.0).astype(float)
        image = np.interp(noise, (noise.min(), noise.max()), (0, 255)).astype(np.uint8)
        lens, camera = ("plumb_bob", (-0.3, 0.1, 0.001, -0.001, 0.0)), Camera()
        shrunk = Resampler(Calibration(k, *lens), camera)(image[:480, :640])
        plain = Resampler(Calibration(odd, *lens), camera)(image)
        np.testing.assert_allclose(shrunk[1:-1, 1:-1].astype(int), plain[1:-1, 1:-1], atol=6)

    @pytest.mark.parametrize(("model", "coefficients"), LENSES)
    def test_every_pixel_sees_along_its_ray(self, model, coefficients):
        """In an image whose grey values are coordinates, read where each simulated pixel looks."""
        real, camera = Camera(640, 480, 400, 410, 330, 235), Camera.from_fov(40, 30, 0.9)
        calibration = Calibration(real, model, coefficients)
        resampler = Resampler(calibration, camera)
        u, v = np.meshgrid(np.arange(40) + 0.5, np.arange(30) + 0.5)
        rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy], axis=-1)
        expected = calibration.project(rays.reshape(-1, 2)).reshape(30, 40, 2) / 4
        assert resampler.coverage == 1
        np.testing.assert_allclose(resampler(ramp(real))[..., :2], expected, atol=1.0)

    def test_beyond_the_real_image_its_edge_is_repeated(self):
        real, camera = Camera.from_fov(40, 40, 0.6), Camera.from_fov(40, 40, 1.2)
        image = np.zeros((40, 40, 3), np.uint8)
        image[:, 0], image[:, -1] = (255, 0, 0), (0, 0, 255)
        resampler = Resampler(Calibration(real), camera)
        resampled = resampler(image)
        np.testing.assert_array_equal(resampled[:, :5], np.broadcast_to([255, 0, 0], (40, 5, 3)))
        np.testing.assert_array_equal(resampled[:, -5:], np.broadcast_to([0, 0, 255], (40, 5, 3)))
        seen = math.tan(0.3) / math.tan(0.6)
        assert resampler.coverage == pytest.approx(seen**2, abs=0.03)
        assert resampler.seen[20, 20] and not resampler.seen[0, 20]

    def test_a_lens_model_that_turns_back_shows_nothing_twice(self):
        """k1 = -0.3 folds at r = 1.05: without a limit, rays beyond it would land inside the image again."""
        real = Camera.from_fov(200, 200, math.radians(80))
        calibration = Calibration(real, "plumb_bob", (-0.3, 0.0, 0.0, 0.0))
        assert calibration.usable_radius(3.0) == pytest.approx(math.sqrt(1 / 0.9), abs=0.01)
        resampler = Resampler(calibration, Camera.from_fov(100, 100, math.radians(130)))
        columns = resampler(ramp(real))[50, :, 0].astype(int)
        assert (np.diff(columns) >= 0).all()
        assert not resampler.seen[50, 0]

    def test_segmentation_masks_and_grey_images(self):
        camera = Camera()
        grey = random_image(camera)[..., 0]
        np.testing.assert_array_equal(Resampler(Calibration(camera), camera)(grey), grey)

    @pytest.mark.parametrize("shape", [(48, 60, 3), (60, 80, 3, 1), (60 * 80 * 3,)])
    def test_another_size_is_refused(self, shape):
        with pytest.raises(CameraError, match="80x60"):
            Resampler(Calibration(Camera()), Camera())(np.zeros(shape, np.uint8))

    def test_floats_are_refused(self):
        with pytest.raises(CameraError, match="float"):
            Resampler(Calibration(Camera()), Camera())(np.zeros((60, 80, 3)))


def test_resamplers_of_the_sizes_seen_last_are_kept_and_no_more() -> None:
    """A camera that sends pictures of ever new sizes does not fill the memory."""
    resamplers = SizedResamplers(Camera(8, 6, 7.0, 7.0, 4.0, 3.0))
    first = resamplers.of_size(20, 15)
    assert resamplers.of_size(20, 15) is first
    for width in range(21, 20 + SIZES_KEPT):
        resamplers.of_size(width, 15)
    assert resamplers.of_size(20, 15) is first
    resamplers.of_size(99, 15)
    assert resamplers.of_size(20, 15) is not first
    assert len(resamplers._resamplers) == SIZES_KEPT

"""The goggles node over DDS: what goes in, what comes out, and what goes wrong."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from simgym.deploy import Camera
from tests.deploy.conftest import CAMERA, GOGGLES_GRAPH

from . import bridge
from .bridge import Peer, running, values, wait
from .driving import write_goggles
from .fuzzing import any_image, anything, flood

from geometry_msgs.msg import TwistStamped  # isort: skip
from nav_msgs.msg import Odometry  # isort: skip
from rclpy.event_handler import PublisherEventCallbacks  # isort: skip
from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # isort: skip

pytestmark = pytest.mark.ros
FUZZED = 10_000  # images that came, over both transports, and with each a calibration


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Goggles that show the negative."""
    return write_goggles(tmp_path)


def picture(value: int, width: int = 32, height: int = 24, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), value, np.uint8)


def exchange(peer: Peer, message: Any, info: CameraInfo | None = None, topic: str = "/image_raw") -> Image:
    """The answer to an image, which is sent again until there is one."""
    heard = peer.heard["/goggles/image_raw"]
    for _ in range(400):
        if info is not None:
            peer.publish("/camera_info", info)
        message.header.stamp = peer.now()
        peer.publish(topic, message)
        for _ in range(10):
            time.sleep(0.005)
            for _, answer in heard:
                if answer.header.stamp == message.header.stamp:
                    return answer
    raise AssertionError("no answer")


def pixels(message: Image) -> np.ndarray:
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)


class TestTranslating:
    def test_an_image_comes_out_in_the_simulators_style_with_its_header(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        infos = peer.listen(CameraInfo, "/goggles/camera_info")
        with running("goggles", bundle=bundle):
            sent = bridge.image(picture(200), peer.now())
            answer = exchange(peer, sent, bridge.camera_info(32, 24, 23.0, peer.now()))
        assert answer.header == sent.header and answer.encoding == "rgb8"
        assert pixels(answer).shape == (CAMERA.height, CAMERA.width, 3) and (pixels(answer) == 55).all()
        info = next(message for _, message in infos if message.header == sent.header)
        assert (info.width, info.height) == (CAMERA.width, CAMERA.height)
        np.testing.assert_allclose(np.reshape(info.k, (3, 3)), CAMERA.opencv_matrix)

    def test_the_camera_is_resampled_by_its_camera_info(self, peer, bundle):
        """A camera of twice the focal length and twice the size sees what the simulated one sees."""
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle):
            scene = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
            large = scene.repeat(2, axis=0).repeat(2, axis=1)
            info = bridge.camera_info(16, 12, 2 * CAMERA.fx, peer.now())
            answer = exchange(peer, bridge.image(large, peer.now()), info)
            np.testing.assert_allclose(pixels(answer).astype(int), 255 - scene, atol=1)

    def test_the_camera_may_change_its_size_and_encoding(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle):
            for width, height, encoding, channels in ((32, 24, "rgb8", 3), (64, 48, "bgra8", 4), (16, 12, "mono8", 1)):
                info = bridge.camera_info(width, height, 0.7 * width, peer.now())
                message = bridge.image(picture(90, width, height, channels), peer.now(), encoding=encoding)
                assert (pixels(exchange(peer, message, info)) == 165).all()

    def test_compressed_images(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle, image_transport="compressed", horizontal_fov_deg=60.0):
            data = cv2.imencode(".png", picture(10))[1].tobytes()
            message = CompressedImage(format="rgb8; png compressed bgr8", data=data)
            answer = exchange(peer, message, topic="/image_raw/compressed")
        assert (pixels(answer) == 245).all()

    def test_remapping_the_image_takes_the_camera_info_beside_it(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", "-r", "image_raw:=/front/camera/image_raw", bundle=bundle):
            peer.wait_for_listener("/front/camera/image_raw")
            peer.wait_for_listener("/front/camera/camera_info")


class TestBehaviour:
    def test_it_listens_only_while_somebody_listens(self, peer, bundle):
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0):
            wait(lambda: peer.node.count_publishers("/goggles/image_raw") > 0, "no node")
            assert "nobody listens" in peer.diagnostics("goggles").message
            assert peer.node.count_subscribers("/image_raw") == 0
            subscription = peer.node.create_subscription(Image, "/goggles/image_raw", lambda message: None, 1)
            peer.wait_for_listener("/image_raw")
            peer.node.destroy_subscription(subscription)
            wait(lambda: peer.node.count_subscribers("/image_raw") == 0, "it still listens")

    def test_it_can_be_disabled_and_enabled(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0):
            exchange(peer, bridge.image(picture(1), peer.now()))
            assert peer.enable("goggles", False).success
            wait(lambda: peer.node.count_subscribers("/image_raw") == 0, "it still listens")
            peer.diagnostics("goggles", lambda status: "disabled" in status.message)
            assert peer.enable("goggles", True).success
            exchange(peer, bridge.image(picture(1), peer.now()))

    def test_every_frame_is_accounted_for(self, peer, bundle):
        heard = peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0):
            exchange(peer, bridge.image(picture(1), peer.now()))
            for _ in range(100):
                peer.publish("/image_raw", bridge.image(picture(1), peer.now()))
                time.sleep(0.005)
            time.sleep(0.3)
            told = values(peer.diagnostics("goggles", lambda status: values(status)["pending"] == "0"))
            told = values(peer.diagnostics("goggles"))
        assert int(told["received"]) == int(told["published"]) + int(told["dropped"]) >= 50
        assert int(told["published"]) >= len(heard)
        assert told["provider"] == "CPUExecutionProvider" and told["bundle"] == str(bundle)

    def test_without_camera_info_it_says_what_to_do(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle):
            peer.wait_for_listener("/image_raw")
            peer.publish("/image_raw", bridge.image(picture(1), peer.now()))

            def told(status: Any) -> bool:
                peer.publish("/image_raw", bridge.image(picture(1), peer.now()))
                return "horizontal_fov_deg" in status.message

            assert peer.diagnostics("goggles", told).level == b"\x02"

    def test_an_uncalibrated_camera_is_named(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle):
            peer.wait_for_listener("/camera_info")

            def told(status: Any) -> bool:
                peer.publish("/camera_info", CameraInfo(width=32, height=24))
                peer.publish("/image_raw", bridge.image(picture(1), peer.now()))
                return "/camera_info is of no use" in status.message

            peer.diagnostics("goggles", told)


class TestLifecycle:
    @pytest.mark.parametrize("name", ["missing.onnx", "garbage.onnx", ""])
    def test_a_wrong_bundle_leaves_it_unconfigured_and_can_be_mended(self, peer, bundle, tmp_path, name):
        (tmp_path / "garbage.onnx").write_bytes(b"no bundle")
        path = tmp_path / name if name else "''"
        with running("goggles", bundle=path, horizontal_fov_deg=60.0):
            told = peer.diagnostics("goggles", lambda status: status.level == b"\x02").message
            assert (name or "no bundle") in told and "\n" not in told
            assert peer.state("goggles") == "unconfigured"
            (tmp_path / "missing.onnx").write_bytes(bundle.read_bytes())
            assert peer.transition("goggles", "configure") == (name == "missing.onnx")

    def test_a_manager_may_lead_it_through_its_states(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0, autostart=False):
            for _ in range(2):
                assert peer.state("goggles") == "unconfigured"
                assert peer.transition("goggles", "configure") and peer.state("goggles") == "inactive"
                assert not peer.enable("goggles").success
                assert peer.transition("goggles", "activate")
                exchange(peer, bridge.image(picture(1), peer.now()))
                assert peer.transition("goggles", "deactivate") and peer.state("goggles") == "inactive"
                wait(lambda: peer.node.count_subscribers("/image_raw") == 0, "it still listens")
                assert peer.transition("goggles", "activate")
                exchange(peer, bridge.image(picture(1), peer.now()))
                assert peer.transition("goggles", "deactivate") and peer.transition("goggles", "cleanup")
                wait(lambda: peer.node.count_publishers("/goggles/image_raw") == 0, "it still publishes")

    def test_what_is_not_possible_is_refused_and_does_no_harm(self, peer, bundle):
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0, autostart=False):
            assert not peer.transition("goggles", "activate")
            assert not peer.transition("goggles", "no such thing")
            assert peer.transition("goggles", "configure") and peer.state("goggles") == "inactive"

    def test_an_error_that_nobody_foresaw_leaves_it_unconfigured(self, peer, tmp_path):
        """The network fails as it runs, with no `UserError`."""
        graph = GOGGLES_GRAPH.replace("Sub(full, image)", "Gather<axis = 1>(image, far)").replace(
            "<uint8 full = {255}>", "<int64[6] far = {9, 9, 9, 9, 9, 9}>"
        )
        bundle = write_goggles(tmp_path, graph)
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0) as node:
            bridge.line(node, "Traceback")
            status = peer.diagnostics("goggles", lambda status: status.level == b"\x02")
            assert "out of" in status.message and peer.state("goggles") == "unconfigured"

    def test_parameters_are_described_checked_and_read_once(self, peer, bundle):
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0):
            wait(lambda: peer.node.count_publishers("/goggles/image_raw") > 0, "no node")
            for name, value, why in (
                ("max_age_s", 0.5, "clean it up first"),
                ("max_age_s", 900.0, "out of range"),
                ("image_transport", "theora", "must be one of raw, compressed"),
            ):
                result = peer.set_parameter("goggles", name, value)
                assert not result.successful and why in result.reason
            peer.transition("goggles", "deactivate")
            peer.transition("goggles", "cleanup")
            assert peer.set_parameter("goggles", "max_age_s", 0.5).successful
            assert peer.description("goggles", "bundle").startswith("path of the goggles' .onnx file")


class TestQuality:
    """Of service, where the two ends do not fit."""

    def test_a_camera_that_offers_less_is_named_with_what_to_do(self, peer, bundle):
        qos = "qos_overrides./image_raw.subscription.reliability"
        quiet = PublisherEventCallbacks(use_default_callbacks=False)
        camera = peer.node.create_publisher(Image, "/image_raw", bridge.BEST_EFFORT, event_callbacks=quiet)
        heard = peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0, **{qos: "reliable"}) as node:
            peer.wait_for_listener("/image_raw")
            assert f"-p {qos}:=best_effort" in bridge.line(node, "nothing goes over /image_raw")
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0, **{qos: "best_effort"}):

            def answered() -> bool:
                camera.publish(bridge.image(picture(1), peer.now()))
                return len(heard) > 0

            wait(answered, "no image came through")


class TestFootprint:
    def test_it_loads_no_training(self):
        heavy = ("torch", "mujoco", "pybullet", "gymnasium", "hydra", "simgym.envs", "simgym.policies")
        code = f"import sys, simgym_ros.goggles, simgym_ros.policy; print(*(set(sys.modules) & set({heavy!r})))"
        done = subprocess.run([sys.executable, "-c", code], env=bridge.environment(), capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.strip() == "", done.stderr

    def test_the_shipped_bundles_stay_small(self, peer):
        heard = peer.listen(TwistStamped, "/cmd_vel")
        options = {"bundle": "pretrained", "enabled": True}
        with running("goggles", horizontal_fov_deg=69.0, **options) as goggles, running("policy", **options) as policy:

            def drives() -> bool:
                peer.publish("/image_raw", bridge.image(picture(90, 640, 480), peer.now()))
                peer.publish("/odom", Odometry())
                return len({message.header.stamp.nanosec for _, message in heard if message.twist.angular.z}) > 3

            wait(drives, "no commands", lambda: heard[-2:])
            for node in (goggles, policy):
                pages = int(Path(f"/proc/{node.pid}/statm").read_text().split()[1])
                assert pages * os.sysconf("SC_PAGE_SIZE") < 250e6


class TestFaults:
    def test_broken_messages_are_dropped_and_counted(self, peer, bundle):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle, horizontal_fov_deg=60.0):
            exchange(peer, bridge.image(picture(1), peer.now()))
            cut = bridge.image(picture(1), peer.now())
            cut.data = cut.data[:100]

            def told(status: Any) -> bool:
                peer.publish("/image_raw", cut)
                return "takes 2304 bytes, got 100" in status.message

            status = peer.diagnostics("goggles", told)
            assert status.level == b"\x02" and int(values(status)["dropped_malformed"]) > 0
            exchange(peer, bridge.image(picture(1), peer.now()))

    @pytest.mark.parametrize("focal", [1e12, 1e300, 1e-300, float("nan"), float("inf"), -40.0])
    @pytest.mark.parametrize("lens", [[], [1e300] * 5, [float("nan")] * 5])
    def test_a_calibration_of_any_numbers_is_got_over(self, peer, bundle, focal, lens):
        peer.listen(Image, "/goggles/image_raw")
        with running("goggles", bundle=bundle):
            peer.wait_for_listener("/camera_info")
            odd = bridge.camera_info(32, 24, focal, peer.now())
            odd.d = lens
            for _ in range(20):
                peer.publish("/camera_info", odd)
                peer.publish("/image_raw", bridge.image(picture(1), peer.now()))
                time.sleep(0.01)
            exchange(peer, bridge.image(picture(1), peer.now()), bridge.camera_info(32, 24, 23.0, peer.now()))

    def test_a_calibration_that_was_lost_for_a_moment_counts_again(self, peer, bundle):
        """A driver that starts anew may publish zeros before it publishes the same again."""
        peer.listen(Image, "/goggles/image_raw")
        good = bridge.camera_info(32, 24, 23.0, peer.now())
        with running("goggles", bundle=bundle):
            exchange(peer, bridge.image(picture(1), peer.now()), good)

            def told(status: Any) -> bool:
                peer.publish("/camera_info", CameraInfo(width=32, height=24))
                peer.publish("/image_raw", bridge.image(picture(1), peer.now()))
                return "is of no use" in status.message

            peer.diagnostics("goggles", told)
            exchange(peer, bridge.image(picture(1), peer.now()), good)

    @pytest.mark.parametrize("transport", ["raw", "compressed"])
    def test_fuzzed_images_and_calibrations_do_no_harm(self, peer, bundle, transport):
        peer.listen(Image, "/goggles/image_raw")
        rng, topic = random.Random(0), "/image_raw" if transport == "raw" else "/image_raw/compressed"

        def send() -> None:
            peer.publish(topic, any_image(rng, transport))
            peer.publish("/camera_info", anything(rng, CameraInfo))

        with running("goggles", bundle=bundle, image_transport=transport):
            peer.wait_for_listener(topic)
            told = flood(peer, "goggles", FUZZED // 2, send)
            assert int(told["received"]) == int(told["published"]) + int(told["dropped"])
            sound = bridge.image(picture(1), peer.now())
            if transport == "compressed":
                sound = CompressedImage(format="png", data=cv2.imencode(".png", picture(1))[1].tobytes())
            exchange(peer, sound, bridge.camera_info(32, 24, 23.0, peer.now()), topic=topic)


def test_a_camera_info_goes_there_and_back() -> None:
    """What the node publishes of the simulated camera is what it reads of a real one."""
    from simgym_ros import images

    camera = Camera.from_fov(80, 60, 1.2)
    made = images.camera_info_message(Image().header, camera)
    assert images.calibration(made, rectified=False).camera == camera
    assert images.calibration(made, rectified=True).camera == camera


def test_the_part_of_a_sensor_that_is_read_out_is_heeded() -> None:
    """Binning joins 2x2 pixels; a region of interest cuts before that. Rays keep their directions."""
    from simgym_ros import images

    info = bridge.camera_info(640, 480, 500.0, Image().header.stamp)
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 100, 50, 320, 240
    info.binning_x = info.binning_y = 2
    camera = images.calibration(info, rectified=False).camera
    assert camera == Camera(160, 120, 250.0, 250.0, (320 - 100) / 2, (240 - 50) / 2)

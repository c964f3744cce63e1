"""The frame stack, the policy and the goggles, as a robot uses them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simgym.deploy import (
    Averages,
    BundleError,
    FrameStack,
    Goggles,
    Memory,
    Policy,
    PolicyError,
    Trail,
    stack_channels,
)


def image(value: int) -> np.ndarray:
    return np.full((6, 8, 3), value, np.uint8)


def images(*values: int) -> np.ndarray:
    return np.stack([image(value) for value in values])


def shown(frames: np.ndarray) -> list[list[int]]:
    """The grey value of each frame: (n, K)."""
    return frames[:, :, 0, 0, 0].tolist()


class TestAverages:
    def test_closed_form(self):
        """A step from a to b is approached exponentially, by each time constant."""
        averages, dt_s = Averages((2.0, 8.0), 0.2), 0.2
        start, then = np.array([[1.0, -1.0]], np.float32), np.array([[3.0, 0.0]], np.float32)
        np.testing.assert_array_equal(averages.push(start), np.tile(start, 3))
        for k in range(1, 30):
            out = averages.push(then)[0]
            left = np.exp(-k * dt_s / np.array([2.0, 8.0]))[:, None]  # (T, 1)
            np.testing.assert_allclose(out[2:].reshape(2, 2), then + left * (start - then), atol=1e-5)
            np.testing.assert_array_equal(out[:2], then[0])

    def test_none_leaves_measurements_as_they_are(self):
        measured = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
        averages = Averages((), 0.1, 4)
        for _ in range(3):
            np.testing.assert_array_equal(averages.push(measured), measured)

    def test_an_episode_begins_in_some_worlds_only(self):
        averages = Averages((1.0,), 0.5, 2)
        averages.push(np.zeros((2, 1), np.float32))
        out = averages.push(np.ones((2, 1), np.float32), np.array([False, True]))
        assert out[1].tolist() == [1.0, 1.0] and 0 < out[0, 1] < 0.5

    def test_wrong_shape(self):
        with pytest.raises(PolicyError, match=r"\(2, D\)"):
            Averages((1.0,), 0.5, 2).push(np.zeros((3, 2), np.float32))


class TestTrail:
    def test_equals_averages_of_positions_in_the_room(self):
        """Worked out in a fixed frame, where each step drives straight on and then turns."""
        rng, constants, dt_s = np.random.default_rng(0), np.array([1.0, 8.0, 64.0]), 0.2
        trail, position, heading = Trail(constants.tolist(), dt_s), 0j, 0.0
        means = np.zeros(3, complex)
        trail.push(np.ones((1, 2)))  # an episode begins: how it came here is nobody's business
        for _ in range(300):
            speed, turn = rng.uniform(0, 0.5), rng.uniform(-1.5, 1.5)
            position += speed * dt_s * np.exp(1j * heading)
            heading += turn * dt_s
            means += (1 - np.exp(-dt_s / constants)) * (position - means)
            seen = (means - position) * np.exp(-1j * heading)
            out = trail.push(np.array([[speed, turn]], np.float32))
            np.testing.assert_allclose(out.reshape(3, 2), np.stack([seen.real, seen.imag], axis=1), atol=1e-4)

    def test_what_lies_ahead_turns_to_the_right_as_the_robot_turns_left(self):
        trail = Trail((1e9,), 0.5)
        trail.push(np.zeros((1, 2)))
        assert trail.push(np.array([[1.0, 0.0]]))[0] == pytest.approx([-0.5, 0.0])
        assert trail.push(np.array([[0.0, np.pi]]))[0] == pytest.approx([0.0, 0.5], abs=1e-6)  # behind, now at the left

    def test_it_fades_where_the_robot_stays(self):
        trail = Trail((2.0,), 1.0)
        trail.push(np.zeros((1, 2)))
        trail.push(np.array([[1.0, 0.0]]))
        before = trail.push(np.zeros((1, 2)))
        np.testing.assert_allclose(trail.push(np.zeros((1, 2))), np.exp(-0.5) * before, rtol=1e-6)

    def test_an_episode_begins_in_some_worlds_only(self):
        trail = Trail((1.0,), 0.5, 2)
        for _ in range(2):
            trail.push(np.ones((2, 2)))
        out = trail.push(np.ones((2, 2)), np.array([False, True]))
        assert out[1].tolist() == [0.0, 0.0] and out[0, 0] < 0
        assert trail.push(np.ones((2, 2)))[1, 0] < 0

    def test_none_asks_for_no_velocity(self):
        trail = Trail((), 0.1, 4)
        for _ in range(3):
            assert trail.push(np.ones((4, 1))).shape == (4, 0)


class TestMemory:
    @pytest.mark.parametrize("averages", [(), (0.5, 3.0)])
    @pytest.mark.parametrize("trail", [(), (1.0, 16.0)])
    def test_beginning_some_worlds_gives_what_a_first_push_gives(self, averages, trail):
        rng = np.random.default_rng(0)
        memory, worlds = Memory(2, 3, averages, trail, 0.2, 3), np.array([True, False, True])
        for _ in range(5):
            memory.push(images(1, 2, 3), rng.normal(size=(3, 2)).astype(np.float32))
        last = rng.normal(size=(3, 2)).astype(np.float32)
        frames, measured = memory.begin(images(4, 5, 6), last, worlds)
        fresh = Memory(2, 3, averages, trail, 0.2, 2)
        expected_frames, expected = fresh.push(images(4, 6), last[worlds])
        np.testing.assert_array_equal(frames, expected_frames)
        np.testing.assert_array_equal(measured, expected)
        then = rng.normal(size=(3, 2)).astype(np.float32)
        np.testing.assert_array_equal(
            memory.push(images(7, 8, 9), then)[1][worlds], fresh.push(images(7, 9), then[worlds])[1]
        )

    def test_after_a_reset_nothing_is_left(self):
        memory, fresh = (Memory(2, 1, (1.0,), (4.0,), 0.2) for _ in range(2))
        memory.push(images(1), np.ones((1, 2), np.float32))
        memory.push(images(2), np.ones((1, 2), np.float32))
        memory.reset()
        for value in (3, 4):
            for one, other in zip(
                *(m.push(images(value), np.full((1, 2), value, np.float32)) for m in (memory, fresh)), strict=True
            ):
                np.testing.assert_array_equal(one, other)

    def test_values_are_laid_out_as_what_is_remembered(self):
        laid_out = Memory(1, 1, (1.0,), (2.0, 4.0), 0.2).laid_out(np.array([1, 2]), (-7, 7))
        assert laid_out.tolist() == [1, 2, 1, 2, -7, 7, -7, 7]


class TestFrameStack:
    def test_first_push_fills_every_stack(self):
        assert shown(FrameStack(3, 2).push(images(1, 2))) == [[1, 1, 1], [2, 2, 2]]

    def test_oldest_first(self):
        stack = FrameStack(3, 1)
        for value in (1, 2, 3, 4):
            frames = stack.push(images(value))
        assert shown(frames) == [[2, 3, 4]]

    def test_worlds_reset_by_themselves(self):
        stack = FrameStack(3, 2)
        stack.push(images(1, 10))
        frames = stack.push(images(2, 20), np.array([False, True]))
        assert shown(frames) == [[1, 1, 2], [20, 20, 20]]
        assert shown(stack.push(images(3, 30))) == [[1, 2, 3], [20, 20, 30]]

    def test_reset_forgets(self):
        stack = FrameStack(2, 1)
        stack.push(images(1))
        stack.reset()
        assert shown(stack.push(images(5))) == [[5, 5]]

    def test_result_is_a_copy(self):
        stack = FrameStack(2, 1)
        stack.push(images(1))[:] = 99
        assert shown(stack.push(images(2))) == [[1, 2]]

    def test_a_reused_image_buffer_is_copied(self):
        stack, buffer = FrameStack(2, 1), images(1)
        stack.push(buffer)
        buffer[:] = 2  # renderers overwrite theirs
        assert shown(stack.push(buffer)) == [[1, 2]]

    def test_one_frame(self):
        stack = FrameStack(1, 1)
        stack.push(images(1))
        assert shown(stack.push(images(2))) == [[2]]

    @pytest.mark.parametrize(("k", "stride"), [(1, 1), (2, 1), (3, 1), (2, 4), (3, 8)])
    def test_equals_a_list_of_everything_seen(self, k, stride):
        rng, stack = np.random.default_rng(k * stride), FrameStack(k, 2, stride)
        seen: list[list[int]] = [[], []]
        for value in range(1, 60):
            begun = rng.random(2) < 0.1
            frames = stack.push(images(value, 100 + value), begun)
            for world in range(2):
                seen[world] = [] if begun[world] else seen[world]
                seen[world].append(value + 100 * world)
                newest = len(seen[world]) - 1
                expected = [seen[world][max(newest - age * stride, 0)] for age in range(k)][::-1]
                assert shown(frames)[world] == expected

    def test_refill_begins_an_episode_in_some_worlds(self):
        stack = FrameStack(2, 2)
        stack.push(images(1, 10))
        stack.refill(images(7, 70), np.array([False, True]))
        assert shown(stack.push(images(2, 20))) == [[1, 2], [70, 20]]

    def test_wrong_shapes(self):
        stack = FrameStack(2, 2)
        with pytest.raises(PolicyError, match="expected images of shape"):
            stack.push(images(1))
        stack.push(images(1, 2))
        with pytest.raises(PolicyError, match="reset first"):
            stack.push(np.zeros((2, 5, 5, 3), np.uint8))


def test_stack_channels_keeps_each_frame_together():
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    channels = stack_channels(frames)
    assert channels.shape == (2, 9, 4, 5) and channels.flags.c_contiguous
    for k in range(3):
        np.testing.assert_array_equal(channels[:, 3 * k : 3 * k + 3], frames[:, k].transpose(0, 3, 1, 2))


class TestPolicy:
    """The bundle of `conftest`: speed = newest frame, turn = oldest frame, plus the velocity."""

    def test_act_stacks_frames(self, policy_path):
        policy, still = Policy(policy_path), np.zeros(2, np.float32)
        np.testing.assert_allclose(policy.act(image(51), still), [0.2, 0.2], atol=1e-6)
        np.testing.assert_allclose(policy.act(image(102), still), [0.4, 0.2], atol=1e-6)
        np.testing.assert_allclose(policy.act(image(153), still), [0.6, 0.2], atol=1e-6)
        np.testing.assert_allclose(policy.act(image(204), still), [0.8, 0.4], atol=1e-6)
        policy.reset()
        np.testing.assert_allclose(policy.act(image(255), still), [1.0, 1.0], atol=1e-6)

    def test_velocity_is_an_input(self, policy_path):
        command = Policy(policy_path).act(image(0), np.array([0.5, -0.25], np.float32))
        assert command.dtype == np.float32
        np.testing.assert_allclose(command, [0.5, -0.25])

    def test_batch_is_the_single_one_n_times(self, policy_path):
        policy, rng = Policy(policy_path), np.random.default_rng(0)
        sequence = rng.integers(0, 256, (4, 6, 8, 3), np.uint8)
        velocities = rng.normal(size=(4, 2)).astype(np.float32)
        stack = FrameStack(3, 1)
        for frame, velocity in zip(sequence, velocities, strict=True):
            batch = policy.act_batch(np.repeat(stack.push(frame[None]), 5, axis=0), np.tile(velocity, (5, 1)))
            np.testing.assert_array_equal(batch, np.tile(policy.act(frame, velocity), (5, 1)))

    @pytest.mark.parametrize(
        ("bad", "velocity", "message"),
        [
            (image(0).astype(np.float32), [0, 0], "expected uint8"),
            (image(0)[:5], [0, 0], r"of shape \(6, 8, 3\)"),
            (image(0).transpose(2, 0, 1), [0, 0], r"of shape \(6, 8, 3\)"),
            (image(0)[..., :1], [0, 0], r"of shape \(6, 8, 3\)"),
            (image(0), [0, 0, 0], "velocity must have shape"),
            (image(0), [np.nan, 0], "velocity must be finite"),
            (image(0), [0, np.inf], "velocity must be finite"),
        ],
    )
    def test_refused_input_leaves_the_stack_alone(self, policy_path, bad, velocity, message):
        policy, still = Policy(policy_path), np.zeros(2)
        policy.act(image(51), still)
        with pytest.raises(PolicyError, match=message):
            policy.act(bad, np.array(velocity, np.float32))
        np.testing.assert_allclose(policy.act(image(102), still), [0.4, 0.2], atol=1e-6)

    def test_a_command_that_is_not_finite_is_an_error(self, make_bundle, contract):
        graph = """
        <ir_version: 10, opset_import: ["" : 18]>
        policy (uint8[N, 3, 6, 8, 3] image, float[N, 2] velocity) => (float[N, 2] command)
        { command = Div(velocity, velocity) }
        """
        with pytest.raises(PolicyError, match="command must be finite"):
            Policy(make_bundle(graph, simgym=contract.to_json())).act(image(0), np.zeros(2))

    def test_a_policy_that_does_not_drive_is_refused(self, make_bundle, contract):
        graph = """
        <ir_version: 10, opset_import: ["" : 18]>
        policy (float[N, 2] velocity) => (float[N, 2] command) { command = Identity(velocity) }
        """
        blind = replace(contract, inputs=contract.inputs[1:])
        with pytest.raises(BundleError, match="must command from an image"):
            Policy(make_bundle(graph, simgym=blind.to_json()))


class TestGoggles:
    def test_translate(self, goggles_path):
        translated = Goggles(goggles_path).translate(images(0, 55))
        np.testing.assert_array_equal(translated, images(255, 200))

    def test_wrong_images(self, goggles_path):
        goggles = Goggles(goggles_path)
        with pytest.raises(PolicyError, match="expected uint8 RGB"):
            goggles.translate(image(0)[None, :3])

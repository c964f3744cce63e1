"""Measures of navigation against values worked out by hand."""

from __future__ import annotations

import numpy as np

from simgym.envs.tasks.measures import soft_spl, spl


def test_spl():
    # straight there; by a detour of twice the length; not there; shorter than "shortest" (the goal has a radius)
    values = spl([True, True, False, True], [2.0, 2.0, 2.0, 2.0], [2.0, 4.0, 2.0, 1.5])
    np.testing.assert_allclose(values, [1.0, 0.5, 0.0, 1.0])


def test_spl_of_an_episode_that_begins_at_its_goal():
    np.testing.assert_allclose(spl([True, True], [0.0, 0.0], [0.0, 1.0]), [1.0, 0.0])


def test_soft_spl():
    # all the way, half the way, half the way by a detour, away from the goal
    values = soft_spl([1.0, 0.5, 0.5, -0.3], [2.0, 2.0, 2.0, 2.0], [2.0, 1.0, 4.0, 1.0])
    np.testing.assert_allclose(values, [1.0, 0.5, 0.25, 0.0])


def test_inputs_are_left_alone():
    progress = np.array([-1.0, 2.0])
    soft_spl(progress, [1.0, 1.0], [1.0, 1.0])
    np.testing.assert_array_equal(progress, [-1.0, 2.0])

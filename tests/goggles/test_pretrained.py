"""The goggles that ship: small, with a card, and better than none in the place that they were trained for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import numpy as np

from simgym.deploy import Camera
from simgym.envs.config import DOMAINS
from simgym.envs.looks.canonical import read_classes
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.collection import fresh_frames
from simgym.shipped import PRETRAINED, bundle_path, load_goggles

PATH = bundle_path(PRETRAINED, "goggles", "ChairNav")


def test_they_are_small_and_have_a_card() -> None:
    assert PATH.stat().st_size < 3e6
    assert "simgym.goggles.train" in PATH.with_suffix(".md").read_text()
    assert load_goggles(PRETRAINED, "ChairNav").contract.camera == Camera()


def test_they_bring_the_stand_in_closer_to_simulation_and_chairs_to_their_colour() -> None:
    domain, seeds = fresh_frames(replace(DOMAINS["standin"], place=0)), np.arange(16)
    with closing(Simulation(ChairNavConfig(), domain, len(seeds), "test", twin=True)) as simulation:
        simulation.reset(np.arange(len(seeds)), seeds)
        seen, wanted = simulation.observe().image, simulation.canonical().rgb
    translated = load_goggles(PRETRAINED, "ChairNav").translate(seen)

    def distance(images: np.ndarray) -> float:
        return float(np.abs(images.astype(int) - wanted).mean())

    assert distance(translated) < 0.5 * distance(seen)
    chairs = read_classes(wanted) == Semantic.CHAIR
    kept = read_classes(translated)[chairs] == Semantic.CHAIR
    assert chairs.sum() > 100 and kept.mean() > 0.2

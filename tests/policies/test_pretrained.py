"""The policy that ships: small, made for the default environment, and as good as its card says, within chance."""

from __future__ import annotations

import re

import pytest

from simgym.deploy import Policy, check_camera
from simgym.envs.config import DOMAINS
from simgym.envs.simulation import Simulation
from simgym.envs.tasks import TASKS
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.policies.actors import make_actor
from simgym.policies.evaluation import episode_seeds, evaluate
from simgym.shipped import FOLDERS, PRETRAINED, bundle_path

PATH = bundle_path(PRETRAINED, "policy", "ChairNav")


@pytest.mark.parametrize("task", TASKS)
def test_it_is_small_and_licensed(task):
    path = bundle_path(PRETRAINED, "policy", task)
    assert path.stat().st_size < 2e6
    assert Policy(path).contract.licence == "Apache-2.0" and Policy(path).contract.task == task


@pytest.mark.parametrize("task", TASKS)
def test_the_card_says_what_the_contract_says(task):
    training = Policy(bundle_path(PRETRAINED, "policy", task)).contract.training
    card = (FOLDERS["policy"] / f"{task}_policy.md").read_text()
    assert f"{training['steps']:,} steps" in card
    assert re.search(rf"seed={training['seed']}\b", card)


def test_it_drives_where_it_was_trained():
    policy = Policy(PATH)
    simulation = Simulation(ChairNavConfig(), DOMAINS[policy.contract.training["domain"]], 16, "test")
    check_camera(policy.contract, simulation.camera)
    actor = make_actor(PRETRAINED, None, simulation, 0)
    measured = evaluate(simulation, actor, episode_seeds(3, 60, "test"), progress=False).summary()
    simulation.close()
    stated = policy.contract.training["success_rate"]
    assert measured["success_rate"] == pytest.approx(stated, abs=0.15)  # 60 episodes: 4 standard deviations

"""Trains a policy by imitation and PPO: segments between checkpoints, evaluation on the way, export and report.

Exact resumption: a training is cut into segments. At the start of each, every random generator is seeded from
(seed, segment) and all worlds restart, so that a segment depends on nothing but the checkpoint before it. A run that
was killed and resumed therefore gives the same weights, bit for bit on a CPU, as one left alone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ProgressBarCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm

from simgym.allocator import keep_freed_memory
from simgym.bundling import save_bundle
from simgym.checkpoint import checkpoint_to_start_from, latest_checkpoint
from simgym.config.schema import PPOConfig, TrainConfig
from simgym.cores import usable_cores
from simgym.deploy.bundle import VELOCITY, Contract, TensorSpec, policy_contract
from simgym.deploy.goggles import Goggles, look_through
from simgym.deploy.policy import Memory, Policy
from simgym.envs.curriculum import Curriculum
from simgym.envs.simulation import Simulation
from simgym.errors import UsageError
from simgym.files import atomic_path, remove_leftovers
from simgym.interrupts import Interrupted, stop_on_signals

from .actors import BundleActor, ModelActor, goggles_for
from .evaluation import Evaluation, episode_seeds, evaluate, header
from .export import export_policy
from .imitation import BatchBuffer, ImitatingPPO, Mirror
from .networks import AsymmetricPolicy
from .report import evaluate_and_report
from .saving import begin_with, load_training, save_model, save_training
from .vec_env import SimulationVecEnv

EVALUATION_SEED = 20_001  # of evaluations during training, on layouts of the train split
FINAL_SEED = 30_001
EXPORT_FRAMES = 1024  # on which the bundle is compared with the model
EVALUATION_WORLDS = 16
USUAL_TRAIL_M = 2.0  # how far away, ahead or aside, a robot was lately, as a rule: the network scales it by this
FINAL_LEARNING_RATE = 0.05  # share of the first one that it never falls below
BUNDLE, BEST, LAST = "policy.onnx", "best_model.zip", "last_model.zip"
LICENCE = "Apache-2.0"
KIND = "a policy"


def build_env(config: TrainConfig, simulation: Simulation) -> SimulationVecEnv:
    """The worlds to train in, with the frames that the policy asks for."""
    memory, goggles = new_memory(config, simulation), goggles_for(config.goggles, simulation)
    return SimulationVecEnv(
        simulation, memory, config.seed, bootstrap_time_limit=False, goggles=goggles, privileged=True
    )


def build_model(config: TrainConfig, env: SimulationVecEnv, log_folder: Path | None) -> ImitatingPPO:
    """Imitation, then PPO, with our vision network; see also `learning_rates`."""
    algo, task, memory = config.algo, env.simulation.task, env.memory
    low, high = task.usual_range
    mirror = None
    if task.mirror is not None:
        mirror = Mirror(task.measured, memory.laid_out(task.mirror.measured, (1, -1)), task.mirror)
    model = ImitatingPPO(
        AsymmetricPolicy,
        env,
        learning_rate=learning_rates(algo),
        n_steps=algo.n_steps,
        batch_size=algo.batch_size,
        n_epochs=algo.n_epochs,
        gamma=algo.gamma,
        gae_lambda=algo.gae_lambda,
        clip_range=algo.clip_range,
        target_kl=algo.target_kl,
        ent_coef=algo.ent_coef,
        policy_kwargs={
            "features_extractor_kwargs": {
                "channels": tuple(algo.channels),
                "code_dim": algo.code_dim,
                "usual_range": (
                    memory.laid_out(low, (-USUAL_TRAIL_M, -USUAL_TRAIL_M)),
                    memory.laid_out(high, (USUAL_TRAIL_M, USUAL_TRAIL_M)),
                ),
            },
            "hidden_units": algo.hidden_units,
            "camera_yaw": task.camera_yaw,
            "log_std_init": algo.log_std_init,
        },
        rollout_buffer_class=BatchBuffer,
        imitation_steps=algo.imitation_steps,
        imitation_batch_size=algo.imitation_batch_size,
        remembered=algo.remembered,
        mirror=mirror if algo.mirrored else None,
        ppo_mirror=mirror if algo.ppo_mirrored else None,
        seed=config.seed,
        device=config.device,
    )
    if log_folder is not None:
        model.set_logger(configure(str(log_folder), ["tensorboard"]))
    return model


def learning_rates(algo: PPOConfig) -> Callable[[float], float]:
    """Step sizes of Adam by the share of the training that is left; they fall linearly, anew where PPO takes over."""
    second, imitated = algo.ppo_learning_rate, algo.imitation_steps / algo.total_steps
    if second is None or not 0 < imitated < 1:
        return lambda left: algo.learning_rate * max(left, FINAL_LEARNING_RATE)

    def rate(left: float) -> float:
        if 1 - left <= imitated:
            return algo.learning_rate * max(1 - (1 - left) / imitated, FINAL_LEARNING_RATE)
        return second * max(left / (1 - imitated), FINAL_LEARNING_RATE)

    return rate


class Segments(BaseCallback):
    """At every segment's end: evaluate, save, and begin the next one from its own seed."""

    def __init__(
        self, config: TrainConfig, out: Path, progress: dict[str, Any], curriculum: Curriculum | None = None
    ) -> None:
        super().__init__()
        self.config, self.out, self.curriculum = config, out, curriculum
        if curriculum is not None and "curriculum" in progress:
            curriculum.restore(progress["curriculum"])
        self.curve: list[dict[str, Any]] = progress.get("curve", [])
        self.best: list[float] = progress.get("best", [-1.0, -np.inf])  # success rate, mean return
        self.seconds_before: float = progress.get("wall_seconds", 0.0)
        self.interrupted = threading.Event()
        self._terms: dict[str, list[float]] = {}

    @property
    def wall_seconds(self) -> float:
        """Seconds of training so far, over all resumptions."""
        return self.seconds_before + time.perf_counter() - self._started_at

    def _on_training_start(self) -> None:
        self._started_at = time.perf_counter()
        self._num_threads = torch.get_num_threads()
        self._evaluation = Simulation(self.config.env, self.config.domain, EVALUATION_WORLDS, "train")
        self._evaluation.curriculum = self.curriculum
        self._goggles = goggles_for(self.config.goggles, self._evaluation)
        self._begin()

    def close(self) -> None:
        """Release the worlds of evaluations."""
        self._evaluation.close()

    def _begin(self) -> None:
        """Seed everything from the number of steps that are done, and restart every world."""
        env, model = self.training_env, self.model
        assert isinstance(env, SimulationVecEnv) and isinstance(model, ImitatingPPO)
        seed = int(np.random.SeedSequence([self.config.seed, self.num_timesteps]).generate_state(1)[0])
        set_random_seed(seed)
        env.restart(seed)
        model._last_obs = env.reset()
        model._last_episode_starts = np.ones(env.num_envs, bool)
        if model.data_set is not None:
            model.data_set.clear()
        self._next = self.num_timesteps + self.config.checkpoint_every
        self._terms = {}

    def _on_rollout_start(self) -> None:
        """Between an update and the next rollout: the only moment with nothing in flight."""
        # A batch of worlds is too small to share out, and torch's idle threads spin on the cores that simulate.
        torch.set_num_threads(1)
        if self.num_timesteps >= self._next:
            self.save()
            self._begin()
        env, algo = self.training_env, self.config.algo
        assert isinstance(env, SimulationVecEnv)
        left = max(1 - self.num_timesteps / max(algo.imitation_steps, 1), 0.0)  # share of the imitation
        env.asks_expert, env.guided = left > 0, round(algo.guided * left * env.num_envs)

    def save(self) -> None:
        """Evaluate, log, and write the checkpoint (and the best model)."""
        assert isinstance(self.model, PPO)
        config = self.config
        actor = ModelActor(self.model, new_memory(config, self._evaluation), self._goggles)
        seeds = episode_seeds(EVALUATION_SEED, config.eval_episodes, "train")
        evaluation = evaluate(self._evaluation, actor, seeds, progress=False)
        summary = evaluation.summary()
        self._log(evaluation, summary)
        self.curve.append(
            {"steps": self.num_timesteps, "wall_seconds": self.wall_seconds}
            | {name: summary[name] for name in ("success_rate", "success_ci95", "spl", "mean_return")}
            | {"terms": {name: float(np.mean(values)) for name, values in self._terms.items()}}
        )
        score = [summary["success_rate"], summary["mean_return"]]
        if score > self.best:
            self.best = score
            save_model(self.out / BEST, self.model)
        low, high = summary["success_ci95"]
        tqdm.write(
            f"{self.num_timesteps:>9,} steps: success {score[0]:.0%} ({low:.0%}-{high:.0%})"
            + ("" if summary["spl"] is None else f", spl {summary['spl']:.2f}")
        )
        progress = {"curve": self.curve, "best": self.best, "wall_seconds": self.wall_seconds}
        if self.curriculum is not None:
            progress["curriculum"] = self.curriculum.state()
        save_training(self.out, self.model, progress)

    def _log(self, evaluation: Evaluation, summary: dict[str, Any]) -> None:
        self.logger.record("eval/mean_reward", summary["mean_return"])
        self.logger.record("eval/mean_ep_length", float(np.mean([row["steps"] for row in evaluation.episodes])))
        self.logger.record("eval/success_rate", summary["success_rate"])
        if summary["spl"] is not None:
            self.logger.record("eval/spl", summary["spl"])
        self.logger.dump(self.num_timesteps)

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            for name, value in info.get("reward_terms", {}).items():
                self._terms.setdefault(name, []).append(value)
        return not self.interrupted.is_set()

    def _on_rollout_end(self) -> None:
        torch.set_num_threads(self._num_threads)
        for name, values in self._terms.items():
            self.logger.record(f"reward/{name}", float(np.mean(values[-200:])))
        for name, value in self.curriculum.facts().items() if self.curriculum is not None else ():
            self.logger.record(f"adr/{name}", value)


def check_possible(config: TrainConfig) -> None:
    """Raise UserError where the configuration cannot be trained here: before there is a run folder."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda: torch finds no GPU here; leave it out, or give device=cpu")
    if config.start is not None:
        checkpoint_to_start_from(config.start, KIND)
    with closing(Simulation(config.env, config.domain, 1, "train")) as simulation:
        goggles_for(config.goggles, simulation)
        new_memory(config, simulation)
        simulation.reset(np.zeros(1, int), np.array(episode_seeds(config.seed, 1, "train")))


def train(config: TrainConfig, out: Path, resume: bool = False) -> dict[str, Any]:
    """Train, evaluate on held-out layouts, export and report into ``out``.

    Args:
        config: the whole configuration.
        out: the run folder, with its ``config.yaml``.
        resume: go on from the newest checkpoint in ``out``.

    Returns:
        The content of ``eval.json``.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM; weights are saved, and the last checkpoint can be resumed from.
    """
    keep_freed_memory()
    torch.set_num_threads(usable_cores())
    remove_leftovers(out)
    simulation = Simulation(config.env, config.domain, config.algo.num_envs, "train")
    if config.domain.adr.enabled:
        simulation.curriculum = Curriculum(config.domain, simulation.task.ignored)
    env = build_env(config, simulation)
    model = build_model(config, env, out / "tensorboard")
    checkpoint = latest_checkpoint(out) if resume else None
    progress = load_training(checkpoint, model) if checkpoint else {}
    if checkpoint is None and config.start is not None:
        begin_with(checkpoint_to_start_from(config.start, KIND), model)
    segments = Segments(config, out, progress, simulation.curriculum)
    remaining = config.algo.total_steps - model.num_timesteps
    if remaining > 0:
        with stop_on_signals(segments.interrupted):
            callbacks = CallbackList([segments, ProgressBarCallback()])
            model.learn(remaining, callback=callbacks, reset_num_timesteps=False)
        if segments.interrupted.is_set():
            save_model(out / LAST, model)
            raise Interrupted(f"stopped after {model.num_timesteps} steps, weights in {out / LAST}")
        segments.save()
        segments.close()
    torch.set_num_threads(usable_cores())
    env.close()
    return finish(config, out, model, segments)


def finish(config: TrainConfig, out: Path, model: PPO, segments: Segments) -> dict[str, Any]:
    """Export the policy, evaluate the exported bundle on held-out layouts, write numbers and report."""
    simulation = Simulation(config.env, config.domain, EVALUATION_WORLDS, "test")
    goggles = goggles_for(config.goggles, simulation)
    bundle, frames = out / BUNDLE, _collect_frames(simulation, model, config, goggles)
    contract = _contract(config, simulation, _about(config, model.num_timesteps))
    about = header(config.env, config.domain, "test", str(bundle), config.goggles, FINAL_SEED)
    seeds = episode_seeds(FINAL_SEED, config.final_episodes, "test")
    with atomic_path(bundle) as temporary:  # there is no bundle before it has been measured
        about["export_difference"] = export_policy(model, contract, temporary, *frames)
        actor = BundleActor(Policy(temporary, threads=torch.get_num_threads()), goggles, simulation.num_worlds)
        result = evaluate_and_report(simulation, actor, seeds, about, out, segments.curve)
        measured = {name: result[name] for name in ("success_rate", "success_ci95", "spl", "episodes")}
        training = {**contract.training, **measured, "split": "test"}
        save_bundle(onnx.load(temporary), replace(contract, training=training), temporary)
    simulation.close()
    return result


def _about(config: TrainConfig, steps: int) -> dict[str, Any]:
    """What a bundle says of its training."""
    return {"steps": steps, "seed": config.seed, "domain": config.domain.name}


def _contract(config: TrainConfig, simulation: Simulation, training: dict[str, Any]) -> Contract:
    task = simulation.task
    low, high = (tuple(float(value) for value in values) for values in task.command_range)
    return policy_contract(
        task=task.name,
        camera=simulation.camera,
        frame_stack=config.algo.frame_stack,
        command_low=low,
        command_high=high,
        rate_hz=task.config.control_rate_hz,
        domains=[config.domain.name],
        licence=LICENCE,
        training=training,
        frame_stride=config.algo.frame_stride,
        averages_s=config.algo.averages_s,
        trail_s=config.algo.trail_s,
        measured=TensorSpec(task.measured, ("N", len(task.measured_range[0])), "float32", task.measured_unit),
        command_unit=task.command_unit,
    )


def new_memory(config: TrainConfig, simulation: Simulation) -> Memory:
    """The memory that a policy of this configuration has, empty.

    Raises:
        UsageError: a trail is asked for, but the robot does not measure how it drives.
    """
    algo, task = config.algo, simulation.task
    if algo.trail_s and task.measured != VELOCITY.name:
        raise UsageError(f"algo.trail_s={list(algo.trail_s)}: nothing drives in {task.name}, give algo.trail_s=[]")
    frames = (algo.frame_stack, algo.frame_stride)
    return Memory(*frames, algo.averages_s, algo.trail_s, task.control_dt_s, simulation.num_worlds)


def _collect_frames(
    simulation: Simulation, model: PPO, config: TrainConfig, goggles: Goggles | None
) -> tuple[np.ndarray, np.ndarray]:
    """Real observations to compare the bundle on: stacked frames (F, K, H, W, 3), and what is measured (F, D)."""
    actor, memory = ModelActor(model, new_memory(config, simulation), goggles), new_memory(config, simulation)
    everywhere = np.ones(simulation.num_worlds, bool)
    simulation.reset(np.arange(simulation.num_worlds), np.array(episode_seeds(0, simulation.num_worlds, "test")))
    frames, measured = [], []
    for step in range(EXPORT_FRAMES // simulation.num_worlds):
        begun = everywhere if step == 0 else ~everywhere
        observation = simulation.observe()
        image = look_through(goggles, observation.image)
        seen, remembered = memory.push(image, observation.measured, begun)
        frames.append(seen)
        measured.append(remembered)
        simulation.step(actor.act(simulation, begun))
    return np.concatenate(frames), np.concatenate(measured)

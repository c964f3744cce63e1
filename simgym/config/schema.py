"""Every command's configuration, and the groups (`env=`, `domain=`, `goggles/method=`) that they choose from.

Plain frozen dataclasses that know nothing of Hydra; each field carries its meaning, unit and bounds (`option`).
Those of tasks and domains stand beside what they configure, in `simgym.envs`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.tasks import TASKS
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.envs.tasks.config import TaskConfig
from simgym.errors import UsageError

from .goggles import HYBRID, METHODS, GogglesMethod
from .option import Key, option, walk
from .sources import ASSUMED_FOV_DEG, PlaybackConfig, SourceConfig

MOST_WORLDS = 4096  # of one process


@dataclass(frozen=True, kw_only=True)
class PPOConfig:
    """Imitation, then proximal policy optimization (Stable-Baselines3); options are named after the task they suit."""

    name: str = option("ChairNav", "the task whose settings these are")
    total_steps: int = option(1_100_000, "steps over all worlds", low=1)
    num_envs: int = option(64, "worlds that are stepped together", low=1, high=MOST_WORLDS)
    n_steps: int = option(32, "steps a world between two updates", low=1)
    batch_size: int = option(512, "samples a gradient step", low=2)
    n_epochs: int = option(2, "passes over the samples of an update", low=1)
    learning_rate: float = option(1.1e-3, "step size of Adam at the start; falls linearly", low=0.0)
    ppo_learning_rate: float | None = option(
        None, "step size where PPO takes over, after imitation, and falls anew; by default it goes on falling", low=0.0
    )
    gamma: float = option(0.99, "discount of a step", low=0.0, high=1.0)
    gae_lambda: float = option(0.95, "trade-off of bias and variance in the advantage", low=0.0, high=1.0)
    ent_coef: float = option(0.0, "weight of the entropy bonus", low=0.0)
    clip_range: float = option(0.2, "how far an update may move the policy", low=0.0)
    target_kl: float | None = option(None, "an update of PPO stops early at 1.5 times this KL divergence", low=1e-4)
    log_std_init: float = option(-0.8, "logarithm of the standard deviation of actions at the start")
    channels: tuple[int, int, int] = option((16, 32, 32), "of the three convolutions", low=1)
    code_dim: int = option(192, "width of the picture's code", low=1)
    hidden_units: int = option(128, "width of the hidden layer of actor and critic", low=1)
    frame_stack: int = option(3, "frames that the policy sees at once", low=1, high=16)
    frame_stride: int = option(4, "control steps between two of these frames", low=1)
    averages_s: tuple[float, ...] = option(
        (2.0, 8.0), "time constants of averages of what is measured, seen as well", unit="s", low=0.01
    )
    trail_s: tuple[float, ...] = option(
        (4.0, 16.0, 64.0), "time constants of where a robot that drives was, seen as well", unit="s", low=0.01
    )
    imitation_steps: int = option(150_000, "steps that follow the expert before PPO takes over", low=0)
    imitation_batch_size: int | None = option(
        None, "samples a gradient step of imitation; by default batch_size", low=2
    )
    remembered: int = option(
        1, "rollouts that imitation learns from, the last ones since a checkpoint; all are in memory", low=1
    )
    guided: float = option(
        0.0,
        "share of the worlds that the expert itself drives at the start of imitation, none at its end",
        low=0.0,
        high=1.0,
    )
    mirrored: bool = option(False, "imitation learns from mirror images too, where the camera has them")
    ppo_mirrored: bool = option(False, "every other pass of PPO is over mirror images, where the camera has them")

    def __post_init__(self) -> None:
        if self.ppo_mirrored and self.n_epochs < 2:
            raise UsageError(f"algo.n_epochs={self.n_epochs}: algo.ppo_mirrored takes every other pass, so at least 2")
        if self.ppo_mirrored and self.target_kl is not None:
            raise UsageError(
                f"algo.target_kl={self.target_kl}: with algo.ppo_mirrored that ends an update wherever left and right "
                "differ; set algo.target_kl=null"
            )
        samples = self.num_envs * self.n_steps
        for name in ("batch_size", "imitation_batch_size"):
            size = getattr(self, name)
            if size is not None and not 2 <= size <= samples:
                raise UsageError(
                    f"algo.{name}={size}: must be at least 2 and at most the samples of an update, "
                    f"algo.num_envs={self.num_envs} * algo.n_steps={self.n_steps} = {samples}"
                )


GRASP = PPOConfig(
    name="Grasp",
    total_steps=2_800_000,
    n_steps=64,
    batch_size=2048,
    n_epochs=4,
    imitation_steps=400_000,
    imitation_batch_size=512,
    remembered=24,
    guided=0.6,
    mirrored=True,
    learning_rate=1e-3,
    ppo_learning_rate=1e-4,  # a hand of small scatter is soon another one
    target_kl=0.03,
    log_std_init=-2.0,  # a hand that trembles drops what it holds
    frame_stack=1,
    averages_s=(),
    trail_s=(),
    code_dim=256,
    hidden_units=256,
)

# Group -> name of an option -> its values. A field of a schema that is called like a group selects one of its options;
# of that field's default only the name counts. The group `a/b` is for the field `b` of the field `a`.
GROUPS: dict[str, dict[str, Any]] = {
    "env": {name: entry.load("config")() for name, entry in TASKS.items()},
    "domain": dict(DOMAINS),
    "algo": {"ChairNav": PPOConfig(), "Grasp": GRASP},
    "goggles/method": METHODS,
}


def group_of(key: str) -> str:
    """The group that a dotted key is of, if there is one of that name."""
    return key.replace(".", "/")


def key_of(group: str) -> str:
    """The dotted key that selects an option of a group."""
    return group.replace("/", ".")


def group_keys(schema: type) -> dict[str, Key]:
    """The groups that a schema uses, each with the key that selects from it."""
    return {group_of(key.name): key for key in walk(schema) if group_of(key.name) in GROUPS and key.is_node}


def group_defaults(schema: type) -> dict[str, str]:
    """The groups that a schema uses, each with the name of its default option."""
    return {group: key.default.name for group, key in group_keys(schema).items()}


OUT = "folder to write into; the default is runs/<command>/<env>/<time>"
SEED = "seed of every random number"
HIGHEST_SEED = 2**32 - 1  # as numpy takes them
POLICY = "a policy bundle (.onnx), or pretrained"
ACTOR = "a policy bundle (.onnx), or one of: pretrained, random, expert"
WITHOUT_CAMERA = ("random", "expert")
PERFECT = "perfect"  # goggles that never err
GOGGLES = "a goggles bundle (.onnx), or pretrained"
DEVICE = "where networks run; auto takes the GPU if there is one"


def _check_sight(policy: str, goggles: str | None) -> None:
    if goggles and policy in WITHOUT_CAMERA:
        raise UsageError(f"goggles={goggles}: policy={policy} sees no picture that they could change")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Training of a policy."""

    env: TaskConfig = option(ChairNavConfig, "the task")
    domain: DomainConfig = option(DomainConfig, "where it trains")
    goggles: str | None = option(None, f"what it sees through: {GOGGLES}")
    algo: PPOConfig = option(PPOConfig, "the learner")
    seed: int = option(1, SEED, low=0, high=HIGHEST_SEED)
    device: str = option("auto", DEVICE, choices=("auto", "cpu", "cuda"))
    eval_episodes: int = option(50, "episodes of an evaluation during training", low=1)
    final_episodes: int = option(200, "episodes of the last evaluation", low=1)
    checkpoint_every: int = option(100_000, "steps between two checkpoints, each with an evaluation", low=1)
    start: str | None = option(None, "run folder of another training, with whose weights this one begins")
    resume: str | None = option(None, "run folder of an interrupted training, to continue exactly")
    out: str | None = option(None, OUT)


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Headless evaluation of a policy."""

    policy: str = option(help=ACTOR)
    goggles: str | None = option(None, f"{GOGGLES}, or {PERFECT}: the simulator's own picture of the same moment")
    env: TaskConfig = option(ChairNavConfig, "the task")
    domain: DomainConfig = option(DomainConfig, "where it is measured")
    episodes: int = option(100, "episodes", low=1)
    num_envs: int = option(16, "worlds that are stepped together", low=1, high=MOST_WORLDS)
    seed: int = option(1, SEED, low=0, high=HIGHEST_SEED)
    split: str = option("test", "which layouts are drawn", choices=("train", "test"))
    video: bool = option(False, "also write videos of some episodes")
    over: str | None = option(
        None,
        "ros: pictures and commands travel over ROS 2, between processes, in one world whatever num_envs is",
        choices=("ros",),
    )
    out: str | None = option(None, OUT)

    def __post_init__(self) -> None:
        _check_sight(self.policy, self.goggles)
        if self.over and self.goggles == PERFECT:
            raise UsageError(f"over={self.over}: goggles={PERFECT} are no bundle that a node could run")


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Frames with labels, for training goggles or a student."""

    policy: str = option("expert", ACTOR)
    goggles: str | None = option(None, f"what the policy sees through while it drives: {GOGGLES}")
    env: TaskConfig = option(ChairNavConfig, "the task")
    domain: DomainConfig = option(DomainConfig, "where it is collected")
    frames: int = option(2000, "how many", low=1)
    stride: int = option(8, "frames are taken every so many control steps", low=1)
    run: int = option(2, "and then of so many steps in a row, so that neighbours can be compared", low=1)
    paired: bool = option(True, "also draw each frame in the canonical look")
    num_envs: int = option(16, "worlds that are stepped together", low=1, high=MOST_WORLDS)
    seed: int = option(1, SEED, low=0, high=HIGHEST_SEED)
    split: str = option("train", "which layouts are drawn", choices=("train", "test"))
    out: str | None = option(None, OUT)

    def __post_init__(self) -> None:
        if self.run > self.stride:
            raise UsageError(f"run={self.run}: must be at most stride={self.stride}")
        _check_sight(self.policy, self.goggles)
        if self.goggles == PERFECT:
            raise UsageError(f"goggles={PERFECT}: only simgym.evaluate has them; give a bundle, or pretrained")


@dataclass(frozen=True, kw_only=True)
class ApplyConfig:
    """Translation of recorded frames."""

    goggles: str = option(help=GOGGLES)
    source: str = option(help="a folder or glob of pictures, a video or a rosbag")
    env: TaskConfig = option(ChairNavConfig, "the task whose goggles=pretrained is meant")
    side_by_side: bool = option(False, "show what the goggles see beside what they give")
    frames: PlaybackConfig = option(PlaybackConfig, "which frames, and how their camera is known")
    out: str | None = option(None, OUT)


@dataclass(frozen=True, kw_only=True)
class PhotosConfig:
    """Steering agreement of a policy on real photographs."""

    policy: str = option(help=POLICY)
    rgb: str = option(help="folder of photographs; without masks=, one that simgym.collect wrote")
    masks: str | None = option(None, "folder of chair masks, one a photograph, of the same name")
    goggles: str | None = option(None, GOGGLES)
    env: ChairNavConfig = option(ChairNavConfig, "the task")
    camera: str | None = option(None, "camera_info YAML of the camera that took them; else horizontal_fov_deg")
    horizontal_fov_deg: float = option(
        ASSUMED_FOV_DEG, "assumed of the photographs, without camera=", unit="deg", low=1, high=170
    )
    out: str | None = option(None, OUT)

    def __post_init__(self) -> None:
        given, usual = (json.loads(json.dumps(asdict(env))) for env in (self.env, ChairNavConfig()))  # tuples as lists
        for name, value in given.items():
            if value != usual[name]:
                raise UsageError(
                    f"env.{name}={value} does nothing to photographs, and what a policy commands is in its bundle: "
                    "leave it out"
                )
        if self.masks is None and self.horizontal_fov_deg != ASSUMED_FOV_DEG:
            raise UsageError(
                "horizontal_fov_deg does nothing to collected frames, which know their camera: leave it out"
            )


@dataclass(frozen=True, kw_only=True)
class PreviewConfig:
    """A picture grid of draws."""

    env: TaskConfig = option(ChairNavConfig, "the task")
    domain: DomainConfig = option(DomainConfig, "where it is drawn")
    split: str = option("train", "which layouts are drawn", choices=("train", "test"))
    rows: int = option(4, "rows of the grid", low=1, high=32)
    columns: int = option(6, "columns of the grid", low=1, high=32)
    seed: int = option(1, SEED, low=0, high=HIGHEST_SEED)
    out: str | None = option(None, OUT)


@dataclass(frozen=True, kw_only=True)
class GogglesChoice:
    """What goggles are."""

    method: GogglesMethod = option(HYBRID, "what they learn from")


@dataclass(frozen=True, kw_only=True)
class GogglesTrainConfig:
    """Training of goggles."""

    sim: str | None = option(None, "frames in the canonical look, with labels: a source")
    real: str | None = option(None, "frames to translate, of the place: a source")
    pairs: str | None = option(None, "frames in other looks, each with its canonical twin and labels: a source")
    marked: str | None = option(
        None, "a few real frames whose chairs are marked: a folder with rgb/ and chair_mask/, 255 is chair"
    )
    frames: SourceConfig = option(SourceConfig, "which frames of real=, and how its and marked='s camera is known")
    env: TaskConfig = option(ChairNavConfig, "the task whose camera the goggles are for")
    goggles: GogglesChoice = option(GogglesChoice, "the goggles")
    generator: str = option("unet", "the network that translates", choices=("unet", "deep", "mobile", "resnet9"))
    steps: int = option(8000, "gradient steps", low=1)
    batch_size: int = option(16, "frames of each source a step and process", low=1)
    crop: float = option(1.0, "edge of the crops to learn from, as a share of the picture's", low=0.1, high=1.0)
    mirrored: bool = option(
        True, "learn from mirror images too; not where shades tell left from right, as on an arm that hardly turns"
    )
    segmentation_steps: int = option(
        1500, "gradient steps of the segmentation network, beforehand; without it no semantic terms, no KID", low=0
    )
    checkpoint_every: int = option(1000, "steps between two checkpoints", low=1)
    log_every: int = option(50, "steps between two rows of numbers in TensorBoard", low=1)
    pictures_every: int = option(500, "steps between two sheets of pictures in TensorBoard", low=1)
    seed: int = option(1, SEED, low=0, high=HIGHEST_SEED)
    device: str = option("auto", DEVICE, choices=("auto", "cpu", "cuda"))
    devices: int = option(1, "processes that share the work, each with a device of its own", low=1)
    quantized: bool = option(
        True, "export with 8-bit integers, which CPUs like, where the pictures stay the same; GPUs like floats better"
    )
    precision: str = option("32-true", "of arithmetic", choices=("32-true", "bf16-mixed"))
    start: str | None = option(
        None,
        f"run of another training with whose generator this one begins, or {GOGGLES}; generator= as it has, or deeper",
    )
    resume: str | None = option(None, "run folder of an interrupted training, to continue exactly")
    out: str | None = option(None, OUT)

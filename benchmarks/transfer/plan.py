"""What the transfer table is made of: rows, settings, and the pieces that fill them in."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simgym.config.compose import compose_config, expand
from simgym.config.goggles import METHODS, NetworkMethod
from simgym.config.schema import CollectConfig, EvaluateConfig, GogglesTrainConfig, PhotosConfig
from simgym.envs.config import DOMAINS, LIFELIKE, RANDOMIZED, DomainConfig
from simgym.envs.tasks import TASKS
from simgym.policies.collection import fresh_frames
from simgym.shipped import PRETRAINED, bundle_path

from .frames import MEASURES, MeasureConfig
from .motion import MOTION, MotionConfig
from .pieces import Piece

SIM, SAME, NEW, PHOTOS = "sim", "same_place", "new_places", "photographs"
HALVES = {
    SIM: "In simulation: what each policy does where nothing has to be translated",
    SAME: "Same place: goggles trained on frames of the place, judged in its other rooms and lights",
    NEW: "New places: goggles trained on frames of many places, judged in places never seen",
}
GENERATORS = ("unet", "deep", "mobile", "resnet9")
TEST_SEED = 41001  # of what is judged
DRIVES_FROM = 8  # test frames: for so many there is one drive
USUAL = GogglesTrainConfig()
# Pairs that teach much, as docs/goggles.md has them: colours that occur, and what hangs on walls and lies on floors.
LIVED_IN = replace(
    RANDOMIZED,
    randomization=replace(
        RANDOMIZED.randomization,
        look=replace(
            RANDOMIZED.randomization.look,
            **{
                name: getattr(LIFELIKE.randomization.look, name)
                for name in ("natural_probability", "brightness", "ambient", "texture_probability")
            },
        ),
        clutter=replace(
            RANDOMIZED.randomization.clutter, doors=(0, 2), windows=(0, 3), pictures=(0, 6), rugs=(0, 2), cables=(0, 2)
        ),
    ),
)


@dataclass(frozen=True)
class Row:
    """Who drives behind what.

    Args:
        name: of the row.
        policy: ``canonical``, ``randomized``, ``adr`` or ``expert``.
        goggles: name of what is trained; None is without.
        words: for `simgym.goggles.train`, that make these goggles what they are.
    """

    name: str
    policy: str = "canonical"
    goggles: str | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """Where goggles are trained and judged.

    Args:
        name: of the setting.
        half: of the table.
        domain: where episodes are driven.
        frames: to train on; None where no goggles are worn.
        test_frames: to measure on.
        motion: drives to measure flicker on.
    """

    name: str
    half: str
    domain: DomainConfig
    frames: Piece | None = None
    test_frames: Piece | None = None
    motion: Piece | None = None


@dataclass(frozen=True)
class Options:
    """What a user may choose; see ``--help``."""

    out: Path
    env: str = "ChairNav"
    places: tuple[int, ...] = (0, 2, 4)
    frames: int = 4000
    test_frames: int = 200
    episodes: int = 500
    seed: int = 1
    driver: str = "expert"
    policies: dict[str, Path] = field(default_factory=dict)  # randomized, adr
    photos: Path | None = None
    real: str | None = None
    words: tuple[str, ...] = ()  # for simgym.goggles.train: key=value of all, or goggles:key=value


@dataclass(frozen=True)
class Cell:
    """A row in a setting, and what is measured there."""

    row: Row
    setting: Setting
    evaluation: Piece
    training: Piece | None
    measures: Piece | None


@dataclass(frozen=True)
class Plan:
    """All there is to make."""

    cells: tuple[Cell, ...]
    photographs: dict[str, Piece]  # by row


def all_rows(policies: Sequence[str]) -> list[Row]:
    """Every row, in the order of the table; those of other policies only where there are such policies."""
    usual, generator = USUAL.goggles.method, USUAL.generator
    methods = [Row(name, goggles=name, words=(f"goggles/method={name}",)) for name in METHODS]
    # Without the shift loss vr_goggles is cycada, and without real frames hybrid is rcan: these have rows.
    ablations = {"vr_goggles_no_semantic": ("goggles/method=vr_goggles", "goggles.method.semantic=0")} | {
        f"{usual.name}_{other}": (f"goggles/method={usual.name}", f"generator={other}")
        for other in GENERATORS
        if other != generator
    }
    changed = [Row(name, goggles=name, words=words) for name, words in ablations.items()]
    others = [Row(name, policy=name) for name in ("randomized", "adr") if name in policies]
    behind = [
        replace(row, name=f"{row.name}+{usual.name}", goggles=usual.name) for row in others if row.name == "randomized"
    ]
    return [Row("none"), *methods, *changed, *others, *behind, Row("expert", policy="expert")]


def make_plan(options: Options, rows: Sequence[Row], halves: Sequence[str] = tuple(HALVES)) -> Plan:
    """The pieces of these rows in these halves.

    Raises:
        UsageError: ``options.words`` are none that `simgym.goggles.train` takes.
    """
    maker = _Maker(options)
    cells = [
        maker.cell(row, setting)
        for setting in maker.settings()
        if setting.half in halves
        for row in rows
        if row.goggles is None or setting.frames is not None
    ]
    photos = options.photos if options.env == "ChairNav" else None
    judged = {row.name: maker.photographs(row, photos) for row in rows if photos and row.policy != "expert"}
    return Plan(tuple(cells), judged)


class _Maker:
    """Turns rows and settings into pieces."""

    def __init__(self, options: Options) -> None:
        self.options, self._env = options, TASKS[options.env].load("config")()
        self._goggles = {
            row.goggles: _compose((f"env={options.env}", *row.words, *_own(row, options)))
            for row in all_rows(())
            if row.goggles
        }
        self._sim = self._collect("sim", DOMAINS["sim"], paired=False)
        self._pairs = self._collect("randomized", LIVED_IN, paired=True)

    def settings(self) -> list[Setting]:
        """The three halves; the second one is several places."""
        same = [self._standin(f"place_{place}", SAME, place) for place in self.options.places]
        return [Setting("sim", SIM, DOMAINS["sim"]), *same, self._standin("places", NEW, None)]

    def cell(self, row: Row, setting: Setting) -> Cell:
        """A row in a setting."""
        training = self._train(row, setting.frames, setting.name) if setting.frames else None
        measures = None
        if setting.test_frames and setting.motion and row.policy == "canonical":
            measures = self._measure(row, setting, setting.test_frames, setting.motion, training)
        return Cell(row, setting, self._evaluate(row, setting, training), training, measures)

    def photographs(self, row: Row, photos: Path) -> Piece:
        """Goggles trained on ``real``, or else on many places, on photographs with masks."""
        real = self.options.real
        frames = None if real else self._standin("places", NEW, None).frames
        training = self._train(row, frames, PHOTOS if real else "places")
        folder = self.options.out / "photographs" / row.name
        rgb, masks = (str((photos / name).resolve()) for name in ("rgb", "chair_mask"))
        policy, files = self._policy(row)
        config = PhotosConfig(policy=policy, rgb=rgb, masks=masks, goggles=_bundle(training), out=str(folder))
        needs = (training,) if training else ()
        return Piece(folder, "simgym.evaluate_photos", config, "photos.json", needs, files)

    def _standin(self, name: str, half: str, place: int | None) -> Setting:
        domain = replace(DOMAINS["standin"], place=place)
        taught = self._collect(name, domain, paired=False, driver=self.options.driver)
        shown = self._collect(f"{name}_test", domain, paired=True, split="test")
        return Setting(name, half, domain, taught, shown, self._record(name, domain))

    def _record(self, name: str, domain: DomainConfig) -> Piece:
        folder = self.options.out / "frames" / f"{name}_motion"
        drives = math.ceil(self.options.test_frames / DRIVES_FROM)
        config = MotionConfig(
            env=self._env, domain=fresh_frames(domain), drives=drives, seed=TEST_SEED, split="test", out=str(folder)
        )
        return Piece(folder, "benchmarks.transfer.motion", config, MOTION)

    def _collect(
        self, name: str, domain: DomainConfig, paired: bool, split: str = "train", driver: str = "expert"
    ) -> Piece:
        test, folder = split == "test", self.options.out / "frames" / name
        config = CollectConfig(
            policy=driver,
            env=self._env,
            domain=fresh_frames(domain),
            frames=self.options.test_frames if test else self.options.frames,
            paired=paired,
            seed=TEST_SEED if test else self.options.seed,
            split=split,
            out=str(folder),
        )
        return Piece(folder, "simgym.collect", config, "frames.csv")

    def _train(self, row: Row, frames: Piece | None, setting: str) -> Piece | None:
        """The goggles of a row; those that learn from pairs alone are the same in every setting."""
        if row.goggles is None:
            return None
        config = self._goggles[row.goggles]
        method = config.goggles.method
        alone = isinstance(method, NetworkMethod) and not method.real_needed
        real = None if alone else (str(frames.folder) if frames else self.options.real)
        folder = self.options.out / "goggles" / f"{row.goggles}-{'pairs' if alone else setting}"
        config = replace(
            config,
            sim=str(self._sim.folder),
            pairs=str(self._pairs.folder),
            real=real,
            seed=self.options.seed,
            out=str(folder),
        )
        needs = (self._sim, self._pairs, *((frames,) if frames and not alone else ()))
        return Piece(folder, "simgym.goggles.train", config, "metrics.json", needs)

    def _evaluate(self, row: Row, setting: Setting, training: Piece | None) -> Piece:
        folder = self.options.out / "evaluations" / f"{row.name}-{setting.name}"
        policy, files = self._policy(row)
        shares = len(self.options.places) if setting.half == SAME else 1
        config = EvaluateConfig(
            policy=policy,
            goggles=_bundle(training),
            env=self._env,
            domain=setting.domain,
            episodes=math.ceil(self.options.episodes / shares),
            seed=TEST_SEED,
            split="test",
            out=str(folder),
        )
        return Piece(folder, "simgym.evaluate", config, "eval.json", (training,) if training else (), files)

    def _measure(self, row: Row, setting: Setting, frames: Piece, motion: Piece, training: Piece | None) -> Piece:
        folder = self.options.out / "measures" / f"{row.name}-{setting.name}"
        config = MeasureConfig(
            task=self.options.env,
            goggles=_bundle(training),
            frames=str(frames.folder),
            motion=str(motion.path),
            out=str(folder),
        )
        needs = (frames, motion, *((training,) if training else ()))
        return Piece(folder, "benchmarks.transfer.frames", config, MEASURES, needs)

    def _policy(self, row: Row) -> tuple[str, tuple[Path, ...]]:
        """The ``policy=`` of a row and the file behind it."""
        if row.policy == "expert":
            return "expert", ()
        if row.policy == "canonical":
            return PRETRAINED, (bundle_path(PRETRAINED, "policy", self.options.env),)
        path = self.options.policies[row.policy].resolve()
        return str(path), (path,)


@functools.cache
def _compose(words: tuple[str, ...]) -> GogglesTrainConfig:
    (job,) = expand(GogglesTrainConfig, words, sweep=False)
    return compose_config(GogglesTrainConfig, job)


def _own(row: Row, options: Options) -> list[str]:
    """The user's words for all goggles, then those for this row's alone."""
    scoped = [word.partition(":") for word in options.words]
    names = {other.goggles for other in all_rows(())}
    common = [word for word, (name, _, _) in zip(options.words, scoped, strict=True) if name not in names]
    return common + [word for name, _, word in scoped if name == row.goggles]


def _bundle(training: Piece | None) -> str | None:
    return str(training.folder / "goggles.onnx") if training else None

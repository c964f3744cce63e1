"""`python -m simgym.collect`: frames, labels and canonical twins."""

from __future__ import annotations

import csv
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import simgym.collect as collect
from simgym.config.command import run_command
from simgym.config.schema import CollectConfig
from simgym.deploy import Camera
from simgym.envs.config import DOMAINS, DomainConfig
from simgym.envs.scene import Semantic
from simgym.envs.simulation import Simulation
from simgym.envs.tasks.chair_nav.config import ChairNavConfig
from simgym.goggles.sources import SourceConfig, read_frames
from simgym.policies.collection import collect as collect_frames

CAMERA = Camera.from_fov(80, 60, np.radians(69.0))


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(out: str, *words: str, code: int = 0) -> Path:
    assert run_command(CollectConfig, collect.main, [f"out={out}", "frames=12", "num_envs=2", *words]) == code
    return Path(out)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "frames.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def picture(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    image = cv2.imread(str(path), flags)
    assert image is not None
    return image[..., ::-1] if image.ndim == 3 else image


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the configuration, which says how many worlds there were."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name != "config.yaml"}


def test_what_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("a", "domain=randomized")
    names = ["camera_info.yaml", "canonical", "config.yaml", "frames.csv", "rgb", "segmentation"]
    assert sorted(path.name for path in folder.iterdir()) == names
    rows = rows_of(folder)
    assert len(rows) == 12
    assert [row["frame"] for row in rows] == sorted(row["frame"] for row in rows)
    for name in ("rgb", "segmentation", "canonical"):
        assert sorted(path.name for path in (folder / name).iterdir()) == [row["frame"] for row in rows]
    assert all(int(row["step"]) % 8 < 2 for row in rows)
    assert [float(row["time_s"]) for row in rows] == pytest.approx([int(row["step"]) / 5 for row in rows])
    assert [name for name in rows[0] if name.startswith(("velocity", "action", "expert", "distance"))] == [
        *("velocity_0_m_s", "velocity_1_rad_s", "action_0", "action_1", "expert_0", "expert_1", "distance_to_goal")
    ]
    assert all(row["action_0"] == row["expert_0"] for row in rows)  # the expert acts
    segmentation = picture(folder / "segmentation" / rows[0]["frame"], cv2.IMREAD_UNCHANGED)
    assert segmentation.shape == (60, 80) and set(np.unique(segmentation)) <= set(Semantic)
    said = capsys.readouterr().out
    assert said.startswith("12 frames of ") and said.endswith("wrote rgb, segmentation, canonical, frames.csv in a\n")


def test_a_seed_gives_the_same_frames_whatever_the_number_of_worlds() -> None:
    words = ("domain=randomized", "policy=random", "frames=30", "stride=20")
    two, five = contents(run("a", *words)), contents(run("b", *words, "num_envs=5"))
    assert two == five
    assert len({row["episode"] for row in rows_of(Path("a"))}) > 2  # short episodes passed long ones
    assert contents(run("c", *words, "seed=2")) != two


def test_collected_frames_are_a_source() -> None:
    frames, report = read_frames(str(run("a", "domain=randomized")), SourceConfig(min_change=0.0), CAMERA, minimum=12)
    assert frames.rgb.shape == (12, 60, 80, 3) and report.kinds == ["collected"]
    assert frames.segmentation is not None and frames.canonical is not None
    same_episode = frames.sequence[1:] == frames.sequence[:-1]
    gaps_s = np.diff(frames.stamp_s)[same_episode]
    assert np.isclose(gaps_s, 0.2).any() and gaps_s.min() > 0  # neighbours are there


def test_in_sim_the_twin_is_the_frame_itself() -> None:
    folder = run("a", "domain=sim")
    for row in rows_of(folder):
        rgb, twin = (picture(folder / name / row["frame"]) for name in ("rgb", "canonical"))
        np.testing.assert_array_equal(rgb, twin)


def twin_pair(domain: DomainConfig) -> tuple[np.ndarray, np.ndarray]:
    """Semantic classes of several worlds as the domain's renderer and as the twin has them, each (n, H, W)."""
    with closing(Simulation(ChairNavConfig(), domain, 6, twin=True)) as simulation:
        simulation.reset(np.arange(6), np.arange(6) * 2)
        for _ in range(5):
            simulation.step(simulation.expert_action())
        shown = simulation.observe().segmentation[..., 0].copy()
        return shown, simulation.canonical().segmentation[..., 0].copy()


def cluttered(name: str, **counts: int) -> DomainConfig:
    """A domain with exactly so many of some kinds of clutter."""
    domain = DOMAINS[name]
    ranges: dict[str, Any] = {kind: (count, count) for kind, count in counts.items()}
    clutter = replace(domain.randomization.clutter, **ranges)
    return replace(domain, randomization=replace(domain.randomization, clutter=clutter))


@pytest.mark.parametrize(
    ("domain", "share"),
    [(cluttered("randomized", wall_items=12), 1.0), (cluttered("standin", pictures=8), 0.98)],
    ids=["randomized", "standin"],
)
def test_a_twin_shows_the_same_things_at_the_same_pixels(domain: DomainConfig, share: float) -> None:
    """Whatever the mount and the focal length; but for edges, where another renderer rounds differently."""
    shown, twin = twin_pair(domain)
    plain = shown != Semantic.WALL_ITEM
    assert (shown[plain] == twin[plain]).mean() >= share
    assert (~plain).sum() > 100 and set(np.unique(twin[~plain])) <= {Semantic.WALL, Semantic.CEILING, Semantic.FLOOR}


def test_a_twin_has_the_mount_of_its_frame() -> None:
    """A camera that looks down sees more of the floor, and so does its twin."""
    domain = DOMAINS["randomized"]
    look = replace(domain.randomization.look, camera_pitch_deg=(10.0, 10.0), focal_scale=(1.2, 1.2))
    shown, twin = twin_pair(replace(domain, randomization=replace(domain.randomization, look=look)))
    nominal = twin_pair(DOMAINS["randomized"])[1]
    floor = [float((classes == Semantic.FLOOR).mean()) for classes in (shown, twin, nominal)]
    assert floor[0] == floor[1] > floor[2] + 0.03


def test_rugs_and_cables_vanish_into_the_floor() -> None:
    domain = replace(cluttered("standin", rugs=4, cables=4), renderer="raster")
    with closing(Simulation(ChairNavConfig(), domain, 6, twin=True)) as simulation:
        simulation.reset(np.arange(6), np.arange(6) * 2)
        bodies = simulation.observe().segmentation[..., 1]
        names = [body.name for body in simulation.task.scene.all_bodies]
        flat = np.isin(bodies, [i for i, name in enumerate(names) if name.startswith(("rugs", "cables"))])
        assert flat.sum() > 1000
        twin = simulation.canonical()
        # Not all: a rug hides the lowest millimetres of what stands on it.
        assert (twin.segmentation[flat][:, 0] == Semantic.FLOOR).mean() > 0.99
        colours, counts = np.unique(twin.rgb[flat], axis=0, return_counts=True)
        assert counts.max() / counts.sum() > 0.99  # the floor's


def test_without_a_twin_there_is_none() -> None:
    with closing(Simulation(ChairNavConfig(), DomainConfig())) as simulation:
        with pytest.raises(ValueError, match="twin=True"):
            simulation.canonical()


def test_a_policy_may_drive_behind_goggles_and_frames_stay_bare() -> None:
    """Where it sees through goggles it acts otherwise; what is kept is what the camera saw."""
    words = ("domain=standin", "policy=pretrained", "frames=4", "num_envs=1", "paired=false")
    bare, worn = run("bare", *words), run("worn", *words, "goggles=pretrained")
    first = [picture(folder / "rgb" / rows_of(folder)[0]["frame"]) for folder in (bare, worn)]
    np.testing.assert_array_equal(first[0], first[1])
    acted = [(rows_of(folder)[0]["action_0"], rows_of(folder)[0]["action_1"]) for folder in (bare, worn)]
    assert acted[0] != acted[1]


def test_unpaired_and_in_another_task() -> None:
    folder = run("a", "env=Grasp", "paired=false", "policy=random", "frames=4")
    assert not (folder / "canonical").exists()
    row = rows_of(folder)[0]
    assert [name for name in row if name.startswith("proprio")] == [
        *("proprio_0_m", "proprio_1_m", "proprio_2_m", "proprio_3_rad", "proprio_4_m")
    ]
    assert {f"action_{i}" for i in range(5)} <= set(row)
    labels = [picture(path, cv2.IMREAD_UNCHANGED) for path in (folder / "segmentation").iterdir()]
    assert {Semantic.TABLE, Semantic.ROBOT} <= set(np.unique(labels))


def test_the_camera_delivers_fresh_frames() -> None:
    folder = run("a", "domain=standin", "frames=4")
    config = (folder / "config.yaml").read_text()
    for name in ("dropped", "stalled", "latency_steps"):
        assert f"    {name}:\n    - 0\n    - 0\n" in config


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("run=9",), 2, "run=9: must be at most stride=8"),
        (("frames=0",), 2, "frames=0: must be at least 1"),
        (("domain.flaws.latency_steps=[2,2]",), 2, "labels fit fresh frames only"),
        (("policy=missing.onnx",), 1, "no bundle at missing.onnx"),
        (("policy=pretrained", "goggles=perfect"), 2, "goggles=perfect: only simgym.evaluate has them"),
        (("goggles=pretrained",), 2, "goggles=pretrained: policy=expert sees no picture that they could change"),
        (("policy=pretrained", "goggles=missing.onnx"), 1, "no bundle at missing.onnx"),
    ],
)
def test_refusals_leave_nothing_behind(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("a", *words, code=code)
    assert message in capsys.readouterr().err
    assert not Path("a").exists()


class Interrupting:
    """An actor whose user presses Ctrl-C after some steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def act(self, simulation: Simulation, begun: np.ndarray) -> np.ndarray:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return simulation.expert_action()


def test_an_interruption_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Simulation(ChairNavConfig(), DomainConfig(), 2, twin=True)) as simulation:
        with pytest.raises(KeyboardInterrupt):
            collect_frames(simulation, Interrupting(5), tmp_path, 1000, 1, progress=False)
        assert list(tmp_path.iterdir()) == []

    def make(*arguments: Any) -> Interrupting:
        return Interrupting(5)

    monkeypatch.setattr("simgym.policies.actors.make_actor", make)
    run("a", "frames=1000", code=130)
    assert not Path("a").exists()


def test_a_picture_that_cannot_be_written_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("simgym.policies.collection._write_png", full)
    run("a", code=1)
    assert not Path("a").exists()

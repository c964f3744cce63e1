"""The command layer: what users type, what they get back."""

from __future__ import annotations

import errno
import sys
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simgym.config.command import run_command
from simgym.config.compose import load_config
from simgym.config.goggles import ColorMethod, NetworkMethod
from simgym.config.option import check, option, span
from simgym.config.run_dir import run_folder, start_run
from simgym.config.schema import (
    ChairNavConfig,
    DomainConfig,
    GogglesChoice,
    GogglesTrainConfig,
    PhotosConfig,
    PPOConfig,
    TrainConfig,
)
from simgym.errors import BundleError, UsageError, UserError


@dataclass(frozen=True)
class ToyClock:
    """A nested configuration."""

    ticks: int = option(3, "how often it ticks")
    window: tuple[int, int] = option((1, 2), "first and last tick")


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """A command with a required key, a group of each kind and a nested configuration."""

    policy: str = option(help="a policy bundle")
    env: ChairNavConfig = option(ChairNavConfig, "the task")
    domain: DomainConfig = option(DomainConfig, "where")
    goggles: GogglesChoice = option(GogglesChoice, "a group below a key")
    clock: ToyClock = option(ToyClock, "when")
    speed_mps: float = option(0.5, "top speed", unit="m/s", low=0.0, high=2.0)
    mass_scale: tuple[float, float] = span((0.9, 1.1), "mass", low=0.1)
    steps: int = option(1000, "steps", low=1)
    mode: str = option("walk", "how to move", choices=("walk", "run"))
    video: bool = option(False, "also write a video")
    camera: str | None = option(None, "a camera")
    out: str | None = option(None, "where to write")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, main=None) -> tuple[int, list[ToyConfig]]:
    """The exit code of a toy command and the configurations that it ran with."""
    seen: list[ToyConfig] = []

    def toy(config: ToyConfig) -> None:
        seen.append(config)
        if main:
            main(config)

    return run_command(ToyConfig, toy, words), seen


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_values_are_typed_and_frozen() -> None:
    code, (config,) = run(
        "policy=a.onnx", "speed_mps=1", "steps=1e4", "mass_scale=[1,2]", "clock.window=[4,5]", "video=true"
    )
    assert code == 0
    assert (config.speed_mps, config.steps, config.video) == (1.0, 10_000, True)
    assert isinstance(config.speed_mps, float) and isinstance(config.steps, int)
    assert config.mass_scale == (1.0, 2.0) and config.clock.window == (4, 5)
    with pytest.raises(FrozenInstanceError):
        config.steps = 5  # type: ignore[misc]


def test_groups_are_chosen_and_overridden() -> None:
    _, (config,) = run(
        "policy=a", "domain=randomized", "env.robot=my.urdf", "domain.randomization.dynamics.mass_scale=[1,1]"
    )
    assert config.domain.name == "randomized" and config.domain.randomization.enabled
    assert config.domain.randomization.dynamics.mass_scale == (1.0, 1.0)
    assert config.env.robot == "my.urdf"


def test_a_group_below_a_key_is_chosen_by_its_path() -> None:
    _, (config,) = run("policy=a", "goggles.method.shift=7", "goggles/method=vr_goggles")
    method = config.goggles.method
    assert isinstance(method, NetworkMethod)
    assert (method.name, method.shift, method.cycle) == ("vr_goggles", 7.0, 10.0)
    _, (config,) = run("policy=a", "goggles/method=color", "goggles.method.space=rgb")
    assert config.goggles.method == ColorMethod(space="rgb")


def test_a_group_below_a_key_comes_back_from_a_run_folder(tmp_path: Path) -> None:
    _, (config,) = run("policy=a", "goggles/method=cycada", "goggles.method.important=[box]", f"out={tmp_path / 'x'}")
    start_run(config)
    assert load_config(ToyConfig, tmp_path / "x" / "config.yaml") == config


def test_a_run_folder_that_cannot_be_written_to_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    _, (config,) = run("policy=a", f"out={tmp_path / 'x'}")
    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(OSError, match="No space left"):
        start_run(config)
    assert not list(tmp_path.iterdir())


@dataclass(frozen=True, kw_only=True)
class PlainConfig:
    """A command where a key is what is a group elsewhere."""

    goggles: str | None = option(None, "a bundle")


def test_one_command_s_groups_are_not_another_s() -> None:
    assert run("policy=a", "goggles/method=rcan")[0] == 0
    seen: list[PlainConfig] = []
    assert run_command(PlainConfig, lambda config: seen.append(config), ["goggles=x.onnx"]) == 0
    assert seen == [PlainConfig(goggles="x.onnx")]


def test_an_override_counts_wherever_it_stands() -> None:
    _, (config,) = run("policy=a", "domain.randomization.enabled=false", "domain=randomized")
    assert config.domain.look == "randomized" and not config.domain.randomization.enabled


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("spede_mps=1", "unknown key 'spede_mps'; did you mean 'speed_mps'?"),
        ("robot=x", "unknown key 'robot'; did you mean 'env.robot'?"),
        ("env.robto=x", "unknown key 'env.robto'; did you mean 'env.robot'?"),
        ("hydra.run.dir=x", "unknown key 'hydra.run.dir'"),
        ("+extra=1", "cannot be added"),
        ("~camera", "cannot be added or deleted"),
        ("nonsense", "'nonsense' is not of the form key=value"),
        ("--nonsense", "unrecognized arguments: --nonsense"),
        ("steps=many", "steps=many: expected a whole number"),
        ("steps=1.5", "steps=1.5: expected a whole number"),
        ("steps=0", "steps=0: must be at least 1"),
        ("speed_mps=9", "speed_mps=9.0: must be at most 2.0 m/s"),
        ("speed_mps=nan", "speed_mps=nan: must be a finite number"),
        ("env.reward.time=-inf", "env.reward.time=-inf: must be a finite number"),
        ("mass_scale=[1,inf]", "must be a finite number"),
        ("speed_mps=fast", "expected a number"),
        ("video=maybe", "video=maybe: expected true or false"),
        ("mode=fly", "mode=fly: choose from walk, run"),
        ("mass_scale=[2,1]", "must not exceed"),
        ("mass_scale=[1]", "expected 2 values in brackets, each a number"),
        ("mass_scale=1", "expected 2 values in brackets, each a number"),
        ("clock.window=[1,x]", "expected 2 values in brackets, each a whole number"),
        ("clock=3", "clock is a group of keys"),
        ("env=ChairNv", "env=ChairNv: no such env (choose from ChairNav, Grasp); did you mean 'ChairNav'?"),
        ("env=false", "env=false: no such env (choose from ChairNav, Grasp)"),
        ("env.name=Other", "choose with env=Other"),
        ("goggles/method=rcna", "no such goggles/method"),
        ("goggles/metho=rcan", "unknown key 'goggles/metho'; did you mean 'goggles/method'?"),
        ("goggles.method=rcan", "goggles.method cannot be set: choose with goggles/method=rcan"),
        ("goggles.method.name=rcan", "choose with goggles/method=rcan"),
        ("goggles=rcan", "goggles is a group of keys: set one of them, such as goggles/method=..."),
        ("goggles.method.important=[chair,chare]", "goggles.method.important=chare: choose from void"),
        ("steps=1,2", "add -m to run each"),
        ("steps=[1", "steps=[1"),
        ("camera=a(b).yaml", "quotes"),
        ("camera=${nowhere}", "nowhere"),
        ("--config-dir=nowhere", "no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(word: str, expected: str, capsys, in_empty_folder: Path) -> None:
    code, seen = run("policy=a", word)
    line = error_line(capsys)
    assert (code, seen) == (2, [])
    assert expected in line and "--help" in line
    assert not list(in_empty_folder.iterdir())


def test_a_required_key_is_asked_for(capsys) -> None:
    assert run()[0] == 2
    assert "policy= is required: a policy bundle" in error_line(capsys)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=12), st.sampled_from(["", "steps=", "env=", "mass_scale=", "camera="]))
def test_no_word_gives_a_traceback(text: str, prefix: str) -> None:
    assert run("policy=a", prefix + text)[0] in (0, 2)


def disk_full(config: ToyConfig) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "policy.onnx")


def no_bundle(config: ToyConfig) -> None:
    raise BundleError("policy.onnx is for\nanother camera")


def no_package(config: ToyConfig) -> None:
    raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")


def ctrl_c(config: ToyConfig) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("failure", "code", "expected"),
    [
        (disk_full, 1, "No space left on device: policy.onnx"),
        (lambda config: Path("missing.png").read_bytes(), 1, "No such file or directory: missing.png"),
        (no_bundle, 1, "policy.onnx is for another camera"),
        (no_package, 1, "needs the package 'mujoco': pip install"),
        (ctrl_c, 130, "interrupted"),
    ],
)
def test_an_expected_failure_is_one_line(failure, code: int, expected: str, capsys) -> None:
    assert run("policy=a", main=failure)[0] == code
    assert expected in error_line(capsys)


def test_our_own_mistakes_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run("policy=a", main=lambda config: 1 / 0)


def test_an_exit_code_of_main_is_kept() -> None:
    assert run_command(ToyConfig, lambda config: 3, ["policy=a"]) == 3


def test_a_sweep_runs_every_combination_in_its_own_folder() -> None:
    code, configs = run("policy=a", "-m", "steps=1,2", "domain=sim,randomized")
    assert code == 0
    assert [(c.steps, c.domain.name) for c in configs] == [(1, "sim"), (1, "randomized"), (2, "sim"), (2, "randomized")]
    outs = [Path(config.out or "") for config in configs]
    assert [out.name for out in outs] == ["0", "1", "2", "3"] and len({out.parent for out in outs}) == 1


def test_a_range_is_swept() -> None:
    _, configs = run("policy=a", "--multirun", "steps=range(1,4)", "out=here")
    assert [(config.steps, config.out) for config in configs] == [(1, "here/0"), (2, "here/1"), (3, "here/2")]


def test_a_sweep_is_checked_before_its_first_job(capsys) -> None:
    code, configs = run("policy=a", "-m", "steps=5,0")
    assert (code, configs) == (2, [])
    assert "steps=0: must be at least 1" in error_line(capsys)


def test_a_failed_job_does_not_stop_a_sweep(capsys) -> None:
    def fail_first(config: ToyConfig) -> None:
        if config.steps == 1:
            raise UserError("no luck")

    code, configs = run("policy=a", "-m", "steps=1,2", main=fail_first)
    assert code == 1 and len(configs) == 2
    assert "no luck" in error_line(capsys)


def test_help_teaches_every_key(capsys) -> None:
    code, seen = run("--help")
    text = capsys.readouterr().out
    assert (code, seen) == (0, [])
    assert (__doc__ or "").strip() in text
    rows = {
        line.split("  ")[1].split("=")[0]: line for line in text.splitlines() if line.startswith("  ") and "=" in line
    }
    assert "top speed (m/s, 0..2)" in rows["speed_mps"] and "=0.5" in rows["speed_mps"]
    assert "(required)" in rows["policy"]
    assert "how to move (walk | run)" in rows["mode"]
    assert "how often it ticks" in rows["clock.ticks"] and "=[1,2]" in rows["clock.window"]
    assert "choose from sim, randomized" in rows["domain"]


def test_help_is_of_what_the_other_words_choose(capsys) -> None:
    def lines(schema: type, *words: str) -> set[str]:
        run_command(schema, main=lambda config: None, argv=[*words, "--help"])
        return {line.split("  ")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}

    usual, grasp = lines(TrainConfig), lines(TrainConfig, "env=Grasp")
    assert "algo.guided=0.0" in usual and not any(line.startswith("env.layout.thin_ends=") for line in usual)
    assert {"env=Grasp", "env.layout.thin_ends=0.0", "algo=Grasp", "algo.guided=0.6"} <= grasp
    assert {"env=Grasp", "algo=ChairNav", "algo.guided=0.0"} <= lines(TrainConfig, "env=Grasp", "algo=ChairNav")
    assert {"domain=standin", "domain.look=photo"} <= lines(TrainConfig, "domain=standin")
    colour = lines(GogglesTrainConfig, "goggles/method=color")
    assert {"goggles/method=color", "goggles.method.space=oklab"} <= colour
    assert not any(line.startswith("goggles.method.shift=") for line in colour)


def test_the_configuration_can_be_printed(capsys) -> None:
    code, seen = run("policy=a", "--cfg", "job", "steps=7")
    assert (code, seen) == (0, [])
    assert yaml.safe_load(capsys.readouterr().out)["steps"] == 7


def test_a_folder_adds_options_to_a_group(tmp_path: Path) -> None:
    (tmp_path / "mine" / "domain").mkdir(parents=True)
    lines = "defaults: [randomized]\nname: dim\nrandomization:\n  dynamics:\n    mass_scale: [1.0, 3.0]\n"
    (tmp_path / "mine" / "domain" / "dim.yaml").write_text(lines)
    code, (config,) = run("policy=a", "--config-dir", "mine", "domain=dim")
    assert code == 0
    assert (config.domain.name, config.domain.look) == ("dim", "randomized")
    assert config.domain.randomization.dynamics.mass_scale == (1.0, 3.0)


def test_a_wrong_key_in_such_a_folder_is_one_line(tmp_path: Path, capsys) -> None:
    (tmp_path / "mine" / "domain").mkdir(parents=True)
    (tmp_path / "mine" / "domain" / "dim.yaml").write_text("colour: red\n")
    assert run("policy=a", "--config-dir", "mine", "domain=dim")[0] == 2
    assert "colour" in error_line(capsys)


def test_runs_never_share_a_folder() -> None:
    _, (first,) = run("policy=a", main=start_run)
    _, (second,) = run("policy=a", main=start_run)
    assert first.out != second.out
    assert first.out and Path(first.out).parent.parts[-1] == "ChairNav"


def test_a_run_is_described_in_its_folder_and_not_overwritten(capsys) -> None:
    _, (config,) = run("policy=a", "out=here", "domain=randomized", "mass_scale=[1,2]", main=start_run)
    assert load_config(ToyConfig, Path("here/config.yaml")) == config
    assert run("policy=a", "out=here", main=start_run)[0] == 1
    assert "here exists already" in error_line(capsys)
    assert [path.name for path in Path("here").iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("text", ["", "- 1", "steps: [", "steps: many\npolicy: a", "colour: red\npolicy: a", "\0"])
def test_a_corrupt_run_configuration_is_one_line(text: str) -> None:
    Path("config.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(ToyConfig, "config.yaml")
    assert "\n" not in str(caught.value)


def test_a_configuration_made_in_python_is_checked_too() -> None:
    with pytest.raises(UsageError, match="env.collision=explode: choose from end, cost"):
        check(ToyConfig(policy="a", env=ChairNavConfig(collision="explode")))


@pytest.mark.parametrize("written", [[], ["eval.json"]])
def test_a_failed_run_leaves_its_name_free_unless_it_has_written_something(written: list[str]) -> None:
    def fail(config: ToyConfig) -> None:
        with run_folder(config) as out:
            for name in written:
                (out / name).touch()
            raise UserError("no luck")

    assert run("policy=a", "out=here", main=fail)[0] == 1
    assert Path("here").exists() == bool(written)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"num_envs": 1, "n_steps": 1}, r"num_envs=1 \* algo.n_steps=1 = 1"),
        ({"batch_size": 1}, "algo.batch_size=1: must be at least 2"),
        ({"batch_size": 65, "num_envs": 4, "n_steps": 16}, "algo.batch_size=65: .* = 64"),
    ],
)
def test_a_batch_comes_out_of_an_update(wrong: dict[str, int], expected: str) -> None:
    with pytest.raises(UsageError, match=expected):
        PPOConfig(**wrong)  # type: ignore[arg-type]


def test_settings_of_an_environment_do_nothing_to_photographs() -> None:
    with pytest.raises(UsageError, match=r"env\.max_speed_m_s=0\.3 does nothing to photographs.*leave it out"):
        PhotosConfig(policy="pretrained", rgb="rgb", masks="masks", env=ChairNavConfig(max_speed_m_s=0.3))


def test_hydra_is_not_needed_to_say_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "hydra", None)
    monkeypatch.delitem(sys.modules, "simgym.config.compose")
    assert run("policy=a")[0] == 1
    assert "needs the package 'hydra'" in error_line(capsys)

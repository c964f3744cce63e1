"""Say what works on this machine, and how to get the rest.

Needs the base install only. Every check really uses the thing it names: steps a simulation, draws a frame, makes an
environment. Exits with 0 if the base install, which is all that a robot needs, works.

Examples:
    python -m simgym.doctor
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version

from . import __version__
from .errors import install_command

BASE = install_command()
TRAIN = install_command("train")
ROS = f"on a robot: source /opt/ros/<distro>/setup.bash; elsewhere: {install_command('ros')}"
PYBULLET = f"{TRAIN} under Python 3.11; there are no wheels for later ones"


@dataclass(frozen=True)
class Check:
    """One thing to try.

    Args:
        part: what it is needed for: ``base``, ``train`` or ``ros``.
        name: the thing.
        run: uses it and says something about it; raises if it does not work.
        remedy: the command that installs it.
    """

    part: str
    name: str
    run: Callable[[], str]
    remedy: str


@dataclass(frozen=True)
class Result:
    """How a check went: ``ok``, ``missing`` or ``broken``, and what there is to say about it."""

    check: Check
    status: str
    detail: str


def examine(check: Check) -> Result:
    """Run one check; whatever it raises or prints stays inside."""
    try:
        with _quiet():
            return Result(check, "ok", check.run())
    except ModuleNotFoundError as error:
        return Result(check, "missing", f"no module {error.name}")
    except Exception as error:  # a broken driver or library may raise anything, and a doctor must not die of it
        reason = " ".join(str(error).split()) or type(error).__name__
        return Result(check, "broken", reason[:200])


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence stdout and stderr, of C libraries as well, which greet whoever imports them."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        with open(os.devnull, "w") as sink, redirect_stdout(sink), redirect_stderr(sink), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        for number, copy in enumerate(saved, 1):
            os.dup2(copy, number)
            os.close(copy)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} CPU cores, {memory:.1f} GiB of memory"


def _version(package: str, module: str) -> Callable[[], str]:
    """A check that imports ``module`` and gives the version of ``package``."""

    def run() -> str:
        importlib.import_module(module)
        return version(package)

    return run


def _opencv() -> str:
    import cv2

    return str(cv2.__version__)


def _onnxruntime() -> str:
    import onnxruntime

    providers = (name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())
    return f"{onnxruntime.__version__} ({', '.join(providers)})"


def _deploy() -> str:
    deploy = importlib.import_module("simgym.deploy")
    return f"simgym {__version__} in {os.path.dirname(os.path.dirname(deploy.__file__ or ''))}"


def _mujoco() -> str:
    import mujoco

    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><freejoint/><geom size='1'/></body></worldbody></mujoco>"
    )
    mujoco.mj_step(model, mujoco.MjData(model))
    return f"{mujoco.__version__}, stepped"


def _pybullet() -> str:
    import pybullet

    client = pybullet.connect(pybullet.DIRECT)
    pybullet.stepSimulation(physicsClientId=client)
    pybullet.disconnect(client)
    return f"{version('pybullet')}, stepped"


def _torch() -> str:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.ones(2, device=device).sum().item()
    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads; no GPU"
    return f"{torch.__version__} on {name}"


def _environment() -> str:
    import gymnasium

    importlib.import_module("simgym")
    env = gymnasium.make("simgym/ChairNav-v0")
    observation, _ = env.reset(seed=0)
    env.step(env.action_space.sample())
    env.close()
    height, width = observation["image"].shape[:2]
    return f"drew {width}x{height} pixels and took a step; no OpenGL needed"


def _ffmpeg() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_version())


def _rclpy() -> str:
    importlib.import_module("rclpy.node")
    return os.environ.get("ROS_DISTRO", "from wheels")


CHECKS = (
    Check("base", "python", _python, ""),
    Check("base", "machine", _machine, ""),
    Check("base", "numpy", _version("numpy", "numpy"), BASE),
    Check("base", "opencv", _opencv, BASE),
    Check("base", "pyyaml", _version("pyyaml", "yaml"), BASE),
    Check("base", "onnxruntime", _onnxruntime, BASE),
    Check("base", "simgym.deploy", _deploy, BASE),
    Check("train", "mujoco", _mujoco, TRAIN),
    Check("train", "pybullet", _pybullet, PYBULLET),
    Check("train", "numba", _version("numba", "numba"), TRAIN),
    Check("train", "gymnasium", _version("gymnasium", "gymnasium"), TRAIN),
    Check("train", "ChairNav", _environment, TRAIN),
    Check("train", "torch", _torch, TRAIN),
    Check("train", "stable-baselines3", _version("stable-baselines3", "stable_baselines3"), TRAIN),
    Check("train", "hydra", _version("hydra-core", "hydra"), TRAIN),
    Check("train", "onnx", _version("onnx", "onnx"), TRAIN),
    Check("train", "ffmpeg", _ffmpeg, TRAIN),
    Check("ros", "rclpy", _rclpy, ROS),
)


def main(checks: tuple[Check, ...] = CHECKS) -> int:
    """Print a line for each check and a summary; the exit code is 1 if the base install does not work."""
    width = max(len(check.name) for check in checks)
    results = []
    for check in checks:
        result = examine(check)
        results.append(result)
        print(f"{check.part:<5}  {check.name:<{width}}  {result.status:<7}  {result.detail}", flush=True)
    print()
    for part, meaning in (("base", "running on a robot"), ("train", "simulation and training"), ("ros", "ROS 2")):
        _summarize(meaning, [result for result in results if result.check.part == part])
    return int(any(result.check.part == "base" and result.status != "ok" for result in results))


def _summarize(meaning: str, results: list[Result]) -> None:
    failed = [result for result in results if result.status != "ok"]
    if not failed:
        print(f"{meaning}: ready")
    for remedy in dict.fromkeys(result.check.remedy for result in failed):
        names = ", ".join(result.check.name for result in failed if result.check.remedy == remedy)
        print(f"{meaning}: without {names}. {remedy}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(__doc__)
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    sys.exit(main())

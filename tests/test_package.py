"""The house: which folder may import what, and what a user may import how."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

import pytest

import simgym
from simgym.__main__ import MAIN_GUARD, commands

PACKAGE = Path(simgym.__file__).parent
ROOT = PACKAGE.parent
HEAVY = ("torch", "mujoco", "pybullet", "gymnasium", "rclpy", "numba", "stable_baselines3", "hydra", "matplotlib")
FORBIDDEN = {
    "deploy": (*HEAVY, "simgym.envs", "simgym.policies", "simgym.goggles", "simgym.config"),
    "envs": ("torch", "stable_baselines3", "rclpy", "hydra", "simgym.policies", "simgym.goggles"),
    "policies": ("rclpy", "hydra", "simgym.goggles"),
    "goggles": ("gymnasium", "mujoco", "pybullet", "rclpy", "hydra", "simgym.envs", "simgym.policies"),
    "config": (
        *("torch", "mujoco", "pybullet", "gymnasium", "rclpy", "numba"),
        *("simgym.deploy", "simgym.policies", "simgym.goggles"),
    ),
}


def imports(path: Path) -> set[str]:
    """Absolute names of everything that a file imports, at the top or inside functions."""
    module = path.relative_to(ROOT).with_suffix("").parts
    package = ".".join(module[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def python(code: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=cwd, capture_output=True, text=True)


def loaded(code: str, watched: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of the watched libraries are loaded after running some code; by default, of the heavy ones."""
    done = python(f"{code}\nimport sys\nprint(*(set(sys.modules) & set({watched!r})))")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (PACKAGE / folder).rglob("*.py")
        for name in imports(path)
        if any(name == bad or name.startswith(f"{bad}.") for bad in FORBIDDEN[folder])
    }
    assert not wrong


def submodules(folder: str) -> str:
    package = import_module(f"simgym.{folder}")
    names = [info.name for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return "\n".join(f"import {name}" for name in [package.__name__, *names])


def test_importing_simgym_loads_nothing_heavy() -> None:
    assert loaded("import simgym") == set()


def test_deploy_loads_nothing_heavy() -> None:
    assert loaded(submodules("deploy")) == set()


def test_a_configuration_is_read_without_what_runs_it() -> None:
    assert loaded("import simgym.config.schema, simgym.config.run_dir", (*HEAVY, "cv2", "onnxruntime")) <= {"hydra"}


def test_environments_load_no_torch() -> None:
    assert not loaded(submodules("envs")) & {"torch", "stable_baselines3"}


@pytest.mark.parametrize("name", ["envs", "goggles", "policies"])
def test_the_links_are_a_map_and_no_packages(name: str) -> None:
    assert (ROOT / name).resolve() == PACKAGE / name
    done = python(f"import {name}")
    assert done.returncode == 1
    assert f"use `import simgym.{name}`" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "code",
    [
        "import gymnasium, simgym",
        "import simgym, gymnasium",
        "import simgym.deploy, gymnasium",
        "import simgym, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium",
        "import simgym, simgym.envs, gymnasium",
        "import gymnasium, simgym; gymnasium.register_envs(simgym)",
    ],
)
def test_the_environment_is_known_in_whichever_order(code: str) -> None:
    done = python(f"{code}; print(gymnasium.spec('simgym/ChairNav-v0').entry_point)")
    assert done.stdout.strip() == "simgym.envs:make_env", done.stderr


def test_gymnasium_finds_it_by_the_name_of_the_module() -> None:
    done = python("import gymnasium; print(gymnasium.make('simgym:simgym/ChairNav-v0').spec.id)")
    assert done.stdout.strip() == "simgym/ChairNav-v0", done.stderr


def test_gymnasium_is_left_as_it_was() -> None:
    code = "import simgym, sys; n = len(sys.meta_path); import gymnasium, inspect; inspect.getsource(gymnasium)"
    done = python(f"{code}; print(n - len(sys.meta_path))")
    assert done.stdout.strip() == "1", done.stderr


def test_every_command_is_listed_with_its_meaning() -> None:
    listed = commands()
    assert {"doctor"} <= set(listed)
    files = {path.stem for path in PACKAGE.glob("*.py") if MAIN_GUARD in path.read_text(encoding="utf-8")}
    assert {name for name in listed if "." not in name} == files - {"__main__"}
    assert all(meaning.endswith(".") for meaning in listed.values())
    done = subprocess.run([sys.executable, "-m", "simgym"], capture_output=True, text=True, check=True)
    assert all(f"python -m simgym.{name}" in done.stdout for name in listed)


def test_a_command_that_does_not_exist_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-m", "simgym", "nonsense"], capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "no command 'nonsense'" in line and not done.stdout

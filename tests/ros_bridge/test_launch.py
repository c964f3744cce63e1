"""The launch files against the nodes that they start. There is no wheel of `launch`: its API alone is stubbed here."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from simgym.shipped import SHIPPED_FOR, bundle_path
from tests.ros_bridge.bridge import ROOT

import rclpy  # isort: skip
from simgym_ros import goggles, policy, robot  # isort: skip

pytestmark = pytest.mark.ros

BRIDGE = ROOT / "ros_bridge"
FILES = sorted((BRIDGE / "launch").glob("*.launch.py"))
NODES = {"goggles": goggles.GogglesNode, "policy": policy.PolicyNode, "robot": robot.RobotNode}
STARTED = {"goggles": ["goggles"], "drive": ["goggles", "policy"], "loop": ["robot", "goggles", "policy"]}


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Loads a launch file; gives its arguments by name, with their defaults, and its nodes."""
    (tmp_path / "share" / "ament_index" / "resource_index" / "packages").mkdir(parents=True)
    (tmp_path / "share" / "ament_index" / "resource_index" / "packages" / "simgym_ros").touch()
    (tmp_path / "share" / "simgym_ros").symlink_to(BRIDGE)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def declare(name: str, default_value: str | None = None, *, description: str) -> Any:
        return SimpleNamespace(argument=name, default=default_value, description=description)

    def node(*, package, executable, name, namespace, parameters, remappings, output) -> Any:
        return SimpleNamespace(package=package, executable=executable, parameters=parameters, remappings=remappings,
                               used=[namespace, *_used(parameters), *(to for _, to in remappings)])  # fmt: skip

    stubs: dict[str, dict[str, Any]] = {
        "launch": {"LaunchDescription": list},
        "launch.actions": {"DeclareLaunchArgument": declare},
        "launch.substitutions": {"LaunchConfiguration": lambda name: f"${name}"},
        "launch_ros": {},
        "launch_ros.actions": {"Node": node},
        "launch_ros.parameter_descriptions": {"ParameterValue": lambda value, value_type: value},
    }
    for name, members in stubs.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "simgym_ros.launching", raising=False)

    def load(path: Path) -> tuple[dict[str, Any], list[Any]]:
        spec = importlib.util.spec_from_file_location("launch_file", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        entities = module.generate_launch_description()
        arguments = {entity.argument: entity.default for entity in entities if hasattr(entity, "argument")}
        return arguments, [entity for entity in entities if hasattr(entity, "executable")]

    yield load
    sys.modules.pop("simgym_ros.launching", None)


def _used(parameters: list[Any]) -> list[str]:
    return [value for item in parameters for value in (item.values() if isinstance(item, dict) else [item])]


@pytest.fixture(scope="module")
def declared() -> Any:
    """The parameters of each node, with their defaults."""
    rclpy.init()
    nodes = {name: make() for name, make in NODES.items()}
    found = {name: {key: value.value for key, value in node._parameters.items()} for name, node in nodes.items()}
    nodes["robot"].world.close()
    for node in nodes.values():
        node.destroy_node()
    rclpy.try_shutdown()
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_launch_file_fits_its_nodes(path: Path, described: Any, declared: Any) -> None:
    arguments, nodes = described(path)
    assert [node.executable for node in nodes] == STARTED[path.name.partition(".")[0]]
    for node in nodes:
        assert node.package == "simgym_ros"
        assert {name[1:] for name in node.used} <= set(arguments)
        assert set(node.parameters[1]) <= set(declared[node.executable])
        sources = "".join((BRIDGE / "simgym_ros" / f"{name}.py").read_text() for name in (node.executable, "robots"))
        assert all(f'"{topic}"' in sources for topic, _ in node.remappings)
    assert set(arguments) == {name[1:] for node in nodes for name in node.used}, "an argument that nothing uses"
    assert Path(arguments["params_file"]).is_file()
    if "robot" not in STARTED[path.name.partition(".")[0]]:
        assert arguments.get("enabled", "false") == "false" and arguments["use_sim_time"] == "false"
    else:
        assert arguments["use_sim_time"] == "true"
        assert all(bundle_path(arguments[kind], kind, SHIPPED_FOR).is_file() for kind in ("goggles", "policy"))


def test_every_node_is_a_console_script() -> None:
    assert f"NODES = {tuple(NODES)}".replace("'", '"') in (BRIDGE / "setup.py").read_text()


def test_the_parameter_file_states_the_defaults(declared: Any) -> None:
    sections = yaml.safe_load((BRIDGE / "config" / "simgym.yaml").read_text())
    assert set(sections) == {f"/**/{name}" for name in NODES}
    for name in NODES:
        for key, value in sections[f"/**/{name}"]["ros__parameters"].items():
            assert declared[name][key] == value, key


def test_nodes_read_the_parameter_file(tmp_path: Path) -> None:
    text = re.sub(r"max_age_s: [0-9.]+", "max_age_s: 0.125", (BRIDGE / "config" / "simgym.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(text)
    rclpy.init(args=["--ros-args", "--params-file", str(tmp_path / "mine.yaml"), "-r", "__ns:=/r2"])
    node = policy.PolicyNode()
    assert node.get_parameter("max_age_s").value == 0.125
    node.destroy_node()
    rclpy.try_shutdown()

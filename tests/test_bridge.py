"""What is said where ROS, or the package of nodes, is missing."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import simgym.bridge as bridge
import simgym.evaluate as evaluate_command
from simgym.config.command import run_command
from simgym.config.schema import EvaluateConfig
from simgym.errors import UserError


@pytest.fixture(autouse=True)
def without_rclpy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "simgym_ros"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rclpy", None)


def test_without_ros_an_evaluation_over_it_says_how_to_get_it(tmp_path: Path, capsys) -> None:
    words = ["policy=pretrained", "over=ros", "episodes=1", f"out={tmp_path / 'here'}"]
    assert run_command(EvaluateConfig, evaluate_command.main, words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs ROS 2, which has the module rclpy" in line and "setup.bash" in line
    assert not (tmp_path / "here").exists()


def test_without_the_nodes_it_says_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "IN_CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.rstrip("/").endswith("ros_bridge")])
    with pytest.raises(UserError, match="needs the package simgym_ros"):
        bridge.load_bridge()


def test_a_checkout_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if not entry.rstrip("/").endswith("ros_bridge")])
    with pytest.raises(UserError, match="needs ROS 2"):
        bridge.load_bridge()
    assert sys.path[-1] == str(bridge.IN_CHECKOUT)


def test_the_package_names_everything_that_its_nodes_import() -> None:
    named = {element.text for element in ElementTree.parse(bridge.IN_CHECKOUT / "package.xml").iter("exec_depend")}
    statements = [
        node
        for path in (*bridge.IN_CHECKOUT.glob("simgym_ros/*.py"), *bridge.IN_CHECKOUT.glob("launch/*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
    ]
    imported = {alias.name for node in statements if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in statements if isinstance(node, ast.ImportFrom) and node.level == 0}
    others = {name.split(".")[0] for name in imported} - set(sys.stdlib_module_names)
    by_pip = {"simgym", "simgym_ros", "cv2"}  # OpenCV comes with simgym
    assert "rclpy" in others
    assert {"python3-numpy" if name == "numpy" else name for name in others - by_pip} <= named

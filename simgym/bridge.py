"""The way to the ROS 2 package `simgym_ros`, which is none of simgym's own needs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from .errors import UserError, install_command

IN_CHECKOUT = Path(__file__).parents[1] / "ros_bridge"


def load_bridge() -> Any:
    """The module `simgym_ros.loop`: of the installed package, or of the checkout that this simgym is in.

    Raises:
        UserError: simgym_ros or ROS is missing.
    """
    if importlib.util.find_spec("simgym_ros") is None and (IN_CHECKOUT / "simgym_ros").is_dir():
        sys.path.append(str(IN_CHECKOUT))
    try:
        return importlib.import_module("simgym_ros.loop")
    except ModuleNotFoundError as error:
        if error.name == "simgym_ros":
            raise UserError("needs the package simgym_ros: pip install it from ros_bridge/ of the sources") from error
        raise UserError(
            f"needs ROS 2, which has the module {error.name}: source /opt/ros/<distro>/setup.bash, or without ROS "
            f"{install_command('ros')}"
        ) from error

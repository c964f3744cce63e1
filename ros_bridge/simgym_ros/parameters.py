"""Parameters with descriptions and ranges, and strict about when they may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter


class Parameters:
    """A node's own parameters. They are read when the node is configured, and cannot be changed after that."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._choices: dict[str, tuple[str, ...]] = {}
        self._names: set[str] = set()
        self.locked = False
        node.add_on_set_parameters_callback(self._check)

    def __getitem__(self, name: str) -> Any:
        return self._node.get_parameter(name).value

    def text(self, name: str, default: str, description: str, choices: Sequence[str] = ()) -> None:
        """Declare a string."""
        if choices:
            self._choices[name] = tuple(choices)
            description += f"; one of {', '.join(choices)}"
        self._declare(name, default, ParameterDescriptor(description=description))

    def switch(self, name: str, default: bool, description: str) -> None:
        """Declare a boolean."""
        self._declare(name, default, ParameterDescriptor(description=description))

    def number(self, name: str, default: float, description: str, low: float, high: float) -> None:
        """Declare a double from ``low`` to ``high``."""
        limits = [FloatingPointRange(from_value=low, to_value=high)]
        self._declare(name, default, ParameterDescriptor(description=description, floating_point_range=limits))

    def count(self, name: str, default: int, description: str, low: int, high: int) -> None:
        """Declare a whole number from ``low`` to ``high``."""
        limits = [IntegerRange(from_value=low, to_value=high, step=1)]
        self._declare(name, default, ParameterDescriptor(description=description, integer_range=limits))

    def listed(self, name: str, default: list[Any], description: str) -> None:
        """Declare a list of doubles or of strings; ROS takes its type from the default."""
        self._declare(name, default, ParameterDescriptor(description=description))

    def _declare(self, name: str, default: Any, descriptor: ParameterDescriptor) -> None:
        self._names.add(name)
        self._node.declare_parameter(name, default, descriptor)

    def _check(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            choices = self._choices.get(parameter.name)
            if choices and parameter.value not in choices:
                reason = f"{parameter.name} must be one of {', '.join(choices)}, got {parameter.value!r}"
                return SetParametersResult(successful=False, reason=reason)
            if self.locked and parameter.name in self._names:
                reason = f"{parameter.name} is read when the node is configured: deactivate it and clean it up first"
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

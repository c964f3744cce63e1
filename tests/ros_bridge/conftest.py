"""What the tests of the nodes share. Nothing is imported until a test asks: without rclpy they are skipped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def peer() -> Iterator[Any]:
    """A `tests.ros_bridge.bridge.Peer`."""
    from tests.ros_bridge import bridge

    with bridge.peer() as made:
        yield made

"""ROS messages through the bytes that DDS carries, by `rosbags`: no ROS is needed."""

from __future__ import annotations

import inspect
from typing import Any

from rosbags.typesys import Stores, get_typestore

TYPES = get_typestore(Stores.ROS2_JAZZY)


def made(kind: str, **fields: Any) -> Any:
    """A message of a type such as ``geometry_msgs/msg/Twist``, whose header is filled in if it has one."""
    if "header" in inspect.signature(TYPES.types[kind]).parameters:
        fields.setdefault("header", made("std_msgs/msg/Header", stamp=stamp(1.0), frame_id="camera"))
    return TYPES.types[kind](**fields)


def stamp(time_s: float) -> Any:
    """A time."""
    return made("builtin_interfaces/msg/Time", sec=int(time_s), nanosec=round(time_s % 1 * 1e9))


def through_cdr(message: Any) -> Any:
    """The message as it comes out of its bytes."""
    return TYPES.deserialize_cdr(TYPES.serialize_cdr(message, message.__msgtype__), message.__msgtype__)

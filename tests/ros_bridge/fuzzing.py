"""Messages of which anything may be wrong, and sending thousands of them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from .bridge import Peer, values

from sensor_msgs.msg import CompressedImage, Image  # isort: skip

FLOATS = (0.0, 1.0, -1.0, 1e-300, 1e30, 1e300, -1e300, float("nan"), float("inf"), float("-inf"))
WORDS = ("", "rgb8", "plumb_bob", "equidistant", "rational_polynomial", "panda_finger_joint1", "x" * 200, "\u00e9")
BITS = {"octet": 8, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "uint32": 32, "int32": 32}
PAUSE_S = 0.001
PATIENCE_S = 120.0


def anything(rng: random.Random, kind: type) -> Any:
    """A message with fields that are as they should be, extreme, or no numbers at all."""
    message: Any = kind()
    for name, type_name in message.get_fields_and_field_types().items():
        if rng.random() < 0.7:
            setattr(message, name, _value(rng, type_name, getattr(message, name)))
    return message


def _value(rng: random.Random, type_name: str, now: Any) -> Any:
    """A value of a field; ``now`` is what it holds."""
    inner = type_name.removeprefix("sequence<").split("[")[0].split(">")[0]
    if type_name.startswith("sequence<") and "/" in inner:
        return []  # of messages
    if type_name.startswith("sequence<"):
        return [_value(rng, inner, None) for _ in range(rng.choice((0, 1, 2, 5, 50)))]
    if type_name.endswith("]"):
        return [_value(rng, inner, None) for _ in range(len(now))]
    if inner in ("double", "float"):
        return rng.choice((*FLOATS, rng.gauss(0, 1), rng.gauss(0, 100)))
    if inner == "boolean":
        return rng.random() < 0.5
    if inner in BITS:
        low = 0 if inner.startswith(("uint", "octet")) else -(1 << BITS[inner] - 1)
        return rng.choice((0, 1, 24, 32, low, low + (1 << BITS[inner]) - 1))
    if inner == "string":
        return rng.choice(WORDS)
    return anything(rng, type(now))


def any_image(rng: random.Random, transport: str) -> Any:
    """An image, raw or compressed: sizes, encodings, steps and data that seldom fit."""
    data = rng.randbytes(rng.choice([0, 1, 100, 2304, 5000]))
    if transport == "compressed":
        picture = np.full((24, 32, 3), rng.randrange(256), np.uint8)
        whole = bytearray(cv2.imencode(rng.choice([".png", ".jpg"]), picture)[1].tobytes())
        for _ in range(rng.randrange(6)):
            whole[rng.randrange(len(whole))] = rng.randrange(256)
        return CompressedImage(format=rng.choice(["jpeg", "png", "", "x"]), data=rng.choice([data, bytes(whole)]))
    size = [0, 1, 7, 24, 32, 999, 2**31, 2**32 - 1]
    message = Image(
        height=rng.choice(size),
        width=rng.choice(size),
        step=rng.choice([*size, 96]),
        encoding=rng.choice(["rgb8", "mono16", "bayer_rggb8", "yuv422", "32FC1", "", "rgb8" * 50]),
        is_bigendian=rng.randrange(256),
        data=data,
    )
    message.header.stamp.sec, message.header.stamp.nanosec = rng.randint(-(2**31), 2**31 - 1), rng.randrange(2**32)
    return message


def flood(peer: Peer, node: str, count: int, send: Callable[[], None]) -> dict[str, str]:
    """Send until a node says that ``count`` more images have come to it; its newest diagnostics."""
    peer.listen_to_diagnostics()
    first, newest = received(peer, node), 0
    end_s = time.monotonic() + PATIENCE_S
    while newest - first < count:
        assert time.monotonic() < end_s, f"{node} received {newest - first} of {count} images"
        for _ in range(100):
            send()
            time.sleep(PAUSE_S)
        newest = received(peer, node)
    return values(peer.diagnostics(node, lambda status: values(status)["pending"] == "0"))


def received(peer: Peer, node: str) -> int:
    """How many images a node says that it has received so far."""
    told = [m.status[0] for _, m in peer.heard["/diagnostics"] if m.status[0].name == f"/{node}"]
    return int(values(told[-1]).get("received", 0)) if told else 0

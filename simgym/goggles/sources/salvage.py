"""Reads the messages of bags that are truncated: front to back, without the index that their end would have.

Formats: http://wiki.ros.org/Bags/Format/2.0, https://mcap.dev/spec, and the SQLite storage of rosbag2.
"""

from __future__ import annotations

import bz2
import sqlite3
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import lz4.frame
import zstandard
from rosbags.typesys.msg import normalize_msgtype

MAGIC_1 = b"#ROSBAG V2.0\n"
MESSAGE_1, CHUNK_1, CONNECTION_1 = 2, 5, 7  # op codes of rosbag 1
MAGIC_MCAP = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 3, 4, 5, 6, 15  # op codes of MCAP


@dataclass
class Message:
    """One message as it was recorded."""

    topic: str
    msgtype: str  # as rosbags has it: sensor_msgs/msg/Image
    time_ns: int
    data: bytes


def scan(path: Path) -> Iterator[Message]:
    """The messages of a file up to where it breaks off; none where it is no bag."""
    scanners = {".bag": _scan_bag1, ".mcap": _scan_mcap, ".db3": _scan_sqlite}
    if path.suffix in scanners and path.is_file():
        try:
            yield from scanners[path.suffix](path)
        except (struct.error, KeyError, IndexError, UnicodeDecodeError, EOFError):
            return  # the bytes from here on mean nothing


# --- rosbag 1 ---


def _scan_bag1(path: Path) -> Iterator[Message]:
    with path.open("rb") as file:
        if file.read(len(MAGIC_1)) == MAGIC_1:
            yield from _records_bag1(file, {})


def _records_bag1(file: BinaryIO, connections: dict[bytes, tuple[str, str]]) -> Iterator[Message]:
    while size := file.read(4):
        header = _fields(file.read(*struct.unpack("<I", size)))
        (wanted,) = struct.unpack("<I", file.read(4))
        data, op = file.read(wanted), header[b"op"][0]
        if op == CHUNK_1:
            yield from _records_bag1(BytesIO(_unpack(header[b"compression"].decode(), data)), connections)
        elif len(data) < wanted:
            return
        elif op == CONNECTION_1:
            msgtype = normalize_msgtype(_fields(data)[b"type"].decode())
            connections[header[b"conn"]] = header[b"topic"].decode(), msgtype
        elif op == MESSAGE_1:
            seconds, nanoseconds = struct.unpack("<II", header[b"time"])
            yield Message(*connections[header[b"conn"]], seconds * 10**9 + nanoseconds, data)


def _fields(data: bytes) -> dict[bytes, bytes]:
    """A header: fields ``name=value``, each with its length before it."""
    fields, at = {}, 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at)
        name, _, value = data[at + 4 : at + 4 + length].partition(b"=")
        fields[name], at = value, at + 4 + length
    return fields


# --- MCAP ---


def _scan_mcap(path: Path) -> Iterator[Message]:
    with path.open("rb") as file:
        if file.read(len(MAGIC_MCAP)) == MAGIC_MCAP:
            yield from _records_mcap(file, {}, {})


def _records_mcap(file: BinaryIO, schemas: dict[int, str], channels: dict[int, tuple[str, str]]) -> Iterator[Message]:
    while head := file.read(9):
        op, wanted = struct.unpack("<BQ", head)
        data = file.read(wanted)
        if op == CHUNK:
            compression, at = _text(data, 28)
            records = data[at + 8 :]  # after their length
            yield from _records_mcap(BytesIO(_unpack(compression, records)), schemas, channels)
        elif len(data) < wanted or op == DATA_END:
            return
        elif op == SCHEMA:
            schemas[struct.unpack_from("<H", data)[0]] = _text(data, 2)[0]
        elif op == CHANNEL:
            number, schema = struct.unpack_from("<HH", data)
            channels[number] = _text(data, 4)[0], schemas[schema]
        elif op == MESSAGE:
            number, _, time_ns, _ = struct.unpack_from("<HIQQ", data)
            yield Message(*channels[number], time_ns, data[22:])


def _text(data: bytes, at: int) -> tuple[str, int]:
    """A text with its length before it, and where it ends."""
    (length,) = struct.unpack_from("<I", data, at)
    return data[at + 4 : at + 4 + length].decode(), at + 4 + length


# --- SQLite ---


def _scan_sqlite(path: Path) -> Iterator[Message]:
    database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?immutable=1", uri=True)
    try:
        database.execute("PRAGMA writable_schema = ON")  # else SQLite refuses a file shorter than it should be
        topics = {number: (name, kind) for number, name, kind in database.execute("SELECT id, name, type FROM topics")}
        for number, time_ns, data in database.execute("SELECT topic_id, timestamp, data FROM messages NOT INDEXED"):
            yield Message(*topics[number], time_ns, data)
    except sqlite3.DatabaseError:
        return  # the pages from here on are missing
    finally:
        database.close()


def _unpack(compression: str, data: bytes) -> bytes:
    """What a chunk holds, as far as it goes."""
    try:
        if compression == "bz2":
            return bz2.BZ2Decompressor().decompress(data)
        if compression == "lz4":
            return lz4.frame.LZ4FrameDecompressor().decompress(data)
        if compression == "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    except (OSError, RuntimeError, zstandard.ZstdError):
        return b""
    return data

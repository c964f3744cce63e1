"""A bag as topics and messages, whole or truncated."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import yaml
import zstandard
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from simgym.files import natural_order

from . import salvage
from .frame import Report, SourceError

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
STORAGE = ("*.mcap", "*.db3", "*.mcap.zstd", "*.db3.zstd")


class Recording(Protocol):
    """What bags of all kinds offer."""

    kind: str
    topics: dict[str, str]  # topic -> message type, of the topics that have messages

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """Time of recording in ns and the message, None where it cannot be decoded; in the order of the bag."""

    def close(self) -> None:
        """Close files and remove temporary ones; may be called twice."""


def open_recording(path: Path, report: Report) -> Recording:
    """Open a bag; if it is damaged, what can be read of it. Raises SourceError where that is nothing."""
    try:
        return WholeRecording(_single_file(path), report)
    except Exception as error:  # damaged files fail in any way: struct, zstd, SQLite, assertions of the library
        reason = " ".join(str(error).split()) or type(error).__name__
    recording = SalvagedRecording(path, report)
    if not recording.topics:
        recording.close()
        raise SourceError(f"{path} is not a bag that can be read: {reason}")
    report.note(f"{path.name} is damaged ({reason}): what could be read is used")
    return recording


def _single_file(path: Path) -> Path:
    """The file of a rosbag 2 folder that lacks ``metadata.yaml``, as a recorder that was killed leaves it."""
    if not path.is_dir() or (path / "metadata.yaml").exists():
        return path
    files = _storage_files(path)
    return files[0] if len(files) == 1 else path


def _storage_files(folder: Path) -> list[Path]:
    return sorted((file for ending in STORAGE for file in folder.glob(ending)), key=natural_order)


class WholeRecording:
    """A bag that `rosbags` can open."""

    def __init__(self, path: Path, report: Report) -> None:
        self.kind = "rosbag 1" if path.suffix == ".bag" else "rosbag 2"
        self._name, self._report = path.name, report
        self._unpacked = _Unpacked()
        paths = [path] if path.suffix != ".zstd" else [self._unpacked.add(path)]
        self._reader = AnyReader(paths, default_typestore=get_typestore(Stores.LATEST))
        try:
            self._reader.open()
        except BaseException:
            self._unpacked.remove()
            raise
        self.topics = {topic: info.msgtype or "" for topic, info in self._reader.topics.items() if info.msgcount}

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """See `Recording.messages`; if the bag breaks off, the number of the messages that are missing is reported."""
        connections, read = [c for c in self._reader.connections if c.topic == topic], 0
        stream = self._reader.messages(connections)
        while True:
            try:
                connection, time_ns, data = next(stream)
            except StopIteration:
                return
            except Exception as error:  # as in `open_recording`
                self._report.lost += sum(c.msgcount for c in connections) - read
                self._report.note(f"{self._name} breaks off: {' '.join(str(error).split())}")
                return
            read += 1
            yield time_ns, _decoded(self._reader.deserialize, data, connection.msgtype)

    def close(self) -> None:
        """See `Recording.close`."""
        if self._reader.stack is not None:
            self._reader.close()
        self._unpacked.remove()


class SalvagedRecording:
    """What can be read of a damaged bag from its beginning, without its index. The order is that of the files."""

    def __init__(self, path: Path, report: Report) -> None:
        version = 1 if path.suffix == ".bag" else 2
        self.kind = f"rosbag {version}, damaged"
        self._report = report
        store = get_typestore(Stores.ROS1_NOETIC if version == 1 else Stores.LATEST)
        self._deserialize = store.deserialize_ros1 if version == 1 else store.deserialize_cdr
        self._unpacked = _Unpacked()
        given = _storage_files(path) if path.is_dir() else [path]
        self._files = [self._unpacked.add(file) if file.suffix == ".zstd" else file for file in given]
        self.topics = {message.topic: message.msgtype for file in self._files for message in salvage.scan(file)}
        self._promised = _promised_counts(path / "metadata.yaml") if path.is_dir() else {}

    def messages(self, topic: str) -> Iterator[tuple[int, Any]]:
        """See `Recording.messages`; how many are missing is reported, where ``metadata.yaml`` has their number."""
        read = 0
        for file in self._files:
            for message in salvage.scan(file):
                if message.topic == topic:
                    read += 1
                    yield message.time_ns, _decoded(self._deserialize, message.data, message.msgtype)
        if topic in self._promised:
            self._report.lost += self._promised[topic] - read
        else:
            self._report.note("how many frames are missing at its end cannot be told")

    def close(self) -> None:
        """See `Recording.close`."""
        self._unpacked.remove()


def _promised_counts(metadata: Path) -> dict[str, int]:
    """Topic -> number of messages, as the recorder noted them at the end; empty where it did not come to that."""
    try:
        topics = yaml.safe_load(metadata.read_text())["rosbag2_bagfile_information"]["topics_with_message_count"]
        return {entry["topic_metadata"]["name"]: int(entry["message_count"]) for entry in topics}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return {}


class _Unpacked:
    """Temporary copies of files that are compressed as a whole."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def add(self, path: Path) -> Path:
        """Unpack a file, as far as it goes."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="simgym-bag-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        target = self._folder / path.stem
        with path.open("rb") as packed, target.open("wb") as unpacked:
            try:
                zstandard.ZstdDecompressor().copy_stream(packed, unpacked)
            except zstandard.ZstdError:
                pass  # truncated: the reader of what is there will tell
        return target

    def remove(self) -> None:
        """Delete the copies; may be called twice."""
        if self._folder is not None:
            self._remove()


def _decoded(deserialize: Any, data: bytes, msgtype: str) -> Any:
    try:
        if data[:4] == ZSTD_MAGIC:  # compressed on its own; no message of ROS begins like this
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        return deserialize(data, msgtype)
    except Exception:  # whatever damaged bytes lead to
        return None

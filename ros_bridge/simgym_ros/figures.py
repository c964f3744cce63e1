"""What the nodes tell on ``/diagnostics``."""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass
class Report:
    """One status of ``/diagnostics``."""

    level: bytes
    message: str
    values: dict[str, object] = field(default_factory=dict)

    def to_message(self, stamp: Any, name: str, hardware_id: str) -> DiagnosticArray:
        """The message, as diagnostic_updater makes it."""
        values = [KeyValue(key=key, value=_shown(value)) for key, value in self.values.items()]
        status = DiagnosticStatus(
            level=self.level, name=name, message=self.message, hardware_id=hardware_id, values=values
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = stamp
        return message


class Figures:
    """What happened to the frames: counts since the node was activated, times since the last report.

    Any thread may add. ``received = published + dropped + pending``, where pending is what is being worked on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Begin at zero."""
        with self._lock:
            self._published = 0
            self._dropped: Counter[str] = Counter()
            self._latencies_s: list[float] = []
            self._inferences_s: list[float] = []
            self.trouble = ""

    def published(self, latency_s: float, inference_s: float) -> None:
        """A frame went out: so long after its stamp, after a network that took so long."""
        with self._lock:
            self._published += 1
            self._latencies_s.append(latency_s)
            self._inferences_s.append(inference_s)

    def dropped(self, why: str, trouble: str = "") -> None:
        """A frame did not go out; ``trouble`` is told in the next report."""
        with self._lock:
            self._dropped[why] += 1
            self.trouble = trouble or self.trouble

    def take(self, received: int, replaced: int, passed_s: float) -> tuple[dict[str, object], str]:
        """The values and the trouble since the last call.

        Args:
            received: frames that came.
            replaced: of these, what the mailbox dropped.
            passed_s: since the last call.
        """
        with self._lock:
            dropped = dict(self._dropped)
            latencies_s, inferences_s, trouble = self._latencies_s, self._inferences_s, self.trouble
            self._latencies_s, self._inferences_s, self.trouble = [], [], ""
            published = self._published
        total = sum(dropped.values()) + replaced
        values: dict[str, object] = {
            "rate_hz": len(latencies_s) / passed_s,
            "latency_ms": _milliseconds(statistics.median, latencies_s),
            "latency_max_ms": _milliseconds(max, latencies_s),
            "inference_ms": _milliseconds(statistics.median, inferences_s),
            "received": received,
            "published": published,
            "dropped": total,
            "pending": received - published - total,
            "dropped_replaced": replaced,
        }
        return values | {f"dropped_{why}": count for why, count in sorted(dropped.items())}, trouble


def _milliseconds(of: Callable[[list[float]], float], values_s: list[float]) -> float | str:
    return 1e3 * of(values_s) if values_s else ""


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)

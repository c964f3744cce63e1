"""Options: dataclass fields that carry their meaning, unit and bounds. Needs the standard library only.

Example::

    @dataclass(frozen=True, kw_only=True)
    class RobotConfig:
        speed_mps: float = option(0.5, "top speed", unit="m/s", low=0.0, high=2.0)
        mass_scale: tuple[float, float] = span((0.9, 1.1), "mass", operation="scale", low=0.1)
        policy: str = option(help="an option without a default is required")
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Literal, get_type_hints

from ..errors import UsageError


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with a meaning. A dataclass type as ``default`` stands for a nested configuration or a group.

    Args:
        default: the default value; without one the option is required.
        help: what it means, in one line.
        unit: SI unit, shown in ``--help``.
        low: least value that `check` accepts.
        high: greatest value that `check` accepts.
        choices: the only values that `check` accepts; in a tuple, of each entry.
    """
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": choices}
    if isinstance(default, type) and is_dataclass(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def span(
    default: tuple[float, float],
    help: str,
    *,
    operation: Literal["", "set", "scale", "add"] = "",
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    nominal: float | None = None,
    live: bool = False,
) -> Any:
    """A dataclass field that holds a range ``(low, high)``, both ends within the bounds and in order.

    Args:
        default: the default range.
        help: what it means, in one line.
        operation: what a drawn value does to the nominal one: replaces it, multiplies it, or is added to it.
        unit: SI unit, shown in ``--help``.
        low: least end that `check` accepts.
        high: greatest end that `check` accepts.
        nominal: the value that stands for no randomization, where there is one.
        live: whether a new value can be drawn in the middle of an episode.
    """
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "nominal": nominal}
    return field(default=default, metadata=metadata | {"span": True, "operation": operation, "live": live})


@dataclass(frozen=True)
class Key:
    """One key of a schema: its dotted name, the field that declares it, and its type."""

    name: str
    field: Field[Any]
    type: Any

    @property
    def is_node(self) -> bool:
        """Whether further keys hang below this one: its type is a dataclass."""
        return isinstance(self.type, type) and is_dataclass(self.type)

    @property
    def default(self) -> Any:
        """The default value; `dataclasses.MISSING` if the key is required."""
        factory = self.field.default_factory
        return self.field.default if factory is MISSING else factory()

    @property
    def meaning(self) -> str:
        """What the field means, in one line."""
        return str(self.field.metadata.get("help", ""))


def walk(schema: type, prefix: str = "", types: Mapping[str, type] | None = None) -> Iterator[Key]:
    """Every key of a dataclass in the order of its fields, parents before children.

    Args:
        schema: the dataclass.
        prefix: what the names begin with.
        types: dataclasses that stand in for the annotated ones, by key: the chosen options of groups.
    """
    hints = get_type_hints(schema)
    for item in fields(schema):
        name = prefix + item.name
        key = Key(name, item, (types or {}).get(name, hints[item.name]))
        yield key
        if key.is_node:
            yield from walk(key.type, f"{name}.", types)


def check(config: Any, prefix: str = "") -> None:
    """Raise `UsageError` naming the first value of a (nested) configuration that is out of its bounds or choices."""
    for item in fields(config):
        value, key = getattr(config, item.name), prefix + item.name
        if is_dataclass(value):
            check(value, f"{key}.")
        elif value is not None:
            _check_value(key, value, item.metadata)


def _check_value(key: str, value: Any, metadata: Any) -> None:
    values = value if isinstance(value, (tuple, list)) else (value,)
    choices = metadata.get("choices")
    for choice in values if choices else ():
        if choice not in choices:
            raise UsageError(f"{key}={choice}: choose from {', '.join(choices)}")
    for number in values:
        if isinstance(number, float) and not math.isfinite(number):
            raise UsageError(f"{key}={value}: must be a finite number")
        _check_bounds(key, number, metadata)
    if metadata.get("span") and not value[0] <= value[1]:
        raise UsageError(f"{key}=[{value[0]},{value[1]}]: the first end of a range must not exceed the second")


def _check_bounds(key: str, number: Any, metadata: Any) -> None:
    low, high, unit = metadata.get("low"), metadata.get("high"), metadata.get("unit")
    suffix = f" {unit}" if unit else ""
    if low is not None and number < low:
        raise UsageError(f"{key}={number}: must be at least {low}{suffix}")
    if high is not None and number > high:
        raise UsageError(f"{key}={number}: must be at most {high}{suffix}")

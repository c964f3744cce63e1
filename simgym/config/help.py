"""The text of ``--help``: a command's docstring, then every key with its default, unit, bounds and meaning.

Keys and defaults are those of the options that the other words choose: ``env=Grasp --help`` shows Grasp's.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING
from typing import Any

from .compose import choices_of, chosen_options, chosen_types, parse
from .option import Key, walk
from .schema import GROUPS, group_of

OPTIONS = """\
options:
  -h, --help          show this text; with env=, domain=, ... the keys of these
  -m, --multirun      run every combination of the values listed: seed=1,2,3
  --cfg job           print the composed configuration as YAML and stop
  --config-dir DIR    take more options of groups from YAML files: DIR/domain/my_lab.yaml is domain=my_lab"""


def help_text(command: str, schema: type, description: str, words: Sequence[str] = ()) -> str:
    """The whole text for one command; ``words`` choose options of groups."""
    usage = f"usage: python -m {command} [options] [key=value ...]"
    choices = choices_of(schema, [parse(word) for word in words])
    keys = sorted(
        walk(schema, types=chosen_types(choices)), key=lambda key: key.is_node or "." in key.name
    )  # stable: a command's own keys first
    chosen = chosen_options(choices)
    rows = [row for key in keys for row in _rows(key, schema, chosen)]
    width = max(len(left) for left, _ in rows)
    lines = [_line(left, right, width) for left, right in rows]
    return "\n".join([usage, "", inspect.cleandoc(description), "", OPTIONS, "", "keys:", *lines])


def _line(left: str, right: str, width: int) -> str:
    if not left:
        return ""
    return f"  {left:<{width}}  {right}".rstrip()


def _rows(key: Key, schema: type, chosen: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The left and right column of one key; a nested configuration is a heading with a blank line before."""
    if key.is_node:
        yield "", ""
        if (group := group_of(key.name)) in GROUPS:
            yield (
                f"{group}={chosen.get(key.name, key.default).name}",
                f"choose from {', '.join(GROUPS[group])}: {_meaning(key)}",
            )
        else:
            yield f"{key.name}:", _meaning(key)
    elif not _names_group(key):
        yield f"{key.name}={_show(_default(key, schema, chosen))}", _meaning(key)


def _names_group(key: Key) -> bool:
    """Whether the key is the name of a group's option, which the group's own line says."""
    parent, _, last = key.name.rpartition(".")
    return group_of(parent) in GROUPS and last == "name"


def _default(key: Key, schema: type, chosen: Mapping[str, Any]) -> Any:
    """The default of a key, looked up from above, because a parent may give its child other values."""
    names = key.name.split(".")
    value = next(other.default for other in walk(schema) if other.name == names[0])
    for depth in range(1, len(names) + 1):
        value = chosen.get(".".join(names[:depth]), value if depth == 1 else getattr(value, names[depth - 1]))
    return value


def _show(value: Any) -> str:
    if value is MISSING:
        return "(required)"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{','.join(_show(item) for item in value)}]"
    return str(value)


def _meaning(key: Key) -> str:
    metadata = key.field.metadata
    notes = []
    if metadata.get("choices"):
        notes.append(" | ".join(metadata["choices"]))
    notes += [metadata[name] for name in ("operation", "unit") if metadata.get(name)]
    notes += ["live"] if metadata.get("live") else []
    notes += _bounds(metadata.get("low"), metadata.get("high"))
    return key.meaning + (f" ({', '.join(notes)})" if notes else "")


def _bounds(low: float | None, high: float | None) -> list[str]:
    if low is None and high is None:
        return []
    if high is None:
        return [f">= {low:g}"]
    return [f"<= {high:g}"] if low is None else [f"{low:g}..{high:g}"]
